import { FairBudget, NO_SHARE, type Share } from '../../lib/fair-budget.ts';
import { containsLogin, resolveReference, type WebLocation } from '../../lib/url.ts';
import { RegistryError } from '../../oci/registry-error.ts';

import type { Outgoing, Reply, Transport } from './transport.ts';

const HOPS_MAX = 5;
/** The headers that another origin may receive: no login and no name of this mirror. */
const SHARED_HEADERS = ['accept', 'accept-encoding', 'range', 'user-agent'];

/** True for a status with which the answer is at the `Location`. */
export function isRedirect({ status }: Reply): boolean {
  return status === 301 || status === 302 || status === 303 || status === 307 || status === 308;
}

/** A redirect that cannot be followed, or must not be. */
export class RedirectError extends RegistryError {
  constructor(message: string) {
    super('UNAVAILABLE', message);
  }
}

/**
 * The location of a redirect, with its path and query as written.
 * @throws {RedirectError} when there is none, or it is not an http(s) URL, contains a login, or leaves https
 * for http.
 */
export function locationOf({ headers, url, target, status, body }: Reply): WebLocation {
  const text = headers['location'];
  const location = text === undefined ? undefined : resolveReference(text, { url, target });
  const refuse = (why: string) => {
    body.cancel();
    return new RedirectError(`${url.host} answered ${status} with a redirect that ${why}`);
  };
  if (location === undefined) throw refuse('leads nowhere');
  const { protocol } = location.url;
  if (!/^https?:$/.test(protocol)) throw refuse(`leads to ${protocol}`);
  if (containsLogin(location.url)) throw refuse('contains a login');
  if (url.protocol === 'https:' && protocol === 'http:') throw refuse('leaves https for http');
  return location;
}

function withoutLogin(headers: Outgoing['headers']): Outgoing['headers'] {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => SHARED_HEADERS.includes(name)));
}

/** Answers the challenge of a redirect's target: `resend` repeats the request with an `Authorization` for it. */
export type MeetElsewhere = (
  refused: Reply,
  resend: (authorization: string) => Promise<Reply>,
) => Promise<Reply>;

export interface RedirectOptions {
  /** With `origin`, a redirect to another origin is returned as the answer. Default: `any`. */
  readonly within?: 'any' | 'origin' | undefined;
  /** Handles a 401 of another host. Default: it is returned. */
  readonly meetElsewhere?: MeetElsewhere | undefined;
}

/**
 * Follows redirects from the first reply. After a redirect to another origin, requests have no login and only
 * {@link SHARED_HEADERS}, even if a later redirect returns to the origin.
 * @throws {RedirectError} when there are too many, or one must not be followed
 */
export async function followRedirects(
  send: Transport['send'],
  outgoing: Outgoing,
  first: Reply,
  { within = 'any', meetElsewhere }: RedirectOptions = {},
): Promise<Reply> {
  let reply = first;
  let request = outgoing;
  for (let hop = 0; isRedirect(reply); hop += 1) {
    const location = locationOf(reply);
    if (within === 'origin' && location.url.origin !== request.url.origin) break;
    drain(reply);
    if (hop === HOPS_MAX) {
      throw new RedirectError(`${outgoing.url.host} redirected more than ${HOPS_MAX} times`);
    }
    const isSameOrigin = location.url.origin === request.url.origin;
    const headers = isSameOrigin ? request.headers : withoutLogin(request.headers);
    const next: Outgoing = { ...request, ...location, headers };
    request = next;
    reply = await send(next);
    if (reply.status === 401 && meetElsewhere && next.url.origin !== outgoing.url.origin) {
      reply = await meetElsewhere(reply, (authorization) =>
        send({ ...next, headers: { ...headers, authorization } }),
      );
    }
  }
  return reply;
}

/**
 * Success statuses with content. After 203 a gateway may have changed it, and 201 and 202 belong to other
 * methods, but the digest shows whether the bytes are right.
 */
export const WHOLE = [200, 201, 202, 203];

/** Bodies that nobody needs are read up to this size, to keep the connection. Beyond it the connection is closed. */
const DISCARD_MAX_BYTES = 64 * 1024;

/**
 * Refuses an encoded body. Requests accept `identity` only, so a gateway added the encoding (or it is a
 * decompression bomb), and the bytes would not have the expected digest.
 * @throws {RegistryError} UNAVAILABLE
 */
export function assertIdentityEncoding({ headers, body, url }: Reply): void {
  const encoding = headers['content-encoding'];
  if (encoding === undefined || encoding === '' || encoding.toLowerCase() === 'identity') return;
  body.cancel();
  throw new RegistryError(
    'UNAVAILABLE',
    `${url.host} sent ${encoding}-encoded content where none was accepted`,
  );
}

