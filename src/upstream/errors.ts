import { parseJson } from '../lib/json.ts';
import {
  type ErrorCode,
  isLoopError,
  LOOP_STATUS,
  RegistryError,
  type RegistryErrorOptions,
} from '../oci/registry-error.ts';
import { StalledBodyError } from './http/body.ts';
import { noticesOf, RedirectError, readBody } from './http/reply.ts';
import { HeadTimeoutError, type Reply } from './http/transport.ts';
import { ConnectTimeoutError } from './net/dial.ts';
import { AddressRefusedError } from './net/name-guard.ts';

/** What was requested, for messages: `docker.io/library/alpine:latest`, and the code of its 404. */
export interface ResourceRef {
  readonly name: string;
  readonly unknown: 'MANIFEST_UNKNOWN' | 'BLOB_UNKNOWN' | 'NAME_UNKNOWN';
  /** Read the code in the body of a 404: NAME_UNKNOWN means that the registry does not know the repository. */
  readonly readsCode?: boolean;
}

/** OpenSSL reads the first bytes of a plain-text answer as a TLS version or a length. */
const NO_TLS = 'does not speak TLS; if plain HTTP is intended, write its URL: --upstream NAME=http://HOST';

const NETWORK_REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refused the connection',
  ECONNRESET: 'reset the connection',
  ENOTFOUND: 'is not known to DNS',
  EAI_AGAIN: 'could not be looked up (DNS does not answer)',
  EHOSTUNREACH: 'is unreachable',
  ENETUNREACH: 'is unreachable (no network)',
  ETIMEDOUT: 'did not answer in time',
  HPE_HEADER_OVERFLOW: 'sent a response head that is too large',
  ERR_SSL_WRONG_VERSION_NUMBER: NO_TLS,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: NO_TLS,
  CERT_HAS_EXPIRED: 'has an expired certificate',
  DEPTH_ZERO_SELF_SIGNED_CERT:
    'has a self-signed certificate; if that is intended, name its CA file for this upstream',
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

/** True when the request was aborted by its own signal: the client has left, and no registry is at fault. */
export function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

/** 503 with `Retry-After`. No registry is at fault. */
function handlesExhausted(cause: unknown): RegistryError {
  return new RegistryError('TOOMANYREQUESTS', 'this mirror has no file handles left', {
    status: 503,
    headers: { 'retry-after': '1' },
    cause,
  });
}

/** Turns a network failure into the error for the client: 504 after a timeout, otherwise 502. */
export function fromNetworkError(error: unknown, host: string): RegistryError {
  if (error instanceof RegistryError) return error;
  if (error instanceof AddressRefusedError)
    return new RegistryError('UNAVAILABLE', error.message, { cause: error });
  if (TIMEOUTS.some((kind) => error instanceof kind) && error instanceof Error) {
    return new RegistryError('UNAVAILABLE', `${host}: ${error.message}`, { status: 504, cause: error });
  }
  const codes = codesOf(error);
  if (codes.some((code) => code === 'EMFILE' || code === 'ENFILE')) return handlesExhausted(error);
  const known = codes.map((code) => NETWORK_REASONS[code]).find((reason) => reason !== undefined);
  const said = error instanceof Error ? error.message : String(error);
  const status = codes.includes('ETIMEDOUT') ? 504 : 502;
  return new RegistryError('UNAVAILABLE', `${host} ${known ?? `failed: ${said}`}`, { status, cause: error });
}

/** Statuses with a code of their own. Any other failure is UNAVAILABLE. */
const CODES: Readonly<Record<number, ErrorCode>> = {
  400: 'UNKNOWN',
  401: 'UNAUTHORIZED',
  403: 'DENIED',
  405: 'UNSUPPORTED',
  406: 'UNKNOWN',
  415: 'UNKNOWN',
  416: 'RANGE_INVALID',
  429: 'TOOMANYREQUESTS',
  451: 'DENIED',
};

