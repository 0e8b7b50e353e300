// The raw HTTP/1.1 reader. It stays because Node's own client (`--blob-reader standard`) needs this many times the CPU
// time for a GB, end to end; the threshold is 1.3 (`npm run bench readers`, 2 busy cores, least of 3 rounds; Node.js 20
// on 2026-11-27, Node.js 24 the day before):
//
//                 plain, cache off   plain, on   TLS, cache off   TLS, on
//     Node 20     2.7                3.0         1.3              1.6
//     Node 24     3.0                2.2         1.7              1.8
import { LRUCache } from 'lru-cache';
import { targetOf } from '../../lib/url.ts';
import type { Dial } from '../net/dial.ts';
import type { Timeouts } from '../settings.ts';
import { type Body, BrokenBodyError, createBodyStream, type FlowControl, type SlabPool } from './body.ts';
import { createConnectionPool, type Http1Connection } from './http1-connection.ts';
import {
  flatten,
  HeadTimeoutError,
  KEPT_SILENT_MS,
  type Outgoing,
  type Reply,
  type Transport,
} from './transport.ts';

/** The head of a response whose body has exactly `bodyBytes`. Header names are in lower case. */
export interface PlainHead {
  readonly status: number;
  /** The values of each header, in order of appearance. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly bodyBytes: number;
  /** True when the connection may be reused. */
  readonly isKept: boolean;
}

const STATUS_LINE = /^HTTP\/1\.1 ([2-5]\d\d)(?: [\t\x20-\x7e]*)?$/;
/** The value includes the white space around it: a pattern without it would backtrack for seconds on long runs. */
const HEADER_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e]*)$/;
const LINES_MAX = 200;
/** Headers by which a message is framed other than by `Content-Length`. */
const OTHER_FRAMING = ['transfer-encoding', 'upgrade', 'trailer'];

/**
 * Parses a response head (without its empty line) in the one form that registries and blob stores send.
 * Undefined for anything else: another HTTP version, an interim or bodiless status, folded lines, a missing or
 * repeated length, chunked encoding, non-ASCII bytes. The head decides which bytes belong to the message, so
 * this parser does not guess: the other transport handles the rest.
 * @see https://www.rfc-editor.org/rfc/rfc9112#section-6.3
 */
export function parsePlainHead(text: string): PlainHead | undefined {
  const [statusLine = '', ...lines] = text.split('\r\n');
  const status = Number(STATUS_LINE.exec(statusLine)?.[1]);
  if (Number.isNaN(status) || status === 204 || status === 304 || lines.length > LINES_MAX) return undefined;
  const headers: Record<string, string[]> = Object.create(null);
  for (const line of lines) {
    const [, name, value = ''] = HEADER_LINE.exec(line) ?? [];
    if (name === undefined) return undefined;
    const key = name.toLowerCase();
    headers[key] = [...(headers[key] ?? []), value.trim()];
  }
  if (OTHER_FRAMING.some((name) => name in headers)) return undefined;
  const [length, ...otherLengths] = headers['content-length'] ?? [];
  if (length === undefined || otherLengths.length > 0 || !/^\d{1,15}$/.test(length)) return undefined;
  const isKept = !(headers['connection'] ?? []).some((value) => /\bclose\b/i.test(value));
  return { status, headers, bodyBytes: Number(length), isKept };
}

/** The response does not have the form that {@link parsePlainHead} accepts. */
class UnsupportedResponseError extends Error {}

export interface Http1Exchange {
  readonly outgoing: Outgoing;
  /** The request head, as bytes on the wire. */
  readonly request: string;
  /** How much time is left until the response head must have arrived, and how much there was, for the message. */
  readonly waitMs: number;
  readonly headMs: number;
  readonly idleMs: number;
}

const HEAD_MAX_BYTES = 16 * 1024;
const HEAD_END = Buffer.from('\r\n\r\n');

type Piece = readonly [chunk: Buffer, release: () => void];

/** Receives a body of known length. */
interface BodyReader {
  readonly body: Body;
  /** How many bytes have not arrived yet. */
  leftBytes(): number;
  /** Takes the next piece. False: nobody reads yet, so pause the connection. */
  take(...piece: Piece): boolean;
  fail(error: Error): void;
}

