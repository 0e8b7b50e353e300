import { resolveReference, type WebLocation } from '../../lib/address.ts';
import { RegistryError } from '../../oci/registry-error.ts';
import { drain } from './response-reader.ts';
import type { Outgoing, Reply, Transport } from './transport.ts';

const HOPS_MAX = 5;
/** What a host that we were sent to may see of the request: no login, no name of ours. */
const SHARED_HEADERS = ['accept', 'accept-encoding', 'range', 'user-agent'];

/** Is the answer to be had at its `Location` instead? */
export function isRedirect({ status }: Reply): boolean {
  return status === 301 || status === 302 || status === 303 || status === 307 || status === 308;
}

/**
 * Where a redirect leads, as it was written.
 * @throws {RegistryError} UNAVAILABLE when there is none, it is no http(s) URL, holds a login, or leaves https for http.
 */
export function locationOf({ headers, url, target, status, body }: Reply): WebLocation {
  const text = headers['location'];
  const location = text === undefined ? undefined : resolveReference(text, { url, target });
  const refuse = (why: string) => {
    body.cancel();
    return new RegistryError('UNAVAILABLE', `${url.host} answered ${status} with a redirect that ${why}`);
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
 * @throws {RegistryError} UNAVAILABLE when there are too many or one leads where it must not.
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
      throw new RegistryError('UNAVAILABLE', `${outgoing.url.host} redirected more than ${HOPS_MAX} times`);
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