function codeOf(status: number, subject: ResourceRef): ErrorCode {
  return status === 404 || status === 410 ? subject.unknown : (CODES[status] ?? 'UNAVAILABLE');
}

/**
 * Statuses that the client gets unchanged, because they say more than 502: the registry does not support the
 * request, the answer is legally blocked, or the registry is temporarily down.
 */
const PASSED_ON = [400, 405, 406, 415, 451, 503, LOOP_STATUS];

interface Refusal {
  /** True when the request had an `Authorization` for the registry's challenge. */
  readonly isAuthorized: boolean;
  /** True when the reply came from another host, which the registry redirected to. */
  readonly isElsewhere: boolean;
}

/** A registry's reply with an error status. */
export class StatusError extends RegistryError {
  /** The status of the registry's reply; the client may get another. */
  readonly answered: number;
  readonly refusal: Refusal;

  constructor(
    code: ErrorCode,
    message: string,
    answered: number,
    refusal: Refusal,
    options: RegistryErrorOptions = {},
  ) {
    super(code, message, options);
    this.answered = answered;
    this.refusal = refusal;
  }
}

/** True when the connection broke, or the answer was not valid HTTP. */
function isBrokenAnswer(error: unknown): boolean {
  const isBroken = (code: string) => code === 'ECONNRESET' || code.startsWith('HPE_');
  return error instanceof RegistryError && codesOf(error).some(isBroken);
}

/**
 * True when GET may succeed where HEAD failed with this error. Some registries, gateways and signed URLs
 * support only GET, or have other rules for HEAD. So a failed HEAD is final only when an authorized request was
 * denied, or when the cause (a rate limit, a loop) would fail the GET too.
 */
export function isWorthGet(error: unknown): boolean {
  // A server may break the connection, send an invalid redirect or an invalid answer for HEAD only.
  if (!(error instanceof StatusError)) return error instanceof RedirectError || isBrokenAnswer(error);
  const { answered, refusal } = error;
  const isDenied = refusal.isAuthorized && !refusal.isElsewhere && (answered === 401 || answered === 403);
  return !isDenied && answered !== 429 && answered !== LOOP_STATUS;
}

/** Statuses that are about the requested object, the client, the rate or the route, not about a header. */
const NOT_ABOUT_HEADERS = [401, 404, 410, 416, 429, LOOP_STATUS];

/** True when the registry, or a gateway before it, may have objected to one of the request's headers. */
export function mayBeAboutHeaders(error: unknown): boolean {
  if (error instanceof StatusError) return !NOT_ABOUT_HEADERS.includes(error.answered);
  return isBrokenAnswer(error);
}

/** Statuses of a gateway whose registry is down. */
const DOWN = [502, 503, 504];

/**
 * True when the registry, or a gateway before it, may have refused the request because of its `Range` header.
 * Signed URLs, firewalls and some registries serve only whole blobs, and say so with various statuses.
 */
export function mayRefuseRange(error: unknown): boolean {
  const isStatus = error instanceof StatusError;
  return mayBeAboutHeaders(error) && !(isStatus && DOWN.includes(error.answered));
}

const ADVICE: Partial<Record<ErrorCode, string>> = {
  UNAUTHORIZED: 'log in to this registry (docker login), or check the image name',
  DENIED: 'the login may not pull this',
  TOOMANYREQUESTS: 'its rate limit is reached; a login raises it',
};

/** Turns a reply with an error status into the error for the client. `more`: additional headers for the client. */
export function fromStatus(
  reply: Reply,
  subject: ResourceRef,
  refusal: Refusal,
  more: Readonly<Record<string, string>> = {},
): StatusError {
  const { status, headers, url } = reply;
  const code = codeOf(status, subject);
  const advice = ADVICE[code] === undefined ? '' : `: ${ADVICE[code]}`;
  const contentRange = code === 'RANGE_INVALID' ? headers['content-range'] : undefined;
  return new StatusError(
    code,
    `${url.host} answered ${status} for ${subject.name}${advice}`,
    status,
    refusal,
    {
      ...(PASSED_ON.includes(status) ? { status } : {}),
      headers: {
        ...(code === 'UNAVAILABLE' || code === 'TOOMANYREQUESTS' ? noticesOf(headers) : {}),
        ...(contentRange === undefined ? {} : { 'content-range': contentRange }),
        ...more,
      },
    },
  );
}

