import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { ConfigError } from '../lib/config-error.ts';
import { type RequestHandler, readLimited, sendJson as sendJsonWith } from '../lib/http.ts';
import type { Log } from '../lib/log.ts';
import { check, type Schema } from '../lib/schema.ts';
import { parseStrictJson } from '../lib/strict-json.ts';
import { pathIn } from '../lib/url.ts';
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

/** The reason of a failed authentication, in words for the client. */
export const MESSAGES: Readonly<Record<Exclude<Reason, 'too-many-failures'>, string>> = {
  'no-credentials': 'this site needs a login',
  'malformed-credentials': 'the Authorization header is neither Basic nor Bearer',
  'wrong-credentials': 'there is no such login, or the password is wrong',
  'unknown-machine': 'the user name describes no machine: write ACCOUNT/cpu#zen4,nvcap#9.0',
  'expired-access-token': 'the access token has expired: make another with metahub token create',
  'expired-token': 'the token has expired: ask for another',
  'invalid-token': 'the token is not of this site, or its login has changed: ask for another',
};

/** The next step for a client without a login: of the registry's API, and of any other path. */
const LOG_IN = 'docker login';
const SEND_PASSWORD = 'send user name and password by HTTP Basic';

function messageOf(reason: keyof typeof MESSAGES, nextStep: string): string {
  return reason === 'no-credentials' ? `${MESSAGES[reason]}: ${nextStep}` : MESSAGES[reason];
}

/** What is wrong with a token, in RFC 6750's terms. A client that knows them fetches another token. */
const TOKEN_ERRORS: Readonly<Partial<Record<Reason, string>>> = {
  'expired-token': 'invalid_token',
  'invalid-token': 'invalid_token',
};

/** The repository and the action that need a token. */
interface Challenged {
  readonly repository: Repository | undefined;
  readonly action?: 'pull' | 'push' | undefined;
  /** What is wrong with the presented token, in RFC 6750's terms. */
  readonly error?: string | undefined;
}

/**
 * Formats the challenge. Bearer comes first, because docker, containerd and containers/image read only the
 * first challenge, or prefer Bearer. Basic is for clients that know nothing else. It stands alone when the
 * request does not tell the URL of the token service.
 * @see https://distribution.github.io/distribution/spec/auth/token/#how-to-authenticate
 */
export function challenge(siteUrl: string | undefined, { repository, action, error }: Challenged): string {
  if (siteUrl === undefined) return BASIC;
  const actions = action === 'push' ? 'pull,push' : 'pull';
  const scope = repository === undefined ? '' : `,scope="repository:${scopeNameOf(repository)}:${actions}"`;
  const why = error === undefined ? '' : `,error="${error}"`;
  return `Bearer realm="${siteUrl}${TOKEN_PATH}",service="${SERVICE}"${scope}${why}, ${BASIC}`;
}

/** 429 with the seconds to wait. Does not reveal whether the address, the account or the load is the reason. */
function tooManyFailures(waitMs: number): RegistryError {
  const seconds = Math.max(1, Math.ceil(waitMs / 1000));
  return new RegistryError('TOOMANYREQUESTS', `too many failed logins: wait ${seconds} s`, {
    headers: { 'retry-after': String(seconds) },
  });
}

/** The answer to a request without a valid login: 401 with the challenge, or 429. */
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

/** Maximum size of a form or document for a site, in bytes. */
const BODY_MAX_BYTES = 16 * 1024;

/** Sends JSON that no cache stores, because a shared cache would give a token to other clients. */
export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  sendJsonWith(response, status, body, ['Cache-Control', 'no-store', ...Object.entries(headers).flat()]);
}

/**
 * Reads the request's body as text. Closes the connection of a client that sends it too slowly.
 * @throws {RegistryError} 413 when it is too long
 */
export async function readBody(request: IncomingMessage): Promise<string> {
  const bytes = await readLimited(request, BODY_MAX_BYTES);
  if (bytes !== undefined) return bytes.toString('utf8');
  throw new RegistryError('DENIED', 'the body is too long', {
    status: 413,
    headers: { connection: 'close' },
  });
}

/** Parses a body and validates it; undefined: it is not JSON, has a name twice, or does not match the schema. */
export function readJson<T>(body: string, schema: Schema<T>): T | undefined {
  try {
    return check(schema, parseStrictJson(body)).output;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Status of a refusal -> reason in the audit trail, where the endpoint gives no more exact one. */
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
  /** What fails, in words for the log. */
  readonly what: string;
  readonly log: Log;
  readonly audit: Audit;
  readonly clientAddress: ClientAddress;
}

/** Answers one request, and adds what it learns to the trail, which has the client's address already. */
export type SiteAnswer = (request: IncomingMessage, response: ServerResponse, trail: Trail) => Promise<void>;

/**
 * Creates a handler from an async answer. Sends a RegistryError in its wire form. Sends any other error as
 * 500 without its message, and logs the message. Writes each error to the audit trail.
 */
export function answering(
  { what, log, audit, clientAddress }: AnsweringOptions,
  answer: SiteAnswer,
): RequestHandler {
  return (request, response) => {
    const address = clientAddress(request.socket.remoteAddress ?? '', request.headers);
    const trail: Trail = { address, resource: pathIn(request.url ?? '') };
    answer(request, response, trail).catch((error: unknown) => {
      audit({ decision: 'refused', ...trail, reason: trail.reason ?? reasonOf(error) });
      // When the client has left, the error is only the consequence of that.
      if (!(error instanceof RegistryError || response.destroyed))
        log('error', 'endpoint-failed', `${what} failed`, { reason: String(error) });
      const wire = error instanceof RegistryError ? error : new RegistryError('UNKNOWN', `${what} failed`);
      if (response.headersSent || response.destroyed) response.destroy();
      else sendJson(response, wire.status, wire.toJSON(), wire.headers);
    });
  };
}
