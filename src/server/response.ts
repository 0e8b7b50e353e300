import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FairBudget, Share } from '../lib/fair-budget.ts';
import { type HeaderList, sendBytes, sendJson } from '../lib/http.ts';
import type { Log } from '../lib/log.ts';
import type { Registry, RequestOptions } from '../oci/registry.ts';
import { ERROR_CODES, RegistryError } from '../oci/registry-error.ts';
import { loggedPath } from './access-log.ts';
import type { Metrics } from './metrics.ts';
import { mustClose } from './request-validation.ts';

/** An admitted request: the registry that it sees, the options for it, and the response. */
export interface HttpExchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly registry: Registry;
  /** `signal` fires when the client leaves before its answer is complete. */
  readonly options: RequestOptions & { readonly signal: AbortSignal };
  /** The answer depends on the client's login: no cache may give it to another client. */
  readonly isPrivate: boolean;
  /** Counts a document's memory until the answer is sent. @throws {RegistryError} 503 when none is left */
  readonly hold: (bytes: Buffer) => void;
}

/** A digest names its bytes: a copy never becomes stale. @see https://www.rfc-editor.org/rfc/rfc8246 */
const IMMUTABLE: HeaderList = ['Cache-Control', 'public, max-age=31536000, immutable'];
/** A tag or a list may change at any time: a cache must ask again before it uses its copy. */
const REVALIDATE: HeaderList = ['Cache-Control', 'no-cache'];
/** A cache between a client and this mirror would give one login's answer to another, or to a wrong password. */
const PRIVATE: HeaderList = ['Cache-Control', 'private, no-store', 'Vary', 'Authorization'];
/** An error is valid only now. Caches would keep a 404 or 405 that has no Cache-Control. */
export const NO_STORE: HeaderList = ['Cache-Control', 'no-store'];

/**
 * What a cache between client and mirror may do with an answer.
 * @see https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2
 */
export function cacheControl(isPrivate: boolean, isByDigest: boolean): HeaderList {
  if (isPrivate) return PRIVATE;
  return isByDigest ? IMMUTABLE : REVALIDATE;
}

/** On every answer. `nosniff`: content of a registry is not a web page, whatever its bytes look like. */
export const COMMON_HEADERS: HeaderList = [
  'Docker-Distribution-Api-Version',
  'registry/2.0',
  'X-Content-Type-Options',
  'nosniff',
];

/** Headers that a registry's answer or error may pass on; MetaHub writes all others itself. */
const FORWARDABLE =
  /^(?:warning|allow|retry-after|www-authenticate|content-range|ratelimit-(?:limit|remaining|reset)|docker-ratelimit-source)$/;
const LINE_BREAKING = /[^\t\x20-\x7e\x80-\xff]/;

/** True when this can be a header's value: it neither ends the line nor is refused by Node. */
export function isHeaderValue(value: string): boolean {
  return !LINE_BREAKING.test(value);
}

/** The headers to pass on: known names, and no value that could end a header line. */
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

/** Sends a status without a body: 304, or a redirect. */
export function sendEmpty(res: ServerResponse, status: number, headers: HeaderList): void {
  res.writeHead(status, [...COMMON_HEADERS, ...headers, ...(status === 304 ? [] : ['Content-Length', '0'])]);
  res.end();
}

/** Any failure as a RegistryError; for an unexpected one the client learns only that something failed. */
export function toRegistryError(error: unknown): RegistryError {
  if (error instanceof RegistryError) return error;
  return new RegistryError('UNKNOWN', 'this mirror failed to answer: see its log', { cause: error });
}

/**
 * Without a challenge a client cannot react to a 401, and must not get one: it becomes a 403.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-15.5.2
 */
function withChallenge(error: RegistryError): RegistryError {
  if (error.status !== 401 || error.headers['www-authenticate'] !== undefined) return error;
  const { message, detail, headers, cause } = error;
  return new RegistryError('DENIED', message, { cause, detail, headers });
}

/** The error document of the specification, with the error's status. */
function sendError(res: ServerResponse, failure: RegistryError): void {
  const error = withChallenge(failure);
  // RFC 9110 requires an Allow with every 405, also when upstream sent none.
  const allow = error.status === 405 && error.headers['allow'] === undefined ? ['Allow', 'GET, HEAD'] : [];
  sendDocument(res, error.status, error, [...NO_STORE, ...allow, ...forwardableHeaders(error.headers)]);
}

/** The number of requests in flight bounds answers up to this size; larger ones share a budget. */
const SMALL_BYTES = 64 * 1024;

/** 503 with a time to retry. */
export function overloaded(message: string): RegistryError {
  return new RegistryError('UNAVAILABLE', message, { status: 503, headers: { 'retry-after': '1' } });
}

/**
 * Counts a document's bytes against the budget until `res` is sent: clients that read slowly, each another large document,
 * must not fill the memory.
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

/** Cuts the connection so that no client can take what it has received for complete. */
function breakOff(req: IncomingMessage, res: ServerResponse): void {
  // A body without length to an HTTP/1.0 client ends with the connection: only a reset shows that it broke. A TLS
  // client misses the closing alert instead.
  // misses the closing alert instead.
  const isPlain = !('encrypted' in req.socket);
  if (req.httpVersion === '1.0' && isPlain) req.socket.resetAndDestroy();
  else res.destroy();
}

/**
 * Turns a failure into an HTTP answer: the error document of the specification, or a cut connection when the answer has
 * begun. A fault of the mirror or of an upstream is a warning in the log; a client's fault is not.
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
    // The client left before there was an answer.
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
 * Confirms that the answer is scoped by `ns`, so that a client can tell a proxy that supports it from one that ignores
 * it.
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#registry-proxying
 */
export function announceNamespace(
  res: ServerResponse,
  { namespace }: { readonly namespace?: string | undefined },
): void {
  if (namespace !== undefined) res.setHeader('OCI-Namespace', namespace);
}