/** The `Content-Length` of a response; undefined when it has none. */
export function announcedSize(headers: Readonly<Record<string, string>>): number | undefined {
  const text = headers['content-length'];
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** Limit of all large documents that are being received or read, in bytes: slow registries must not fill the memory. */
const DOCUMENT_MEMORY = new FairBudget(64 * 1024 * 1024);

/** A large document must deliver this many bytes in this time, so that a trickle does not hold the memory of others. */
const TRICKLE_BYTES = 16 * 1024;
const TRICKLE_MS = 5000;

export interface ReceiveOptions {
  readonly maxBytes: number;
  readonly timeoutMs: number;
  /** The client and the source that the memory of a large document is charged to. */
  readonly share?: Share | undefined;
}

/**
 * Reads a whole body. Its memory stays counted until `use` has finished.
 * @throws {RegistryError} UNAVAILABLE when it is encoded, too large or too slow; 503 when its share of the
 * memory is used up
 */
export async function receive<T>(
  reply: Reply,
  { maxBytes, timeoutMs, share = NO_SHARE }: ReceiveOptions,
  use: (bytes: Buffer) => T | Promise<T>,
): Promise<T> {
  assertIdentityEncoding(reply);
  const { body, headers, url } = reply;
  const announcedBytes = announcedSize(headers) ?? 0;
  const tooLarge = () =>
    new RegistryError('UNAVAILABLE', `${url.host} sent more than ${maxBytes} bytes for ${url.pathname}`);
  if (announcedBytes > maxBytes) {
    body.cancel();
    throw tooLarge();
  }
  const late = (why: string) =>
    new RegistryError('UNAVAILABLE', `${url.host} took ${why} for ${url.pathname}`, { status: 504 });
  const arrival = new Arrival(DOCUMENT_MEMORY, share);
  let arrivedBytes = 0;
  const timer = setTimeout(() => body.cancel(late(`more than ${timeoutMs} ms`)), timeoutMs);
  const trickle = setInterval(() => {
    if (arrival.isLarge && arrival.sizeBytes - arrivedBytes < TRICKLE_BYTES)
      body.cancel(late(`${TRICKLE_MS} ms for less than ${TRICKLE_BYTES} bytes of a large document`));
    arrivedBytes = arrival.sizeBytes;
  }, TRICKLE_MS);
  const stop = () => {
    clearTimeout(timer);
    clearInterval(trickle);
  };
  try {
    arrival.reserve(announcedBytes);
    await body.read((chunk, release) => {
      if (arrival.sizeBytes + chunk.length > maxBytes) throw tooLarge();
      arrival.add(chunk);
      release();
    });
    stop();
    return await use(arrival.bytes());
  } finally {
    stop();
    body.cancel();
    arrival.free();
  }
}

/** As {@link receive}, for a document that is small, or whose reader counts its memory itself. */
export function readBody(reply: Reply, maxBytes: number, timeoutMs: number, share?: Share): Promise<Buffer> {
  return receive(reply, { maxBytes, timeoutMs, share }, (bytes) => bytes);
}

/** Discards the body of a response whose head is enough. */
export function drain({ body }: Reply): void {
  let sizeBytes = 0;
  body
    .read((chunk, release) => {
      sizeBytes += chunk.length;
      release();
      if (sizeBytes > DISCARD_MAX_BYTES) body.cancel();
    })
    .catch(() => {
      // Nobody needs these bytes, so their failure changes nothing.
    });
}

/** Up to this size a document needs no budget: the number of requests limits them. Beyond it, the excess is charged. */
export const SMALL_BYTES = 64 * 1024;
/** 503 with `Retry-After`. The registry is not at fault. */
export function memoryExhausted(): RegistryError {
  return new RegistryError(
    'TOOMANYREQUESTS',
    'this mirror already receives its maximum number of large documents',
    {
      status: 503,
      headers: { 'retry-after': '1' },
    },
  );
}

/** An arriving document, in memory that grows with it. What exceeds {@link SMALL_BYTES} is charged to its share. */
export class Arrival {
  readonly #budget: FairBudget;
  readonly #share: Share;
  readonly #taken: (() => void)[] = [];
  /** How large the document may become without charging more. */
  #mayHave = SMALL_BYTES;
  #memory = Buffer.alloc(0);
  #sizeBytes = 0;

  constructor(budget: FairBudget, share: Share) {
    this.#budget = budget;
    this.#share = share;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get isLarge(): boolean {
    return this.#mayHave > SMALL_BYTES;
  }

  /** Charges memory for a document of this size. @throws {RegistryError} 503 when its share is used up */
  reserve(sizeBytes: number): void {
    if (sizeBytes <= this.#mayHave) return;
    const free = this.#budget.tryTake(sizeBytes - this.#mayHave, this.#share);
    if (free === undefined) throw memoryExhausted();
    this.#taken.push(free);
    this.#mayHave = sizeBytes;
  }

  /** @throws {RegistryError} see {@link reserve} */
  add(chunk: Buffer): void {
    const sizeBytes = this.#sizeBytes + chunk.length;
    if (sizeBytes > this.#memory.length) this.#grow(sizeBytes);
    // Copied, because the memory of a released chunk is reused.
    chunk.copy(this.#memory, this.#sizeBytes);
    this.#sizeBytes = sizeBytes;
  }

  bytes(): Buffer {
    const memory = this.#memory;
    return memory.length === this.#sizeBytes ? memory : Buffer.from(memory.subarray(0, this.#sizeBytes));
  }

  free(): void {
    for (const free of this.#taken) free();
    this.#memory = Buffer.alloc(0);
  }

  /** Doubles the memory, so that bytes are seldom copied. A reserved size is met exactly. */
  #grow(wantedBytes: number): void {
    const doubled = Math.max(wantedBytes, this.#memory.length * 2);
    const isReserved = wantedBytes <= this.#mayHave;
    const memory = Buffer.allocUnsafeSlow(isReserved ? Math.min(doubled, this.#mayHave) : doubled);
    this.reserve(memory.length);
    this.#memory.copy(memory);
    this.#memory = memory;
  }
}

/** Response headers that are passed on to the client: rate limits, warnings, and when to retry. */
const NOTICE = /^(?:ratelimit-(?:limit|remaining|reset)|docker-ratelimit-source|retry-after|warning)$/;
const NOTICE_MAX_CHARACTERS = 256;

/** The headers to pass on. None contains a line break, because Node's parser refuses those. */
export function noticesOf(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(headers).filter(
      ([name, value]) => NOTICE.test(name) && value.length <= NOTICE_MAX_CHARACTERS,
    ),
  );
}
