import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { ConfigError } from '../lib/config-error.ts';
import { type RequestHandler, sendJson as sendJsonWith } from '../lib/http.ts';
import type { Log } from '../lib/log.ts';
import type { Repository } from '../oci/reference.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { auditReasonOf } from './api/api-problem.ts';
import type { Audit, AuditReason, Trail } from './audit.ts';
import type { Reason } from './authenticate.ts';
import type { ClientAddress, SiteUrl } from './client-address.ts';
import { scopeNameOf } from './permissions.ts';
import { SERVICE } from './token.ts';

/** The path of the token service. */
export const TOKEN_PATH = '/token';

const BASIC = `Basic realm="${SERVICE}"`;

/** Why a request is not authenticated, for its client. */
export const MESSAGES: Readonly<Record<Exclude<Reason, 'too-many-failures'>, string>> = {
  'no-credentials': 'this site needs a login',
  'malformed-credentials': 'the Authorization header is neither Basic nor Bearer',
  'wrong-credentials': 'there is no such login, or the password is wrong',
  'unknown-machine': 'the user name describes no machine: write ACCOUNT/cpu#zen4,nvcap#9.0',
  'expired-access-token': 'the access token has expired: make another with metahub token create',
  'expired-token': 'the token has expired: ask for another',
  'invalid-token': 'the token is not of this site, or its login has changed: ask for another',
};

/** What a client without a login does next: one of the registry's API, and any other. */
const LOG_IN = 'docker login';
const SEND_PASSWORD = 'send user name and password by HTTP Basic';

function messageOf(reason: keyof typeof MESSAGES, nextStep: string): string {
  return reason === 'no-credentials' ? `${MESSAGES[reason]}: ${nextStep}` : MESSAGES[reason];
}

/** What is wrong with a token, in RFC 6750's terms: a client that knows them fetches another one. */
const TOKEN_ERRORS: Readonly<Partial<Record<Reason, string>>> = {
  'expired-token': 'invalid_token',
  'invalid-token': 'invalid_token',
};

/** The action for which the right is missing. */
interface Challenged {
  readonly repository: Repository | undefined;
  readonly action?: 'pull' | 'push' | undefined;
  /** What is wrong with the presented token, in RFC 6750's terms. */
  readonly error?: string | undefined;
}

/**
 * The challenge. Bearer comes first: docker, containerd and containers/image read only the first one, or prefer it.
 * Basic is for clients that know nothing else. It stands alone when the request does not say where the token service
 * is.
 * @see https://distribution.github.io/distribution/spec/auth/token/#how-to-authenticate
 */
export function challenge(siteUrl: string | undefined, { repository, action, error }: Challenged): string {
  if (siteUrl === undefined) return BASIC;
  const actions = action === 'push' ? 'pull,push' : 'pull';
  const scope = repository === undefined ? '' : `,scope="repository:${scopeNameOf(repository)}:${actions}"`;
  const why = error === undefined ? '' : `,error="${error}"`;
  return `Bearer realm="${siteUrl}${TOKEN_PATH}",service="${SERVICE}"${scope}${why}, ${BASIC}`;
}

/** 429 with the seconds to wait, whether because of the address, the account or the load: it does not say which. */
function tooManyFailures(waitMs: number): RegistryError {
  const seconds = Math.max(1, Math.ceil(waitMs / 1000));
  return new RegistryError('TOOMANYREQUESTS', `too many failed logins: wait ${seconds} s`, {
    headers: { 'retry-after': String(seconds) },
  });
}

/** The answer to a request without authentication: 401 with the challenge, or 429. */
export function unauthorized(
  { reason, waitMs }: { readonly reason: Reason; readonly waitMs?: number },
  where: {
    readonly siteUrl: SiteUrl;
    readonly headers: IncomingHttpHeaders;
    readonly repository?: Repository | undefined;
    readonly action?: 'push' | undefined;
  },
): RegistryError {
  if (reason === 'too-many-failures') return tooManyFailures(waitMs ?? 0);
  const { siteUrl, headers, repository, action } = where;
  const header = challenge(siteUrl(headers), { repository, action, error: TOKEN_ERRORS[reason] });
  const message = messageOf(reason, LOG_IN);
  return new RegistryError('UNAUTHORIZED', message, { headers: { 'www-authenticate': header } });
}

/** The same for a path outside the registry's API, where only passwords count. */
export function basicRefusal({
  reason,
  waitMs,
}: {
  readonly reason: Reason;
  readonly waitMs?: number;
}): RegistryError {
  if (reason === 'too-many-failures') return tooManyFailures(waitMs ?? 0);
  return new RegistryError('UNAUTHORIZED', messageOf(reason, SEND_PASSWORD), {
    headers: { 'www-authenticate': BASIC },
  });
}

/** No form or document for a site is larger, in bytes. */
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

/** The request's body as text. @throws {RegistryError} 413 when it is too long */
export async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  // Leaving a loop over the request itself would destroy it, and its connection before the answer.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > BODY_MAX_BYTES) {
      throw new RegistryError('DENIED', 'the body is too long', {
        status: 413,
        headers: { connection: 'close' },
      });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Status of a refusal -> what the audit trail says of it, where the endpoint says nothing more exact. */
const REASONS: Readonly<Record<number, AuditReason>> = {
  400: 'invalid-body',
  403: 'not-allowed',
  405: 'method-not-allowed',
  413: 'too-large',
};

function reasonOf(error: unknown): AuditReason {
  if (!(error instanceof RegistryError)) return 'internal';
  return error.cause instanceof ConfigError
    ? auditReasonOf(error.cause)
    : (REASONS[error.status] ?? 'internal');
}

export interface AnsweringOptions {
  /** What fails, for the log. */
  readonly what: string;
  readonly log: Log;
  readonly audit: Audit;
  readonly clientAddress: ClientAddress;
}

/** Answers one request; adds what it learns of it to the trail, which has the client's address. */
export type SiteAnswer = (request: IncomingMessage, response: ServerResponse, trail: Trail) => Promise<void>;

/**
 * A handler of an async answer; it sends a RegistryError in its wire form, any other error as 500 without its message, which
 * it logs. It writes each to the audit trail.
 */
export function answering(
  { what, log, audit, clientAddress }: AnsweringOptions,
  answer: SiteAnswer,
): RequestHandler {
  return (request, response) => {
    const [resource = ''] = (request.url ?? '').split('?');
    const address = clientAddress(request.socket.remoteAddress ?? '', request.headers);
    const trail: Trail = { address, resource };
    answer(request, response, trail).catch((error: unknown) => {
      audit({ decision: 'refused', ...trail, reason: trail.reason ?? reasonOf(error) });
      // The client that left has caused its error itself.
      if (!(error instanceof RegistryError || response.destroyed))
        log('error', 'endpoint-failed', `${what} failed`, { reason: String(error) });
      const wire = error instanceof RegistryError ? error : new RegistryError('UNKNOWN', `${what} failed`);
      if (response.headersSent || response.destroyed) response.destroy();
      else sendJson(response, wire.status, wire.toJSON(), wire.headers);
    });
  };
}
