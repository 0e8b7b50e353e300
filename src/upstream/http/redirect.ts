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
 * The absolute URL a redirect leads to.
 * @throws {RegistryError} UNAVAILABLE when there is none, it is no http(s) URL, holds a login, or leaves https for http.
 */
export function locationOf({ headers, url, status, body }: Reply): URL {
  const text = headers['location'];
  const target = text !== undefined && URL.canParse(text, url.href) ? new URL(text, url) : undefined;
  const refuse = (why: string) => {
    body.cancel();
    return new RegistryError('UNAVAILABLE', `${url.host} answered ${status} with a redirect that ${why}`);
  };
  if (target === undefined) throw refuse('leads nowhere');
  if (!/^https?:$/.test(target.protocol)) throw refuse(`leads to ${target.protocol}`);
  if (target.username !== '' || target.password !== '') throw refuse('holds a login');
  if (url.protocol === 'https:' && target.protocol === 'http:') throw refuse('leaves https for http');
  return target;
}

function withoutLogin(headers: Outgoing['headers']): Outgoing['headers'] {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => SHARED_HEADERS.includes(name)));
}

/**
 * Follows `first`'s redirects to an answer that is none; with `within` only such as stay on the origin, and one that leaves
 * it is the answer. Once a hop leaves the origin, login and all, nothing but the bare request is sent, also should it come
 * back.
 * @throws {RegistryError} UNAVAILABLE when there are too many or one leads where it must not.
 */
export async function followRedirects(
  send: Transport['send'],
  outgoing: Outgoing,
  first: Reply,
  within: 'any' | 'origin' = 'any',
): Promise<Reply> {
  let reply = first;
  let request = outgoing;
  for (let hop = 0; isRedirect(reply); hop += 1) {
    if (within === 'origin' && locationOf(reply).origin !== request.url.origin) break;
    drain(reply);
    if (hop === HOPS_MAX) {
      throw new RegistryError('UNAVAILABLE', `${outgoing.url.host} redirected more than ${HOPS_MAX} times`);
    }
    const url = locationOf(reply);
    const headers = url.origin === request.url.origin ? request.headers : withoutLogin(request.headers);
    request = { ...request, url, headers };
    reply = await send(request);
  }
  return reply;
}
