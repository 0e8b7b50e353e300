import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FairBudget, Share } from '../lib/fair-budget.ts';
import { type HeaderList, sendBytes, sendJson } from '../lib/http.ts';
import type { Log } from '../lib/log.ts';
import type { Registry, RequestOptions } from '../oci/registry.ts';
import { ERROR_CODES, RegistryError } from '../oci/registry-error.ts';
import { loggedPath } from './access-log.ts';
import type { Metrics } from './metrics.ts';
import { mustClose } from './request-validation.ts';

/** An admitted request: the registry that it may use, the options for it, and the response. */
export interface HttpExchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly registry: Registry;
  /** `signal` aborts when the client leaves before its answer is complete. */
  readonly options: RequestOptions & { readonly signal: AbortSignal };
  /** True when the answer depends on the client's login, so that no cache may give it to another client. */
  readonly isPrivate: boolean;
  /** Counts a document's memory until the answer is sent. @throws {RegistryError} 503 when the limit is reached */
  readonly hold: (bytes: Buffer) => void;
}

/** Content by digest never changes, so a copy never becomes stale. @see https://www.rfc-editor.org/rfc/rfc8246 */
const IMMUTABLE: HeaderList = ['Cache-Control', 'public, max-age=31536000, immutable'];
/** A tag or a list may change at any time, so a cache must revalidate its copy. */
const REVALIDATE: HeaderList = ['Cache-Control', 'no-cache'];
/** Without this, a cache between client and mirror could give one login's answer to another, or to a wrong password. */
const PRIVATE: HeaderList = ['Cache-Control', 'private, no-store', 'Vary', 'Authorization'];
/** For errors. A cache may store a 404 or 405 that has no Cache-Control. */
export const NO_STORE: HeaderList = ['Cache-Control', 'no-store'];

/**
 * What a cache between client and mirror may do with an answer.
 * @see https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2
 */
export function cacheControl(isPrivate: boolean, isByDigest: boolean): HeaderList {
  if (isPrivate) return PRIVATE;
  return isByDigest ? IMMUTABLE : REVALIDATE;
}

/** Headers of all answers. `nosniff`: registry content is never a web page, whatever its bytes look like. */
export const COMMON_HEADERS: HeaderList = [
  'Docker-Distribution-Api-Version',
  'registry/2.0',
  'X-Content-Type-Options',
  'nosniff',
];

/** Headers of a registry's answer or error that are passed on. MetaHub writes all others itself. */
const FORWARDABLE =
  /^(?:warning|allow|retry-after|www-authenticate|content-range|ratelimit-(?:limit|remaining|reset)|docker-ratelimit-source)$/;
const LINE_BREAKING = /[^\t\x20-\x7e\x80-\xff]/;

/** True when Node.js accepts this as a header value; in particular it contains no line break. */
export function isHeaderValue(value: string): boolean {
  return !LINE_BREAKING.test(value);
}

/** The headers to pass on: known names with valid values. */
export function forwardableHeaders(headers: Readonly<Record<string, string>> | undefined): HeaderList {
  if (headers === undefined) return [];
  return Object.entries(headers)
    .filter(([name, value]) => FORWARDABLE.test(name) && isHeaderValue(value))
    .flat();
}

export function sendDocument(
  res: ServerResponse,
  status: number,
  document: unknown,
  headers: HeaderList,
): void {
  sendJson(res, status, document, [...COMMON_HEADERS, ...headers]);
}

export function sendDocumentBytes(
  res: ServerResponse,
  status: number,
  headers: HeaderList,
  bytes: Buffer,
): void {
  sendBytes(res, status, [...COMMON_HEADERS, ...headers], bytes);
}

/** Sends a status without a body: 304 or a redirect. */
export function sendEmpty(res: ServerResponse, status: number, headers: HeaderList): void {
  res.writeHead(status, [...COMMON_HEADERS, ...headers, ...(status === 304 ? [] : ['Content-Length', '0'])]);
  res.end();
}

/** Turns any failure into a RegistryError. Of an unexpected error the client learns no details. */
export function toRegistryError(error: unknown): RegistryError {
  if (error instanceof RegistryError) return error;
  return new RegistryError('UNKNOWN', 'this mirror failed to answer: see its log', { cause: error });
}

