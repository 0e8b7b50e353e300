import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { RequestHandler } from '../lib/http.ts';
import type { Log } from '../lib/log.ts';
import { type ErrorCode, RegistryError } from '../oci/registry-error.ts';
import type { PipelineQueue } from './pipelining.ts';

interface Fault {
  readonly code: ErrorCode;
  readonly status: number;
  readonly reason: string;
  readonly headers?: string;
}

/** Node's name of what is wrong with a request -> the answer. Whatever else is wrong is malformed. */
const FAULTS: Readonly<Record<string, Fault>> = {
  HPE_HEADER_OVERFLOW: { code: 'UNSUPPORTED', status: 431, reason: 'Request Header Fields Too Large' },
  HPE_INVALID_VERSION: { code: 'UNSUPPORTED', status: 505, reason: 'HTTP Version Not Supported' },
  ERR_HTTP_REQUEST_TIMEOUT: { code: 'UNSUPPORTED', status: 408, reason: 'Request Timeout' },
};
const MALFORMED: Fault = { code: 'UNSUPPORTED', status: 400, reason: 'Bad Request' };
const NO_TUNNEL: Fault = {
  code: 'UNSUPPORTED',
  status: 405,
  reason: 'Method Not Allowed',
  headers: 'Allow: GET, HEAD\r\n',
};

/** A request came after one that said `Connection: close`: it is not answered, and harms no answer before it. */
const AFTER_CLOSE = 'HPE_CLOSED_CONNECTION';

/** What Node's parser reports; `rawPacket` and `bytesParsed` say where in which bytes it stopped. */
interface ParseError extends NodeJS.ErrnoException {
  readonly rawPacket?: Buffer;
  readonly bytesParsed?: number;
}

const REQUEST_LINE = /^[\r\n]*[A-Za-z]+[ \t]/;
const HEAD_REQUEST = /^[\r\n]*HEAD[ \t]/;

/** May the answer have a body? Not to a HEAD, and not when the request's first line came in an earlier packet. */
function mayHaveBody({ rawPacket, bytesParsed = 0 }: ParseError, socket: Duplex): boolean {
  if (rawPacket === undefined) return false;
  const packet = rawPacket.toString('latin1');
  // Requests before this one in the same packet end with an empty line.
  const earlierEnd = packet.lastIndexOf('\r\n\r\n', Math.max(0, bytesParsed - 5));
  const start = earlierEnd < 0 || earlierEnd > bytesParsed - 5 ? packet : packet.slice(earlierEnd + 4);
  const isFirstPacket = 'bytesRead' in socket && socket.bytesRead === rawPacket.length;
  return !HEAD_REQUEST.test(start) && (isFirstPacket || REQUEST_LINE.test(start));
}

/** A response on a connection whose request could not be read, so that there is no ServerResponse to write it to. */
function rawAnswer({ code, status, reason, headers = '' }: Fault, hasBody: boolean): string {
  const body = JSON.stringify(new RegistryError(code, reason.toLowerCase(), { status }));
  return [
    `HTTP/1.1 ${status} ${reason}`,
    `Date: ${new Date().toUTCString()}`,
    ...(hasBody ? ['Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`] : []),
    ...(hasBody ? [] : ['Content-Length: 0']),
    'Cache-Control: no-store',
    `${headers}Connection: close`,
    '',
    hasBody ? body : '',
  ].join('\r\n');
}

export interface ConnectionGuardOptions {
  readonly handle: RequestHandler;
  readonly pipeline: PipelineQueue;
  readonly log: Log;
}

/** Answers, or cuts, connections on which something other than a request arrives; answers that are under way come first. */
export function guardConnections(server: Server, { handle, pipeline, log }: ConnectionGuardOptions): void {
  const closing = new WeakSet<Duplex>();
  const close = (socket: Duplex, answer: string) => {
    // The parser reports the same fault again for each packet that follows.
    if (closing.has(socket)) return;
    closing.add(socket);
    pipeline.afterLast(socket, () => {
      if (socket.writable) socket.end(answer, () => socket.destroy());
      else socket.destroy();
    });
  };
  server.on('clientError', (error: ParseError, socket: Duplex) => {
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    log('debug', 'request-unreadable', 'unreadable request', { code: error.code });
    const fault = FAULTS[error.code ?? ''] ?? MALFORMED;
    close(socket, error.code === AFTER_CLOSE ? '' : rawAnswer(fault, mayHaveBody(error, socket)));
  });
  server.on('connect', (_req: IncomingMessage, socket: Duplex) => close(socket, rawAnswer(NO_TUNNEL, true)));
  // No "100 Continue": whatever announces a body is refused before it is sent.
  server.on('checkContinue', handle);
  server.on('checkExpectation', handle);
}
