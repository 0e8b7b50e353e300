import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { addressClass, addressMatcher, isLoopback, networkClass, withoutMapping } from '../lib/address.ts';
import { FairBudget, NO_SHARE, type Share } from '../lib/fair-budget.ts';
import type { RequestHandler } from '../lib/http.ts';
import type { Log } from '../lib/log.ts';
import { type ErrorCode, RegistryError } from '../oci/registry-error.ts';
import type { Metrics } from './metrics.ts';

/** Limits on what one client, or all of them together, can make this process hold. */
export interface Limits {
  /** Length of the request target, in bytes. */
  readonly targetBytes: number;
  /** Size of the request line and all headers, in bytes. A registry token alone can have 8 KiB. */
  readonly headerBytes: number;
  /** How long a client may take to send its headers, in milliseconds (against slowloris attacks). */
  readonly headersTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  /** A connection without any traffic for this long is closed, in milliseconds. That includes slow readers. */
  readonly idleTimeoutMs: number;
  /** How long a request with a body may take, in milliseconds: a large layer over a slow line takes hours. */
  readonly uploadTimeoutMs: number;
  /** Connections of all clients. An address that is alone may have half of them. */
  readonly connections: number;
  /** Requests that are being answered, of all connections. */
  readonly inFlight: number;
  /** Size of the response cache, in bytes. */
  readonly responseCacheBytes: number;
  /** Large documents (above 64 KiB) that are being sent, in bytes. */
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

const LATEST = Symbol('latest response');
/** A property, not a WeakMap: for each connection it costs less, and the garbage collector need not scan it. */
type Tracked = Duplex & { [LATEST]?: ServerResponse };

function track(socket: Tracked, res: ServerResponse): ServerResponse | undefined {
  const earlier = socket[LATEST];
  socket[LATEST] = res;
  return earlier;
}

/**
 * Answers pipelined requests one after another. A later response has no socket until the earlier ones are sent, so
 * it would neither feel backpressure nor notice that the client has left.
 */
export class PipelineQueue {
  /** Registers `res` as the latest response of its connection, when it is answered at once. */
  track(req: IncomingMessage, res: ServerResponse): void {
    track(req.socket, res);
  }

  /** Calls `work` when the earlier responses of the connection are sent; never, if the connection closes before. */
  enqueue(req: IncomingMessage, res: ServerResponse, work: () => void): void {
    const earlier = track(req.socket, res);
    if (res.socket !== null || earlier === undefined) {
      work();
      return;
    }
    earlier.once('close', () => {
      if (!req.socket.destroyed) work();
    });
  }

  /** True when a response waits for the rest of its request's body. */
  isReceiving({ [LATEST]: latest }: Tracked): boolean {
    return latest !== undefined && latest.socket !== null && !latest.headersSent && !latest.req.complete;
  }

