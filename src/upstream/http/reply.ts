import { resolveReference, type WebLocation } from '../../lib/address.ts';
import { ByteBudget } from '../../lib/byte-budget.ts';
import { TurnQueue } from '../../lib/queue.ts';
import { RegistryError } from '../../oci/registry-error.ts';
import type { Outgoing, Reply, Transport } from './transport.ts';

const HOPS_MAX = 5;
/** What a host that we were sent to may see of the request: no login, no name of ours. */
const SHARED_HEADERS = ['accept', 'accept-encoding', 'range', 'user-agent'];

/** Is the answer to be had at its `Location` instead? */
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
 * Where a redirect leads, as it was written.
 * @throws {RedirectError} when there is none, it is no http(s) URL, holds a login, or leaves https for http.
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
  if (username !== '' || password !== '') throw refuse('holds a login');
  if (url.protocol === 'https:' && protocol === 'http:') throw refuse('leaves https for http');
  return location;
}

function withoutLogin(headers: Outgoing['headers']): Outgoing['headers'] {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => SHARED_HEADERS.includes(name)));
}

/** Meets the challenge of a host that a redirect led to, by sending the request again with an `Authorization` for it. */
export type MeetElsewhere = (
  refused: Reply,
  resend: (authorization: string) => Promise<Reply>,
) => Promise<Reply>;

export interface RedirectOptions {
  /** `origin`: a redirect that leaves the origin is itself the answer. `any` when not said. */
  readonly within?: 'any' | 'origin' | undefined;
  /** What becomes of another host's 401; it is the answer when not said. */
  readonly meetElsewhere?: MeetElsewhere | undefined;
}

/**
 * Follows `first`'s redirects to an answer that is none. Once a hop leaves the origin, login and all, nothing but the bare
 * request is sent, also should it come back.
 * @throws {RedirectError} when there are too many or one leads where it must not.
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

/** Responses that nobody wants to the end are read so far, to keep their connection, and cut off beyond. */
const DISCARD_MAX_BYTES = 64 * 1024;

/**
 * Refuses a body that is not the bytes themselves: we asked for `identity`, so anything else is a gateway's doing (or a
 * bomb), and would be stored under the wrong digest.
 * @throws {RegistryError} UNAVAILABLE.
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

/** The size a response announces, in bytes; undefined when it does not. */
export function announcedSize(headers: Readonly<Record<string, string>>): number | undefined {
  const text = headers['content-length'];
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** A document up to this size is bounded by the number of requests in flight; of a larger one the rest is budgeted. */
const SMALL_BYTES = 64 * 1024;
/** Large documents that arrive at the same time, in bytes: a registry that sends slowly must not fill the memory. */
const DOCUMENT_MEMORY = new ByteBudget(64 * 1024 * 1024);
/** Reading a large document takes milliseconds: many that arrive together are read one per turn. */
const LARGE_DOCUMENTS = new TurnQueue();

/** 503 with the time after which another try makes sense; no fault of the registry's. */
export function memoryExhausted(): RegistryError {
  return new RegistryError('TOOMANYREQUESTS', 'this mirror is receiving as many large documents as it may', {
    status: 503,
    headers: { 'retry-after': '1' },
  });
}

/**
 * A response's whole body, of at most `maxBytes`, within `timeoutMs`.
 * @throws {RegistryError} UNAVAILABLE when it is encoded, larger, or does not arrive.
 */
export async function readBody(reply: Reply, maxBytes: number, timeoutMs: number): Promise<Buffer> {
  assertIdentityEncoding(reply);
  const { body, headers, url } = reply;
  const tooLarge = () =>
    new RegistryError('UNAVAILABLE', `${url.host} sent more than ${maxBytes} bytes for ${url.pathname}`);
  if ((announcedSize(headers) ?? 0) > maxBytes) {
    body.cancel();
    throw tooLarge();
  }
  const late = new RegistryError(
    'UNAVAILABLE',
    `${url.host} took more than ${timeoutMs} ms for ${url.pathname}`,
    {
      status: 504,
    },
  );
  const timer = setTimeout(() => body.cancel(late), timeoutMs);
  const chunks: Buffer[] = [];
  const reserved: (() => void)[] = [];
  let sizeBytes = 0;
  try {
    await body.read((chunk, release) => {
      sizeBytes += chunk.length;
      if (sizeBytes > maxBytes) throw tooLarge();
      if (sizeBytes > SMALL_BYTES) {
        const free = DOCUMENT_MEMORY.tryTake(chunk.length);
        if (free === undefined) throw memoryExhausted();
        reserved.push(free);
      }
      // Copied, because a released chunk's memory may be the next chunk's.
      chunks.push(Buffer.from(chunk));
      release();
    });
    clearTimeout(timer);
    if (sizeBytes > SMALL_BYTES) await LARGE_DOCUMENTS.next();
    return Buffer.concat(chunks, sizeBytes);
  } finally {
    clearTimeout(timer);
    for (const free of reserved) free();
  }
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
      // Nobody waits for these bytes: what becomes of them changes nothing.
    });
}
