import { parseJson } from '../lib/bounded-json.ts';
import { type ErrorCode, RegistryError, type RegistryErrorOptions } from '../oci/registry-error.ts';
import { isLoopError, LOOP_STATUS } from '../oci/via.ts';
import { StalledBodyError } from './http/body.ts';
import { RedirectError, readBody } from './http/reply.ts';
import { HeadTimeoutError, type Reply } from './http/transport.ts';
import { AddressRefusedError, ConnectTimeoutError } from './net/dial.ts';
import { DEFAULT_TIMEOUTS } from './settings.ts';

/** What was asked for, in the words of the person who asked: `docker.io/library/alpine:latest`, and which kind of thing. */
export interface ResourceRef {
  readonly name: string;
  readonly unknown: 'MANIFEST_UNKNOWN' | 'BLOB_UNKNOWN' | 'NAME_UNKNOWN';
  /** It matters whether it is the repository that the registry does not know: its error document says so. */
  readonly readsCode?: boolean;
}

/** OpenSSL takes the first bytes of a plain answer for a version, or for a length. */
const NO_TLS = 'does not speak TLS; if plain HTTP is meant, write its URL: --upstream NAME=http://HOST';

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

/** Is it the request's own signal that ended it? Then the client has left, and no registry is at fault. */
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

/** Statuses with a code of their own; any other failure of the registry is UNAVAILABLE. */
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
 * Statuses that a client understands better than a gateway's 502: the request does not suit the registry, the law forbids
 * the answer, or the registry is down for a while.
 */
const PASSED_ON = [400, 405, 406, 415, 451, 503, LOOP_STATUS];

interface Refusal {
  /** The request carried an `Authorization` by which the registry's own challenge was met. */
  readonly isAuthorized: boolean;
  /** The host that answered is another one than the registry: it was redirected to. */
  readonly isElsewhere: boolean;
}

/** An answer of a registry that is no success. */
export class StatusError extends RegistryError {
  /** The status of the answer, whatever the client gets. */
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

/** Was the connection broken, or what came over it no answer? */
function isBrokenAnswer(error: unknown): boolean {
  const isBroken = (code: string) => code === 'ECONNRESET' || code.startsWith('HPE_');
  return error instanceof RegistryError && codesOf(error).some(isBroken);
}

/**
 * Is it worth asking GET what HEAD was answered with this error? Some registries, gateways and signed URLs know GET only,
 * or answer a HEAD by rules of its own, so it proves nothing unless the request was let in and then denied. A rate limit
 * and a loop would meet the GET as well.
 */
export function isWorthGet(error: unknown): boolean {
  // Who breaks the connection, redirects to nowhere or sends what is no answer may do so for HEAD only.
  if (!(error instanceof StatusError)) return error instanceof RedirectError || isBrokenAnswer(error);
  const { answered, refusal } = error;
  const isDenied = refusal.isAuthorized && !refusal.isElsewhere && (answered === 401 || answered === 403);
  return !isDenied && answered !== 429 && answered !== LOOP_STATUS;
}

/** Statuses that say something of what was asked for, of who asks or how often, or of the request's way here. */
const NOT_ABOUT_HEADERS = [401, 404, 410, 416, 429, LOOP_STATUS];

/** May the registry, or a gateway before it, have taken offence at a header of the request? */
export function mayBeAboutHeaders(error: unknown): boolean {
  if (error instanceof StatusError) return !NOT_ABOUT_HEADERS.includes(error.answered);
  return isBrokenAnswer(error);
}

const ADVICE: Partial<Record<ErrorCode, string>> = {
  UNAUTHORIZED: 'log in to this registry (docker login), or check the image name',
  DENIED: 'the login may not pull this',
  TOOMANYREQUESTS: 'its rate limit is reached; a login raises it',
};

/** An answer that is no success, as the error that the client gets; `more` are headers for the client. */
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

/** Is it the endpoint that is at fault, rather than what it was asked for? */
export function isOutage(error: unknown): boolean {
  return error instanceof RegistryError && error.code === 'UNAVAILABLE' && !isLoopError(error);
}

const ERROR_MAX_BYTES = 64 * 1024;
const SAID_MAX_CHARACTERS = 200;

interface SaidError {
  readonly code?: unknown;
  readonly message?: unknown;
}

/** The first error of a refusal's error document; nothing when there is none that can be read. */
async function errorSaidBy(reply: Reply): Promise<SaidError> {
  try {
    const bytes = await readBody(reply, ERROR_MAX_BYTES, DEFAULT_TIMEOUTS.documentMs);
    const { errors } = parseJson(bytes) as { errors?: readonly SaidError[] };
    return errors?.[0] ?? {};
  } catch {
    return {};
  }
}

/** The code of a refusal, as the registry says it. */
export async function codeSaidBy(reply: Reply): Promise<string | undefined> {
  const { code } = await errorSaidBy(reply);
  return typeof code === 'string' ? code : undefined;
}

/** The registry's own words for a refusal. */
async function messageSaidBy(reply: Reply): Promise<string> {
  const { message } = await errorSaidBy(reply);
  return typeof message === 'string' ? `: ${message.slice(0, SAID_MAX_CHARACTERS)}` : '';
}

/** A refusal of something that was to be written, in the registry's words where it has any. */
export async function pushFailure(reply: Reply, what: string): Promise<RegistryError> {
  const { status, url } = reply;
  const message = `${url.host} answered ${status} to ${what}${await messageSaidBy(reply)}`;
  const code = codeOf(status, { name: what, unknown: 'NAME_UNKNOWN' });
  return new RegistryError(code === 'UNKNOWN' ? 'UNAVAILABLE' : code, message);
}

/** Does the answer call itself a web page? Then it may be a captive portal's, or a gateway's sign-in page. */
export function isWebPage({ headers }: Pick<Reply, 'headers'>): boolean {
  return /^\s*(?:text\/html|application\/xhtml)/i.test(headers['content-type'] ?? '');
}

export function webPageError({ url }: Pick<Reply, 'url'>, name: string): RegistryError {
  return new RegistryError(
    'UNAVAILABLE',
    `${url.host} answered with a web page for ${name}: is a proxy or a captive portal between?`,
  );
}
