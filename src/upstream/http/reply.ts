import { resolveReference, type WebLocation } from '../../lib/address.ts';
import { FairBudget, NO_SHARE, type Share } from '../../lib/fair-budget.ts';
import { RegistryError } from '../../oci/registry-error.ts';

import type { Outgoing, Reply, Transport } from './transport.ts';

const HOPS_MAX = 5;
/** The headers that a redirect's target may see: no login, no name of this mirror. */
const SHARED_HEADERS = ['accept', 'accept-encoding', 'range', 'user-agent'];

/** True when the answer is at its `Location` instead. */
export function isRedirect({ status }: Reply): boolean {
  return status === 301 || status === 302 || status === 303 || status === 307 || status === 308;
}

/** A redirect that cannot or must not be followed. */
export class RedirectError extends RegistryError {
  constructor(message: string) {
    super('UNAVAILABLE', message);
  }
}

/**
 * Where a redirect leads, as written.
 * @throws {RedirectError} when it has no location, one that is not an http(s) URL, or one that contains a login or leaves
 * https for http.
 */
export function locationOf({ headers, url, target, status, body }: Reply): WebLocation {
  const text = headers['location'];
  const location = text === undefined ? undefined : resolveReference(text, { url, target });
  const refuse = (why: string) => {
    body.cancel();
    return new RedirectError(`${url.host} answered ${status} with a redirect that ${why}`);
  };
  if (location === undefined) throw refuse('leads nowhere');
  const { protocol, username, password } = location.url;
  if (!/^https?:$/.test(protocol)) throw refuse(`leads to ${protocol}`);
  if (username !== '' || password !== '') throw refuse('contains a login');
  if (url.protocol === 'https:' && protocol === 'http:') throw refuse('leaves https for http');
  return location;
}

function withoutLogin(headers: Outgoing['headers']): Outgoing['headers'] {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => SHARED_HEADERS.includes(name)));
}

/** Meets the challenge of a redirect's target, by sending the request again with an `Authorization` for it. */
export type MeetElsewhere = (
  refused: Reply,
  resend: (authorization: string) => Promise<Reply>,
) => Promise<Reply>;

export interface RedirectOptions {
  /** `origin`: a redirect that leaves the origin is itself the answer. Default: `any`. */
  readonly within?: 'any' | 'origin' | undefined;
  /** Handles another host's 401. Default: it is the answer. */
  readonly meetElsewhere?: MeetElsewhere | undefined;
}

/**
 * Follows `first`'s redirects until an answer is none. Once a hop leaves the origin, only the bare request is sent,
 * without the login, even if a later hop returns.
 * @throws {RedirectError} when there are too many or one leads where it must not
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
 * Success statuses that carry content. With 203 a gateway may have changed it, and 201 and 202 belong to other methods:
 * the digest decides.
 */
export const WHOLE = [200, 201, 202, 203];

/** Responses that nobody needs are read up to this size, to keep their connection, and cut beyond it. */
const DISCARD_MAX_BYTES = 64 * 1024;

/**
 * Refuses a body that is not the bytes themselves: the request asked for `identity`, so an encoding comes from a
 * gateway (or is a bomb), and the content would be stored under the wrong digest.
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

/** The size that a response announces, in bytes; undefined when it does not. */
export function announcedSize(headers: Readonly<Record<string, string>>): number | undefined {
  const text = headers['content-length'];
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** Large documents that arrive or are read at the same time, in bytes: registries that send slowly must not fill the memory. */
const DOCUMENT_MEMORY = new FairBudget(64 * 1024 * 1024);

/** Of a large document so much has to come in this time: nobody holds memory for others with a trickle. */
const TRICKLE_BYTES = 16 * 1024;
const TRICKLE_MS = 5000;

export interface ReceiveOptions {
  readonly maxBytes: number;
  readonly timeoutMs: number;
  /** Whose share of the memory a large document takes. */
  readonly share?: Share | undefined;
}

/**
 * Reads a response's whole body, and counts its memory until `use` is done with it.
 * @throws {RegistryError} UNAVAILABLE when it is encoded, larger, or does not arrive; 503 when its share of the memory is used up.
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

/** {@link receive} for a document that is small, or whose reader counts its memory itself. */
export function readBody(reply: Reply, maxBytes: number, timeoutMs: number, share?: Share): Promise<Buffer> {
  return receive(reply, { maxBytes, timeoutMs, share }, (bytes) => bytes);
}

/** Lets go of a response whose head said everything. */
export function drain({ body }: Reply): void {
  let sizeBytes = 0;
  body
    .read((chunk, release) => {
      sizeBytes += chunk.length;
      release();
      if (sizeBytes > DISCARD_MAX_BYTES) body.cancel();
    })
    .catch(() => {
      // Nobody waits for these bytes: their outcome changes nothing.
    });
}

/** A document up to this size is bounded by the number of requests in flight; of a larger one the rest is budgeted. */
export const SMALL_BYTES = 64 * 1024;
/** 503 with a time to retry; the registry is not at fault. */
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

/** A document as it arrives, in memory that grows with it; what is to come of a large one is taken from its share at once. */
export class Arrival {
  readonly #budget: FairBudget;
  readonly #share: Share;
  readonly #taken: (() => void)[] = [];
  /** Small documents need no share. */
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

  /** Makes sure that a document may have this size. @throws {RegistryError} 503 when its share of the memory is used up. */
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
    // Copied, because a released chunk's memory may be the next chunk's.
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

  /** Doubles, so that nothing is copied often; a size that was reserved is met exactly. */
  #grow(wantedBytes: number): void {
    const doubled = Math.max(wantedBytes, this.#memory.length * 2);
    const isReserved = wantedBytes <= this.#mayHave;
    const memory = Buffer.allocUnsafeSlow(isReserved ? Math.min(doubled, this.#mayHave) : doubled);
    this.reserve(memory.length);
    this.#memory.copy(memory);
    this.#memory = memory;
  }
}

/** Response headers for the client: rate limits, warnings and when to retry. */
const NOTICE = /^(?:ratelimit-(?:limit|remaining|reset)|docker-ratelimit-source|retry-after|warning)$/;
const NOTICE_MAX_CHARACTERS = 256;

/** The headers to pass on; none can contain a line break: Node's parser has refused those. */
export function noticesOf(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(headers).filter(
      ([name, value]) => NOTICE.test(name) && value.length <= NOTICE_MAX_CHARACTERS,
    ),
  );
}
