import { targetOf } from '../../lib/address.ts';
import { type Body, BrokenBodyError, createBodyStream, type FlowControl } from './body.ts';
import type { Http1Connection } from './http1-connection.ts';
import { flatten, HeadTimeoutError, type Outgoing, type Reply } from './transport.ts';

/** The head of a response whose body is exactly `bodyBytes` long. Header names in lower case. */
export interface PlainHead {
  readonly status: number;
  /** Values of one name in order of appearance. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly bodyBytes: number;
  /** May the connection be used for another request? */
  readonly isKept: boolean;
}

const STATUS_LINE = /^HTTP\/1\.1 ([2-5]\d\d)(?: [\t\x20-\x7e]*)?$/;
/** The white space around a value is part of it here: told apart by backtracking, a long run of it would take seconds. */
const HEADER_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e]*)$/;
const LINES_MAX = 200;
/** Headers by which the framing of a message is anything but `Content-Length`. */
const OTHER_FRAMING = ['transfer-encoding', 'upgrade', 'trailer'];

/**
 * Reads a response head (without its empty line) of the one form that every registry and blob store sends; undefined for
 * whatever is unusual: another version, an interim or bodiless status, folded, repeated or missing lengths, chunks, bytes
 * beyond ASCII. It decides how many bytes belong to a message, so it guesses nothing: the unusual is another reader's job.
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

/** The response is not of the form that is read here. */
export class UnsupportedResponseError extends Error {}

export interface Http1Exchange {
  readonly outgoing: Outgoing;
  /** The request as it goes over the wire. */
  readonly request: string;
  /** For how much longer the response's head is waited for, and for how long that is in all. */
  readonly waitMs: number;
  readonly headMs: number;
  readonly idleMs: number;
}

const HEAD_MAX_BYTES = 16 * 1024;
const HEAD_END = Buffer.from('\r\n\r\n');

type Piece = readonly [chunk: Buffer, release: () => void];

/** A body of known length on its way. */
interface Arrival {
  readonly body: Body;
  /** Bytes that have not come over the wire yet. */
  leftBytes(): number;
  /** Takes the next piece; false while nobody reads, so that no more need come. */
  take(...piece: Piece): boolean;
  fail(error: Error): void;
}

/** @param first what came together with the head: a copy */
function awaitBody(bodyBytes: number, first: Buffer, valve: FlowControl, idleMs: number): Arrival {
  // A connection that was told to stop may still have something to hand over: it waits here for the reader.
  let early: Piece[] | undefined = first.length > 0 ? [[first, () => {}]] : [];
  let leftBytes = bodyBytes - first.length;
  const resume = () => {
    for (let piece = early?.shift(); piece !== undefined; piece = early?.shift()) flow.push(...piece);
    early = undefined;
    if (leftBytes > 0) valve.resume();
    else flow.end();
  };
  const flow = createBodyStream({ ...valve, resume }, idleMs);
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

/** An interim response, of which any number may come before the answer; 101 would be another protocol. */
const INTERIM = /^HTTP\/1\.1 1(?!01)\d\d(?: |\r\n|$)/;

/**
 * Collects a head, skipping interim responses; calls `done` with it and a view of the bytes behind it, or with nothing when
 * it is unusual.
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
 * One request over one wire, which `give` gets back when it may be used again.
 * @throws {UnsupportedResponseError} when the response is to be read another way; then the wire is closed.
 */
export function exchange(
  wire: Http1Connection,
  { outgoing, request, waitMs, headMs, idleMs }: Http1Exchange,
  give: () => void,
) {
  const { socket } = wire;
  const { signal, url, target = targetOf(url) } = outgoing;
  return new Promise<Reply>((resolve, reject) => {
    let arrival: Arrival | undefined;
    let isKept = false;
    /** From here on the wire is somebody else's, or closed. */
    let isOver = false;

    const settle = () => {
      isOver = true;
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      wire.reader = undefined;
    };
    const giveUp = (reason: Error) => {
      if (!isOver) {
        settle();
        socket.destroy();
      }
      arrival?.fail(reason);
      reject(reason);
    };
    const onAbort = () => giveUp(signal?.reason instanceof Error ? signal.reason : new Error('aborted'));
    const onLate = () => giveUp(new HeadTimeoutError(`no response within ${headMs} ms`));
    const timer = setTimeout(onLate, waitMs);
    const endIfArrived = () => {
      if (isOver || arrival?.leftBytes() !== 0) return;
      settle();
      if (isKept) give();
      else socket.destroy();
    };
    const valve: FlowControl = {
      pause: () => void (isOver || socket.pause()),
      resume: () => void (isOver || socket.resume()),
      abort: giveUp,
    };
    const onHead = collectHead((head, rest = Buffer.alloc(0)) => {
      if (head === undefined) return giveUp(new UnsupportedResponseError('an unusual response'));
      const { status, headers, bodyBytes } = head;
      clearTimeout(timer);
      isKept = head.isKept && rest.length <= bodyBytes;
      arrival = awaitBody(bodyBytes, Buffer.from(rest.subarray(0, bodyBytes)), valve, idleMs);
      resolve({ status, headers: flatten(headers), url, target, body: arrival.body });
      endIfArrived();
    });

    if (signal?.aborted) return onAbort();
    signal?.addEventListener('abort', onAbort, { once: true });
    wire.reader = {
      bodyLeft: () => arrival?.leftBytes() ?? 0,
      onHeadBytes: (bytes) => {
        onHead(bytes);
        // A body waits for its reader; without one, reading goes on, to notice when the connection is closed.
        return (arrival?.leftBytes() ?? 0) === 0;
      },
      onBodyBytes: (chunk, release) => {
        const goesOn = arrival?.take(chunk, release) ?? false;
        endIfArrived();
        return goesOn || isOver;
      },
      onGone: (error) => giveUp(arrival ? new BrokenBodyError(error.message, { cause: error }) : error),
    };
    socket.write(request, 'latin1');
  });
}