/** True when the endpoint failed, so that the next one may answer. */
export function isOutage(error: unknown): boolean {
  return error instanceof RegistryError && error.code === 'UNAVAILABLE' && !isLoopError(error);
}

const ERROR_MAX_BYTES = 64 * 1024;
const SAID_MAX_CHARACTERS = 200;
/** How long to wait for an error document, in milliseconds: the next endpoint is not tried before. */
const ERROR_MS = 1000;

interface SaidError {
  readonly code?: unknown;
  readonly message?: unknown;
  readonly detail?: unknown;
}

/** The first error of an error document; empty when there is none. */
async function errorSaidBy(reply: Reply): Promise<SaidError> {
  try {
    const bytes = await readBody(reply, ERROR_MAX_BYTES, ERROR_MS);
    const { errors } = parseJson(bytes) as { errors?: readonly SaidError[] };
    return errors?.[0] ?? {};
  } catch {
    return {};
  }
}

/** The error code in a reply's error document. */
export async function codeSaidBy(reply: Reply): Promise<string | undefined> {
  const { code } = await errorSaidBy(reply);
  return typeof code === 'string' ? code : undefined;
}

/** True when {@link passesOnUnknown} is worth calling for this reply. */
export function mayPassOnUnknown({ status, headers }: Reply, { unknown }: ResourceRef): boolean {
  const isDocument = /^application\/json\b/i.test(headers['content-type'] ?? '');
  return status === 500 && unknown === 'MANIFEST_UNKNOWN' && isDocument;
}

/**
 * True when a pull-through cache answers 500 because its own registry does not know the object. The cache of
 * distribution does that; the upstream's errors are in the `detail` of its own.
 */
export async function passesOnUnknown(reply: Reply): Promise<boolean> {
  const { detail } = await errorSaidBy(reply);
  const inner = (detail as { readonly errors?: unknown } | undefined)?.errors;
  const codes = Array.isArray(inner) ? inner.map((one: SaidError | undefined) => one?.code) : [];
  return codes.some((code) => code === 'MANIFEST_UNKNOWN' || code === 'NAME_UNKNOWN');
}

/** The error message in a reply's error document, after a colon; or nothing. */
async function messageSaidBy(reply: Reply): Promise<string> {
  const { message } = await errorSaidBy(reply);
  return typeof message === 'string' ? `: ${message.slice(0, SAID_MAX_CHARACTERS)}` : '';
}

/** The error for a refused write, with the registry's message if there is one. */
export async function pushFailure(reply: Reply, what: string): Promise<RegistryError> {
  const { status, url } = reply;
  const message = `${url.host} answered ${status} to ${what}${await messageSaidBy(reply)}`;
  const code = codeOf(status, { name: what, unknown: 'NAME_UNKNOWN' });
  return new RegistryError(code === 'UNKNOWN' ? 'UNAVAILABLE' : code, message);
}

/** True when the answer is labelled as a web page, such as a captive portal's or a gateway's sign-in page. */
export function isWebPage({ headers }: Pick<Reply, 'headers'>): boolean {
  return /^\s*(?:text\/html|application\/xhtml)/i.test(headers['content-type'] ?? '');
}

export function webPageError({ url }: Pick<Reply, 'url'>, name: string): RegistryError {
  return new RegistryError(
    'UNAVAILABLE',
    `${url.host} answered with a web page for ${name}: is there a proxy or a captive portal in between?`,
  );
}