/** @param first a copy of the body bytes that came with the head */
function createBodyReader(
  bodyBytes: number,
  first: Buffer,
  control: FlowControl,
  idleMs: number,
): BodyReader {
  // A paused connection may still deliver one piece, which waits here for the reader.
  let early: Piece[] | undefined = first.length > 0 ? [[first, () => {}]] : [];
  let leftBytes = bodyBytes - first.length;
  const resume = () => {
    for (let piece = early?.shift(); piece !== undefined; piece = early?.shift()) flow.push(...piece);
    early = undefined;
    if (leftBytes > 0) control.resume();
    else flow.end();
  };
  const flow = createBodyStream({ ...control, resume }, idleMs);
  return {
    body: flow,
    leftBytes: () => leftBytes,
    take: (chunk, release) => {
      leftBytes -= chunk.length;
      if (early) early.push([chunk, release]);
      else flow.push(chunk, release);
      if (leftBytes === 0 && early === undefined) flow.end();
      return early === undefined;
    },
    fail: (error) => {
      for (const [, release] of early?.splice(0) ?? []) release();
      flow.fail(error);
    },
  };
}

/** An interim response. Any number of them may precede the response; 101 would change the protocol. */
const INTERIM = /^HTTP\/1\.1 1(?!01)\d\d(?: |\r\n|$)/;

/**
 * Collects a response head and skips interim responses. Calls `done` with the head and a view of the bytes
 * after it, or with nothing when the head is not in the accepted form.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-15.2
 */
function collectHead(done: (head?: PlainHead, rest?: Buffer) => void): (bytes: Buffer) => void {
  let head = Buffer.alloc(0);
  let sizeBytes = 0;
  return (bytes) => {
    head = Buffer.concat([head, bytes]);
    sizeBytes += bytes.length;
    for (;;) {
      const end = head.indexOf(HEAD_END);
      if (end < 0 && sizeBytes <= HEAD_MAX_BYTES) return;
      const text = end < 0 ? '' : head.toString('latin1', 0, end);
      const rest = head.subarray(end + HEAD_END.length);
      if (INTERIM.test(text) && sizeBytes - rest.length <= HEAD_MAX_BYTES) {
        head = rest;
        continue;
      }
      const parsed = parsePlainHead(text);
      return parsed === undefined ? done() : done(parsed, rest);
    }
  };
}

/**
 * Sends one request over a connection. Calls `give` when the connection can be reused.
 * @throws {UnsupportedResponseError} when the other transport must read the response; closes the connection
 */
export function exchange(
  connection: Http1Connection,
  { outgoing, request, waitMs, headMs, idleMs }: Http1Exchange,
  give: () => void,
) {
  const { socket } = connection;
  const { signal, url, target = targetOf(url) } = outgoing;
  return new Promise<Reply>((resolve, reject) => {
    let incoming: BodyReader | undefined;
    let isKept = false;
    /** True when the connection was returned or closed. */
    let isOver = false;

    const settle = () => {
      isOver = true;
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      connection.reader = undefined;
    };
    const giveUp = (reason: Error) => {
      if (!isOver) {
        settle();
        socket.destroy();
      }
      incoming?.fail(reason);
      reject(reason);
    };
    const onAbort = () => giveUp(signal?.reason instanceof Error ? signal.reason : new Error('aborted'));
    const onLate = () => giveUp(new HeadTimeoutError(`no response within ${headMs} ms`));
    const timer = setTimeout(onLate, waitMs);
    const endIfArrived = () => {
      if (isOver || incoming?.leftBytes() !== 0) return;
      settle();
      if (isKept) give();
      else socket.destroy();
    };
    const control: FlowControl = {
      pause: () => void (isOver || socket.pause()),
      resume: () => void (isOver || socket.resume()),
      abort: giveUp,
    };
    const onHead = collectHead((head, rest = Buffer.alloc(0)) => {
      if (head === undefined) return giveUp(new UnsupportedResponseError('an unusual response'));
      const { status, headers, bodyBytes } = head;
      clearTimeout(timer);
      isKept = head.isKept && rest.length <= bodyBytes;
      incoming = createBodyReader(bodyBytes, Buffer.from(rest.subarray(0, bodyBytes)), control, idleMs);
      resolve({ status, headers: flatten(headers), url, target, body: incoming.body });
      endIfArrived();
    });

    if (signal?.aborted) return onAbort();
    signal?.addEventListener('abort', onAbort, { once: true });
    connection.reader = {
      bodyLeft: () => incoming?.leftBytes() ?? 0,
      onHeadBytes: (bytes) => {
        onHead(bytes);
        // Pause until the body has a reader. Without a body, read on, to notice a closed connection.
        return (incoming?.leftBytes() ?? 0) === 0;
      },
      onBodyBytes: (chunk, release) => {
        const goesOn = incoming?.take(chunk, release) ?? false;
        endIfArrived();
        return goesOn || isOver;
      },
      onGone: (error) => giveUp(incoming ? new BrokenBodyError(error.message, { cause: error }) : error),
    };
    socket.write(request, 'latin1');
  });
}

