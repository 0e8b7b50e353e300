import type { IncomingMessage, ServerResponse } from 'node:http';
import { type RequestHandler, sendJson as sendJsonWith } from '../lib/http.ts';
import { RegistryError } from '../oci/registry-error.ts';

/** No form or document sent to a site is larger, in bytes. */
const BODY_MAX_BYTES = 16 * 1024;

/** Answers with JSON that no cache keeps: a shared cache would give a token to other clients. */
export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  sendJsonWith(response, status, body, ['Cache-Control', 'no-store', ...Object.entries(headers).flat()]);
}

/** The request's body as text. @throws {RegistryError} 413 when it is too long. */
export async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > BODY_MAX_BYTES)
      throw new RegistryError('DENIED', 'the body is too long', { status: 413 });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** A handler of an async answer; a RegistryError is sent in its wire form, anything else as 500 without its words. */
export function answering(
  what: string,
  answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
): RequestHandler {
  return (request, response) => {
    answer(request, response).catch((error: unknown) => {
      const wire = error instanceof RegistryError ? error : new RegistryError('UNKNOWN', `${what} failed`);
      if (response.headersSent || response.destroyed) response.destroy();
      else sendJson(response, wire.status, wire.toJSON(), wire.headers);
    });
  };
}
