import { type ErrorCode, RegistryError } from '../oci/registry-error.ts';
import { isLoopError, LOOP_STATUS } from '../oci/via.ts';
import { StalledBodyError } from './http/body.ts';
import { readBody } from './http/response-reader.ts';
import { HeadTimeoutError, type Reply } from './http/transport.ts';
import { AddressRefusedError, ConnectTimeoutError } from './net/dial.ts';
import { DEFAULT_TIMEOUTS } from './settings.ts';

/** What was asked for, in the words of the person who asked: `docker.io/library/alpine:latest`, and which kind of thing. */
export interface ResourceRef {
  readonly name: string;
  readonly unknown: 'MANIFEST_UNKNOWN' | 'BLOB_UNKNOWN' | 'NAME_UNKNOWN';
}

const NETWORK_REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refused the connection',
  ECONNRESET: 'reset the connection',
  ENOTFOUND: 'is not known to DNS',
  EAI_AGAIN: 'could not be looked up (DNS does not answer)',
  EHOSTUNREACH: 'is unreachable',
  ENETUNREACH: 'is unreachable (no network)',
  ETIMEDOUT: 'did not answer in time',
  UND_ERR_SOCKET: 'closed the connection',
  HPE_HEADER_OVERFLOW: 'sent a response head that is too large',
  UND_ERR_HEADERS_OVERFLOW: 'sent a response head that is too large',
  CERT_HAS_EXPIRED: 'has an expired certificate',
  DEPTH_ZERO_SELF_SIGNED_CERT:
    'has a self-signed certificate; if it is meant, name its CA file for this upstream',
  SELF_SIGNED_CERT_IN_CHAIN: 'has a certificate of an unknown authority; name its CA file for this upstream',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    'has a certificate of an unknown authority; name its CA file for this upstream',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    'has a certificate of an unknown authority; name its CA file for this upstream',
  ERR_TLS_CERT_ALTNAME_INVALID: 'has a certificate for another name',
};

const TIMEOUTS = [HeadTimeoutError, ConnectTimeoutError, StalledBodyError];

function codesOf(error: unknown): readonly string[] {
  if (!(error instanceof Error)) return [];
  const own = (error as NodeJS.ErrnoException).code;
  const inner = error instanceof AggregateError ? error.errors.flatMap(codesOf) : codesOf(error.cause);
  return own === undefined ? inner : [own, ...inner];
}

/** Is it the request's own signal that ended it? Then the client has left, and nobody is to blame. */
export function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

/** A failure to reach a host or to read its answer, as the error that the client gets: 504 for a timeout, else 502. */
export function fromNetworkError(error: unknown, host: string): RegistryError {
  if (error instanceof RegistryError) return error;
  if (error instanceof AddressRefusedError)
    return new RegistryError('UNAVAILABLE', error.message, { cause: error });
  if (TIMEOUTS.some((kind) => error instanceof kind) && error instanceof Error) {
    return new RegistryError('UNAVAILABLE', `${host}: ${error.message}`, { status: 504, cause: error });
  }
  const codes = codesOf(error);
  const known = codes.map((code) => NETWORK_REASONS[code]).find((reason) => reason !== undefined);
  const said = error instanceof Error ? error.message : String(error);
  const status = codes.includes('ETIMEDOUT') ? 504 : 502;
  return new RegistryError('UNAVAILABLE', `${host} ${known ?? `failed: ${said}`}`, { status, cause: error });
}

/** Response headers that a client can use: rate limits, warnings and when to come back. */
const NOTICE = /^(?:ratelimit-(?:limit|remaining|reset)|docker-ratelimit-source|retry-after|warning)$/;
const NOTICE_MAX_CHARACTERS = 256;

/** The headers worth handing on, none of which can carry a line break: Node's parser has refused those. */
export function noticesOf(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(headers).filter(
      ([name, value]) => NOTICE.test(name) && value.length <= NOTICE_MAX_CHARACTERS,
    ),
  );
}

function codeOf(status: number, subject: ResourceRef): ErrorCode {
  if (status === 404 || status === 410) return subject.unknown;
  if (status === 401) return 'UNAUTHORIZED';
  if (status === 403) return 'DENIED';
  if (status === 416) return 'RANGE_INVALID';
  return status === 429 ? 'TOOMANYREQUESTS' : 'UNAVAILABLE';
}

const ADVICE: Partial<Record<ErrorCode, string>> = {
  UNAUTHORIZED: 'log in to this registry (docker login), or check the image name',
  DENIED: 'the login may not pull this',
  TOOMANYREQUESTS: 'its rate limit is reached; a login raises it',
};

/**
 * Statuses that a client understands better than a gateway's 502: the request does not suit the registry, the law forbids
 * the answer, or the registry is down for a while.
 */
const PASSED_ON: ReadonlySet<number> = new Set([400, 405, 406, 415, 451, 503, LOOP_STATUS]);

/** An answer that is no success, as the error that the client gets. */
export function fromStatus(reply: Reply, subject: ResourceRef): RegistryError {
  const { status, headers, url } = reply;
  const code = codeOf(status, subject);
  const advice = ADVICE[code] === undefined ? '' : `: ${ADVICE[code]}`;
  const contentRange = code === 'RANGE_INVALID' ? headers['content-range'] : undefined;
  return new RegistryError(code, `${url.host} answered ${status} for ${subject.name}${advice}`, {
    ...(PASSED_ON.has(status) ? { status } : {}),
    headers: {
      ...(code === 'UNAVAILABLE' || code === 'TOOMANYREQUESTS' ? noticesOf(headers) : {}),
      ...(contentRange === undefined ? {} : { 'content-range': contentRange }),
    },
  });
}

/** Is it the endpoint that is at fault, rather than what it was asked for? */
export function isOutage(error: unknown): boolean {
  return error instanceof RegistryError && error.code === 'UNAVAILABLE' && !isLoopError(error);
}

const ERROR_MAX_BYTES = 64 * 1024;
const SAID_MAX_CHARACTERS = 200;

/** The registry's own words for a refusal, of its first error. */
async function saidBy(reply: Reply): Promise<string> {
  try {
    const bytes = await readBody(reply, ERROR_MAX_BYTES, DEFAULT_TIMEOUTS.documentMs);
    const { errors } = JSON.parse(bytes.toString('utf8')) as { errors?: readonly { message?: unknown }[] };
    const message = errors?.[0]?.message;
    return typeof message === 'string' ? `: ${message.slice(0, SAID_MAX_CHARACTERS)}` : '';
  } catch {
    // No error document, or none that can be read: the status has to do.
    return '';
  }
}

/** A refusal of something that was to be written, in the registry's words where it has any. */
export async function pushFailure(reply: Reply, what: string): Promise<RegistryError> {
  const { status, url } = reply;
  const message = `${url.host} answered ${status} to ${what}${await saidBy(reply)}`;
  switch (status) {
    case 401:
      return new RegistryError('UNAUTHORIZED', message);
    case 403:
      return new RegistryError('DENIED', message);
    case 404:
      return new RegistryError('NAME_UNKNOWN', message);
    case 405:
      return new RegistryError('UNSUPPORTED', message);
    case 429:
      return new RegistryError('TOOMANYREQUESTS', message);
    default:
      return new RegistryError('UNAVAILABLE', message);
  }
}