  /** Calls `work` when all responses of the connection are sent; at once when none is running. */
  afterLast({ [LATEST]: latest }: Tracked, work: () => void): void {
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

/** Answers by Node's error code. Any other error of its parser (`HPE_…`) means that the request is malformed. */
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

/** A request that follows one with `Connection: close`. It gets no answer, and earlier answers are not affected. */
const AFTER_CLOSE = 'HPE_CLOSED_CONNECTION';

/** An error of Node's parser. `rawPacket` and `bytesParsed` say where it stopped. */
interface ParseError extends NodeJS.ErrnoException {
  readonly rawPacket?: Buffer;
  readonly bytesParsed?: number;
}

const REQUEST_LINE = /^[\r\n]*[A-Za-z]+[ \t]/;
const HEAD_REQUEST = /^[\r\n]*HEAD[ \t]/;

/**
 * False for the answer to a HEAD, and when the request line was in an earlier packet, so that the method is
 * unknown.
 */
function mayHaveBody({ rawPacket, bytesParsed = 0 }: ParseError, socket: Duplex): boolean {
  if (rawPacket === undefined) return false;
  const packet = rawPacket.toString('latin1');
  // Earlier requests in the same packet end with an empty line.
  const earlierEnd = packet.lastIndexOf('\r\n\r\n', Math.max(0, bytesParsed - 5));
  const start = earlierEnd < 0 || earlierEnd > bytesParsed - 5 ? packet : packet.slice(earlierEnd + 4);
  const isFirstPacket = 'bytesRead' in socket && socket.bytesRead === rawPacket.length;
  return !HEAD_REQUEST.test(start) && (isFirstPacket || REQUEST_LINE.test(start));
}

/** A response as text, for a request that could not be parsed and so has no ServerResponse. */
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

/**
 * Answers or closes connections on which something else than a valid request arrives, after the responses that are
 * running.
 */
export function guardConnections(server: Server, { handle, pipeline, log }: ConnectionGuardOptions): void {
  const closing = new WeakSet<Duplex>();
  const close = (socket: Duplex, answer: string) => {
    // The parser reports the same error again for each packet that follows.
    if (closing.has(socket)) return;
    closing.add(socket);
    const end = () => {
      if (socket.writable) socket.end(answer, () => socket.destroy());
      else socket.destroy();
    };
    // The rest of a malformed body never arrives.
    if (pipeline.isReceiving(socket)) end();
    else pipeline.afterLast(socket, end);
  };
  server.on('clientError', (error: ParseError, socket: Duplex) => {
    const { code = '' } = error;
    const fault = FAULTS[code] ?? (code.startsWith('HPE_') ? MALFORMED : undefined);
    // Any other error is the connection's. After a failed TLS handshake an answer would never be sent, and the
    // connection never closed.
    if (fault === undefined || !socket.writable) {
      socket.destroy();
      return;
    }
    log('debug', 'request-unreadable', 'unreadable request', { code });
    close(socket, code === AFTER_CLOSE ? '' : rawAnswer(fault, mayHaveBody(error, socket)));
  });
  server.on('connect', (_req: IncomingMessage, socket: Duplex) => close(socket, rawAnswer(NO_TUNNEL, true)));
  // No automatic "100 Continue": except for an admitted push, a request with a body is refused before the body is
  // sent.
  server.on('checkContinue', handle);
  server.on('checkExpectation', handle);
}

export interface ConnectionBoundOptions {
  /** Limit of all connections. */
  readonly max: number;
  /** Addresses and subnets of proxies. A proxy stands for many clients, so only the total limit applies to it. */
  readonly proxies: readonly string[];
  readonly log: Log;
  readonly metrics: Metrics;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

export interface ClientConnections {
  count(): number;
  /** Closes all connections. Node's own function misses those whose TLS handshake is running. */
  cut(): void;
}

/** The divisor for the reserve that only programs on this machine can use: a sixteenth of all connections. */
const LOCAL_PART = 16;

/** How often the log repeats that connections are refused, in milliseconds. */
const SAID_EVERY_MS = 60_000;

/**
 * Limits the connections of all clients and of each address. An address may have as many as it leaves free for
 * others: half of them when it is alone, fewer when there are several. All addresses of one /24 (IPv6: /48) may have
 * three times as many as they leave free. A reserve is for loopback, so that this node's runtimes and probes still
 * connect when a few networks hold all other connections.
 */
export function boundConnections(
  server: Server,
  { max, proxies, log, metrics, now }: ConnectionBoundOptions,
): ClientConnections {
  const sockets = new Set<Socket>();
  const reserved = Math.floor(max / LOCAL_PART);
  const budget = new FairBudget(max - reserved);
  const reserve = new FairBudget(reserved);
  const isProxy = addressMatcher(proxies);
  const refused = metrics
    .counter(
      'metahub_connections_refused_total',
      'Connections refused, by limit: that of all clients, or that of one address or its network.',
    )
    .child();
  let sayAgainMs = Number.NEGATIVE_INFINITY;

  function refuse(address: string, reason: 'all' | 'address'): void {
    refused.add();
    if (now() < sayAgainMs) return;
    sayAgainMs = now() + SAID_EVERY_MS;
    const fields = { address, connections: sockets.size, limit: reason };
    log(
      'warning',
      'connections-refused',
      'MetaHub refuses connections: their maximum number is reached',
      fields,
    );
  }

  function shareOf(address: string): Share {
    if (isProxy(address)) return NO_SHARE;
    const client = addressClass(address);
    // Addresses of loopback are no network.
    return { client, source: isLoopback(address) ? client : networkClass(address) };
  }

  /** A proxy on loopback stands for clients of the network, so it gets no part of the reserve. */
  const takeReserved = (address: string) =>
    isLoopback(address) && !isProxy(address) ? reserve.tryTake(1) : undefined;

  // Beyond this, Node.js itself resets connections; it emits `drop` but logs nothing.
  server.maxConnections = max;
  server.on('drop', (dropped) => refuse(dropped?.remoteAddress ?? '', 'all'));
  server.on('connection', (socket: Socket) => {
    const address = withoutMapping(socket.remoteAddress ?? '');
    const release = budget.tryTake(1, shareOf(address)) ?? takeReserved(address);
    if (release === undefined) {
      refuse(address, 'address');
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.once('close', () => {
      sockets.delete(socket);
      release();
    });
  });
  metrics.gauge('metahub_connections', 'Connections of clients.', () => sockets.size);
  return {
    count: () => sockets.size,
    cut: () => {
      server.closeAllConnections();
      for (const socket of sockets) socket.destroy();
    },
  };
}
