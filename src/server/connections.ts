import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { addressClass, addressMatcher, isLoopback, withoutMapping } from '../lib/address.ts';
import { FairBudget, NO_SHARE, type Share } from '../lib/fair-budget.ts';
import type { RequestHandler } from '../lib/http.ts';
import type { Log } from '../lib/log.ts';
import { type ErrorCode, RegistryError } from '../oci/registry-error.ts';
import type { Metrics } from './metrics.ts';

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
  /** Of all clients; an address that is alone has half. */
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

const LATEST = Symbol('latest response');
/** A property costs a new connection less than an entry of a WeakMap, which the garbage collector looks through each time. */
type Tracked = Duplex & { [LATEST]?: ServerResponse };

function track(socket: Tracked, res: ServerResponse): ServerResponse | undefined {
  const earlier = socket[LATEST];
  socket[LATEST] = res;
  return earlier;
}

/**
 * Answers requests that a client pipelines one at a time. A later response has no connection to write to yet: it
 * would neither feel backpressure nor learn that the client has left.
 */
export class PipelineQueue {
  /** Notes `res` as its connection's latest, when it is being answered at once. */
  track(req: IncomingMessage, res: ServerResponse): void {
    track(req.socket, res);
  }

  /** Runs `work` as soon as the connection's earlier responses are sent; never, if it closes before. */
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

  /** Does an answer wait for the rest of its request's body? */
  isReceiving({ [LATEST]: latest }: Tracked): boolean {
    return latest !== undefined && latest.socket !== null && !latest.headersSent && !latest.req.complete;
  }

  /** Runs `work` when every response of this connection is sent: at once when none is under way. */
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

/** Node's name of what is wrong with a request -> the answer. Whatever else its parser (HPE_…) reports is malformed. */
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
    const end = () => {
      if (socket.writable) socket.end(answer, () => socket.destroy());
      else socket.destroy();
    };
    // The rest of a malformed body never comes.
    if (pipeline.isReceiving(socket)) end();
    else pipeline.afterLast(socket, end);
  };
  server.on('clientError', (error: ParseError, socket: Duplex) => {
    const { code = '' } = error;
    const fault = FAULTS[code] ?? (code.startsWith('HPE_') ? MALFORMED : undefined);
    // Whatever else is wrong is wrong with the connection. One whose TLS handshake has failed would keep an answer, and
    // itself, for ever.
    if (fault === undefined || !socket.writable) {
      socket.destroy();
      return;
    }
    log('debug', 'request-unreadable', 'unreadable request', { code });
    close(socket, code === AFTER_CLOSE ? '' : rawAnswer(fault, mayHaveBody(error, socket)));
  });
  server.on('connect', (_req: IncomingMessage, socket: Duplex) => close(socket, rawAnswer(NO_TUNNEL, true)));
  // No "100 Continue" by itself: but for an admitted push, whatever announces a body is refused before it is sent.
  server.on('checkContinue', handle);
  server.on('checkExpectation', handle);
}

export interface ConnectionBoundOptions {
  /** Bound of all connections. */
  readonly max: number;
  /** Addresses and subnets of proxies, which stand for many clients: bounded by the whole alone. */
  readonly proxies: readonly string[];
  readonly log: Log;
  readonly metrics: Metrics;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

export interface ClientConnections {
  count(): number;
  /** Cuts them all: Node's own function knows none whose TLS handshake is still under way. */
  cut(): void;
}

/** The part of all connections that only programs of this machine get, when the others are taken: a sixteenth. */
const LOCAL_PART = 16;

/** How often the log says that connections are refused, in milliseconds. */
const SAID_EVERY_MS = 60_000;

/**
 * Bounds the connections of all clients, and of each address. An address may have as many as it leaves free for
 * others: half of them when it is alone, fewer when it is one of several. A part is for loopback alone: a dozen
 * addresses of a network would take all others, and the node's own runtimes and probes still get in.
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
      'Connections refused, by limit: that of all clients or that of one address.',
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
    return { client, source: client };
  }

  /** A proxy on loopback stands for clients of the network. */
  const takeReserved = (address: string) =>
    isLoopback(address) && !isProxy(address) ? reserve.tryTake(1) : undefined;

  // Beyond it Node would reset connections too, but log nothing.
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