/**
 * Turns a 401 without a challenge into 403, because a 401 must have one.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-15.5.2
 */
function withChallenge(error: RegistryError): RegistryError {
  if (error.status !== 401 || error.headers['www-authenticate'] !== undefined) return error;
  const { message, detail, headers, cause } = error;
  return new RegistryError('DENIED', message, { cause, detail, headers });
}

/** Sends the error document of the distribution specification. */
function sendError(res: ServerResponse, failure: RegistryError): void {
  const error = withChallenge(failure);
  // RFC 9110 requires an Allow header with every 405, even if upstream sent none.
  const allow = error.status === 405 && error.headers['allow'] === undefined ? ['Allow', 'GET, HEAD'] : [];
  sendDocument(res, error.status, error, [...NO_STORE, ...allow, ...forwardableHeaders(error.headers)]);
}

/** Answers up to this size are limited by the number of requests; larger ones by a memory budget. */
const SMALL_BYTES = 64 * 1024;

/** 503 with `Retry-After`. */
export function overloaded(message: string): RegistryError {
  return new RegistryError('UNAVAILABLE', message, { status: 503, headers: { 'retry-after': '1' } });
}

/**
 * Counts a document's memory until the response is sent, so that slow readers of large documents cannot fill the
 * memory.
 * @throws {RegistryError} UNAVAILABLE with 503 when the share of the budget is used up.
 */
export function holdUntilSent(
  budget: FairBudget,
  res: ServerResponse,
  bytes: Buffer,
  share: () => Share,
): void {
  if (bytes.length <= SMALL_BYTES) return;
  const release = budget.tryHold(bytes, share());
  if (release === undefined)
    throw overloaded('this mirror already sends its maximum number of large documents');
  if (res.destroyed) release();
  else res.once('close', release);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Closes the connection such that the client cannot take what it has received for complete. */
function breakOff(req: IncomingMessage, res: ServerResponse): void {
  // To an HTTP/1.0 client, a body without a length ends when the connection closes: only a reset shows that it
  // broke off. A TLS client notices that the closing alert is missing.
  const isPlain = !('encrypted' in req.socket);
  if (req.httpVersion === '1.0' && isPlain) req.socket.resetAndDestroy();
  else res.destroy();
}

/**
 * Answers a failure with the error document of the specification, or closes the connection when the answer has
 * begun. Faults of the mirror or of an upstream are logged as warnings; faults of clients are not.
 */
export function createErrorHandler(
  log: Log,
  metrics: Metrics,
): (req: IncomingMessage, res: ServerResponse, failure: unknown) => void {
  const failures = metrics.counter(
    'metahub_failures_total',
    'Requests answered with an error, by its code; "broken": the answer broke off.',
    ['code'],
    [...ERROR_CODES, 'broken'].map((code) => [code]),
  );
  return (req, res, failure) => {
    const path = loggedPath(req.url ?? '');
    if (res.headersSent) {
      const hasLeft = req.socket.destroyed;
      if (!hasLeft) breakOff(req, res);
      failures.child('broken').add();
      log(hasLeft ? 'info' : 'warning', 'answer-broken-off', 'answer broken off', {
        path,
        reason: reasonOf(failure),
      });
      return;
    }
    // The client left before the answer began.
    if (res.destroyed) return;
    const error = toRegistryError(failure);
    failures.child(error.code).add();
    if (error.status >= 500) {
      const { cause } = error;
      log(error.code === 'UNKNOWN' ? 'error' : 'warning', 'request-failed', 'request failed', {
        path,
        status: error.status,
        reason: error.message,
        cause: cause === undefined ? undefined : reasonOf(cause),
      });
    }
    if (mustClose(req, error.status)) res.shouldKeepAlive = false;
    sendError(res, error);
  };
}

/**
 * Confirms that the answer is for the source host in `ns`, so that the client knows that this proxy supports `ns`.
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#registry-proxying
 */
export function announceNamespace(
  res: ServerResponse,
  { namespace }: { readonly namespace?: string | undefined },
): void {
  if (namespace !== undefined) res.setHeader('OCI-Namespace', namespace);
}