export interface BlobTransportOptions {
  readonly dial: Dial;
  /** Sends every request that this transport does not, for example those through proxies. */
  readonly plain: Transport;
  readonly proxyOf: (url: URL) => URL | undefined;
  readonly timeouts: Timeouts;
  readonly slabs: SlabPool;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/** How long an origin that sent an unsupported response is served by the plain transport, in milliseconds. */
const PLAIN_MS = 10 * 60_000;
const ORIGINS_MAX = 500;

/** The head of a GET request as bytes on the wire. Undefined when it has non-ASCII characters. */
function formatHead({ url, target = targetOf(url), headers }: Outgoing): string | undefined {
  const lines = Object.entries({ host: url.host, ...headers }).map(([name, value]) => `${name}: ${value}`);
  const head = [`GET ${target} HTTP/1.1`, ...lines];
  return head.every((line) => /^[\x20-\x7e]+$/.test(line)) ? `${head.join('\r\n')}\r\n\r\n` : undefined;
}

/**
 * The fast transport for blobs. It reads into reused memory and only counts bytes. When it cannot read a
 * response, the plain transport repeats the request.
 */
export function createBlobTransport(options: BlobTransportOptions): Transport {
  const { plain, proxyOf, timeouts, now } = options;
  const pool = createConnectionPool(options.dial, options.slabs);
  const plainUntil = new LRUCache<string, number>({ max: ORIGINS_MAX });

  async function sendFast(outgoing: Outgoing, request: string): Promise<Reply> {
    const { url, signal } = outgoing;
    const deadline = now() + timeouts.headMs;
    const over = (connection: Http1Connection, waitMs: number) => {
      const asked = { ...timeouts, outgoing, request, waitMs };
      return exchange(connection, asked, () => pool.give(url.origin, connection));
    };
    const leftMs = () => Math.max(0, deadline - now());
    const kept = pool.takeIdle(url.origin);
    if (kept) {
      try {
        return await over(kept, Math.min(KEPT_SILENT_MS, leftMs()));
      } catch (error) {
        // The kept connection may have been closed meanwhile. That says nothing about the origin, but the other
        // kept connections are probably closed too.
        if (error instanceof UnsupportedResponseError || signal?.aborted) throw error;
        pool.dropIdle(url.origin);
      }
    }
    return over(await pool.open(url, signal), leftMs());
  }

  return {
    send: async (outgoing) => {
      const { method, url } = outgoing;
      const request = method === 'GET' ? formatHead(outgoing) : undefined;
      const isPlain = proxyOf(url) !== undefined || now() < (plainUntil.get(url.origin) ?? 0);
      if (request === undefined || isPlain) return plain.send(outgoing);
      try {
        return await sendFast(outgoing, request);
      } catch (error) {
        if (!(error instanceof UnsupportedResponseError)) throw error;
        plainUntil.set(url.origin, now() + PLAIN_MS);
        return plain.send(outgoing);
      }
    },
    close: async () => pool.close(),
  };
}
