import type { IncomingMessage, ServerResponse } from 'node:http';
import { jsonText } from './text.ts';

/** Answers one request. */
export type RequestHandler = (req: IncomingMessage, res: ServerResponse) => void;

/** Names and values in turn, as `writeHead` takes them without looking each one up. */
export type HeaderList = readonly string[];

/** Sends a whole body. For HEAD, Node leaves the bytes out; everything else is the same. */
export function sendBytes(res: ServerResponse, status: number, headers: HeaderList, bytes: Buffer): void {
  res.writeHead(status, [...headers, 'Content-Length', String(bytes.length)]);
  res.end(bytes);
}

export function sendJson(
  res: ServerResponse,
  status: number,
  document: unknown,
  headers: HeaderList = [],
): void {
  sendBytes(res, status, ['Content-Type', 'application/json', ...headers], Buffer.from(jsonText(document)));
}

/** Aborts when `res` closes before it was sent in full: the client has left. */
export function abortWhenGone(res: ServerResponse): AbortSignal {
  const controller = new AbortController();
  if (res.destroyed) controller.abort();
  res.once('close', () => {
    if (!res.writableFinished) controller.abort();
  });
  return controller.signal;
}
