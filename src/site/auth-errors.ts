import type { IncomingHttpHeaders } from 'node:http';
import type { Repository } from '../oci/reference.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { SiteUrl } from './auth-header.ts';
import type { Reason } from './authenticate.ts';
import { scopeNameOf } from './scope.ts';
import { SERVICE } from './token.ts';

/** Where the token service answers. */
export const TOKEN_PATH = '/token';

const BASIC = `Basic realm="${SERVICE}"`;

const MESSAGES: Readonly<Record<Exclude<Reason, 'too many failures'>, string>> = {
  'no credentials': 'this site asks for a login: docker login',
  'malformed credentials': 'the Authorization header is neither Basic nor Bearer',
  'wrong credentials': 'there is no such login, or its password is another',
  'expired token': 'the token has expired: ask for another',
  'invalid token': 'the token is not of this site, or its login has changed: ask for another',
};

/** What a token lacks, in RFC 6750's words: clients that hold one ask for another. */
const TOKEN_ERRORS: Readonly<Partial<Record<Reason, string>>> = {
  'expired token': 'invalid_token',
  'invalid token': 'invalid_token',
};

/**
 * The challenge. Bearer first: docker, containerd and containers/image read the first one only, or prefer it; Basic
 * for everything that knows nothing else, and when the request does not tell where the token service is.
 * @see https://distribution.github.io/distribution/spec/auth/token/#how-to-authenticate
 */
export function challenge(
  siteUrl: string | undefined,
  repository: Repository | undefined,
  error?: string,
): string {
  if (siteUrl === undefined) return BASIC;
  const scope = repository === undefined ? '' : `,scope="repository:${scopeNameOf(repository)}:pull"`;
  const why = error === undefined ? '' : `,error="${error}"`;
  return `Bearer realm="${siteUrl}${TOKEN_PATH}",service="${SERVICE}"${scope}${why}, ${BASIC}`;
}

/** 429 with the seconds to wait. */
function tooManyFailures(waitMs: number): RegistryError {
  const seconds = Math.max(1, Math.ceil(waitMs / 1000));
  return new RegistryError('TOOMANYREQUESTS', `too many failed logins from this address: wait ${seconds} s`, {
    headers: { 'retry-after': String(seconds) },
  });
}

/** What a request is told that is nobody's: 401 with the challenge, or 429. */
export function unauthorized(
  { reason, waitMs }: { readonly reason: Reason; readonly waitMs?: number },
  where: {
    readonly siteUrl: SiteUrl;
    readonly headers: IncomingHttpHeaders;
    readonly repository?: Repository | undefined;
  },
): RegistryError {
  if (reason === 'too many failures') return tooManyFailures(waitMs ?? 0);
  const header = challenge(where.siteUrl(where.headers), where.repository, TOKEN_ERRORS[reason]);
  return new RegistryError('UNAUTHORIZED', MESSAGES[reason], { headers: { 'www-authenticate': header } });
}

/** What is told by a path beside the registry's own, where only passwords count. */
export function basicRefusal({
  reason,
  waitMs,
}: {
  readonly reason: Reason;
  readonly waitMs?: number;
}): RegistryError {
  if (reason === 'too many failures') return tooManyFailures(waitMs ?? 0);
  return new RegistryError('UNAUTHORIZED', MESSAGES[reason], {
    headers: { 'www-authenticate': BASIC },
  });
}
