import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { type RequestHandler, sendJson as sendJsonWith } from '../lib/http.ts';
import type { Repository } from '../oci/reference.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { Reason } from './authenticate.ts';
import type { SiteUrl } from './client-address.ts';
import { scopeNameOf } from './permissions.ts';
import { SERVICE } from './token.ts';

/** Where the token service answers. */
export const TOKEN_PATH = '/token';

const BASIC = `Basic realm="${SERVICE}"`;

const MESSAGES: Readonly<Record<Exclude<Reason, 'too many failures'>, string>> = {
  'no credentials': 'this site needs a login: docker login',
  'malformed credentials': 'the Authorization header is neither Basic nor Bearer',
  'wrong credentials': 'there is no such login, or its password is another',
  'unknown machine': 'the user name describes no machine: write ACCOUNT/cpu#zen4,nvcap#9.0',
  'expired access token': 'the access token has expired: make another with metahub token create',
  'expired token': 'the token has expired: ask for another',
  'invalid token': 'the token is not of this site, or its login has changed: ask for another',
};

/** What is wrong with a token, in RFC 6750's words: a client that reads them fetches another one. */
const TOKEN_ERRORS: Readonly<Partial<Record<Reason, string>>> = {
  'expired token': 'invalid_token',
  'invalid token': 'invalid_token',
};

/** What was asked for without the right to it. */
interface Challenged {
  readonly repository: Repository | undefined;
  readonly action?: 'pull' | 'push' | undefined;
  /** What is wrong with the token that came, in RFC 6750's words. */
  readonly error?: string | undefined;
}

/**
 * The challenge. Bearer first: docker, containerd and containers/image read only the first one, or prefer it; then Basic
 * for clients that know nothing else, alone when the request does not say where the token service is.
 * @see https://distribution.github.io/distribution/spec/auth/token/#how-to-authenticate
 */
export function challenge(siteUrl: string | undefined, { repository, action, error }: Challenged): string {
  if (siteUrl === undefined) return BASIC;
  const actions = action === 'push' ? 'pull,push' : 'pull';
  const scope = repository === undefined ? '' : `,scope="repository:${scopeNameOf(repository)}:${actions}"`;
  const why = error === undefined ? '' : `,error="${error}"`;
  return `Bearer realm="${siteUrl}${TOKEN_PATH}",service="${SERVICE}"${scope}${why}, ${BASIC}`;
}

/** 429 with the seconds to wait, because of the address, the account, or the load: it does not say which. */
function tooManyFailures(waitMs: number): RegistryError {
  const seconds = Math.max(1, Math.ceil(waitMs / 1000));
  return new RegistryError('TOOMANYREQUESTS', `too many failed logins: wait ${seconds} s`, {
    headers: { 'retry-after': String(seconds) },
  });
}

/** The answer to a request that is not authenticated: 401 with the challenge, or 429. */
export function unauthorized(
  { reason, waitMs }: { readonly reason: Reason; readonly waitMs?: number },
  where: {
    readonly siteUrl: SiteUrl;
    readonly headers: IncomingHttpHeaders;
    readonly repository?: Repository | undefined;
    readonly action?: 'push' | undefined;
  },
): RegistryError {
  if (reason === 'too many failures') return tooManyFailures(waitMs ?? 0);
  const { siteUrl, headers, repository, action } = where;
  const header = challenge(siteUrl(headers), { repository, action, error: TOKEN_ERRORS[reason] });
  return new RegistryError('UNAUTHORIZED', MESSAGES[reason], { headers: { 'www-authenticate': header } });
}

/** The same for a path beside the registry's own, where only passwords count. */
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

/** No form or document sent to a site is larger, in bytes. */
const BODY_MAX_BYTES = 16 * 1024;

/** Answers with JSON that no cache keeps: a shared cache would give a token to other clients. */
export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  sendJsonWith(response, status, body, ['Cache-Control', 'no-store', ...Object.entries(headers).flat()]);
}

/** The request's body as text. @throws {RegistryError} 413 when it is too long. */
export async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > BODY_MAX_BYTES)
      throw new RegistryError('DENIED', 'the body is too long', { status: 413 });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** A handler of an async answer; a RegistryError is sent in its wire form, anything else as 500 without its words. */
export function answering(
  what: string,
  answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
): RequestHandler {
  return (request, response) => {
    answer(request, response).catch((error: unknown) => {
      const wire = error instanceof RegistryError ? error : new RegistryError('UNKNOWN', `${what} failed`);
      if (response.headersSent || response.destroyed) response.destroy();
      else sendJson(response, wire.status, wire.toJSON(), wire.headers);
    });
  };
}
