import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { RequestHandler } from '../lib/http.ts';
import type { Log } from '../lib/log.ts';
import { type ErrorCode, RegistryError } from '../oci/registry-error.ts';

/** Bounds on what one client, or all of them together, can make this process hold. */
export interface Limits {
  /** The request's target, in bytes. */
  readonly targetBytes: number;
  /** Request line and headers together, in bytes; a registry token alone can have 8 KiB. */
  readonly headerBytes: number;
  /** How long a client may take over sending its headers (slowloris), in milliseconds. */
  readonly headersTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  /** A connection on which nothing moves for this long is cut, a slow reader's too, in milliseconds. */
  readonly idleTimeoutMs: number;
  /** For a request with a body, where pushes are taken: a large layer on a slow line takes hours. */
  readonly uploadTimeoutMs: number;
  readonly connections: number;
  /** Requests being answered at the same time, over all connections. */
  readonly inFlight: number;
  /** Answers kept for sending again, in bytes. */
  readonly responseCacheBytes: number;
  /** Large documents (above 64 KiB) that are being sent at the same time, in bytes. */
  readonly answerBytes: number;
}

export const DEFAULT_LIMITS: Limits = {
  targetBytes: 8 * 1024,
  headerBytes: 32 * 1024,
  headersTimeoutMs: 10_000,
  keepAliveTimeoutMs: 65_000,
  idleTimeoutMs: 600_000,
  uploadTimeoutMs: 12 * 60 * 60_000,
  connections: 4096,
  inFlight: 1024,
  responseCacheBytes: 64 * 2 ** 20,
  answerBytes: 64 * 2 ** 20,
};

/**
 * Requests that a client pipelines are answered one at a time: a later response has no connection to be written to yet,
 * and would neither feel backpressure nor learn that the client has left.
 */
export class PipelineQueue {
  readonly #latest = new WeakMap<Duplex, ServerResponse>();

  /** Notes `res` as its connection's latest, when it is being answered at once. */
  track(req: IncomingMessage, res: ServerResponse): void {
    this.#latest.set(req.socket, res);
  }

  /** Runs `work` as soon as the connection's earlier responses are sent; never, if it closes before. */
  enqueue(req: IncomingMessage, res: ServerResponse, work: () => Promise<void>): void {
    const earlier = this.#latest.get(req.socket);
    this.#latest.set(req.socket, res);
    if (res.socket !== null || earlier === undefined) {
      void work();
      return;
    }
    earlier.once('close', () => {
      if (!req.socket.destroyed) void work();
    });
  }

  /** Runs `work` when every response of this connection is sent: at once when none is under way. */
  afterLast(socket: Duplex, work: () => void): void {
    const latest = this.#latest.get(socket);
    if (latest === undefined || latest.closed || latest.destroyed) work();
    else latest.once('close', work);
  }
}

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
