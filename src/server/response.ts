import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ByteBudget } from '../lib/byte-budget.ts';
import { type HeaderList, sendBytes, sendJson } from '../lib/http.ts';
import type { Log } from '../lib/log.ts';
import type { Registry, RequestOptions } from '../oci/registry.ts';
import { ERROR_CODES, RegistryError } from '../oci/registry-error.ts';
import { loggedPath } from './access-log.ts';
import type { Metrics } from './metrics.ts';
import { mustClose } from './request-validation.ts';

/** An admitted request: which registry it sees, how to ask it, and where the answer goes. */
export interface HttpExchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly registry: Registry;
  /** `signal` fires when the client leaves before its answer is complete. */
  readonly options: RequestOptions & { readonly signal: AbortSignal };
  /** The answer depends on the client's login: no cache may give it to another client. */
  readonly isPrivate: boolean;
  /** Counts a document's memory until the answer is sent. @throws {RegistryError} 503 when there is none left. */
  readonly hold: (bytes: Buffer) => void;
}

/** A digest names its bytes: a copy never goes out of date. @see https://www.rfc-editor.org/rfc/rfc8246 */
const IMMUTABLE: HeaderList = ['Cache-Control', 'public, max-age=31536000, immutable'];
/** A tag or a list may change at any time: a cache must ask again before it uses its copy. */
const REVALIDATE: HeaderList = ['Cache-Control', 'no-cache'];
/** A cache between a login and this mirror would give one login's answer to another, or to a wrong password. */
const PRIVATE: HeaderList = ['Cache-Control', 'private, no-store', 'Vary', 'Authorization'];
/** An error holds for its moment only. Caches would keep a 404 or 405 that says nothing. */
export const NO_STORE: HeaderList = ['Cache-Control', 'no-store'];

/**
 * What a cache between client and mirror may do with an answer.
 * @see https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2
 */
export function cacheControl(isPrivate: boolean, isByDigest: boolean): HeaderList {
  if (isPrivate) return PRIVATE;
  return isByDigest ? IMMUTABLE : REVALIDATE;
}

/** On every answer. `nosniff`: what a registry sends is no web page, whatever its bytes look like. */
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

/** Could this stand in a header without ending the line or being refused by Node? */
export function isHeaderValue(value: string): boolean {
  return !LINE_BREAKING.test(value);
}

/** The headers that are passed on: known names, and no value that could end a header line. */
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

/** A status that has no body: 304, or a redirect. */
export function sendEmpty(res: ServerResponse, status: number, headers: HeaderList): void {
  res.writeHead(status, [...COMMON_HEADERS, ...headers, ...(status === 304 ? [] : ['Content-Length', '0'])]);
  res.end();
}

/** Any failure as one with a wire form; of what is not a registry's the client learns only that it happened. */
export function toRegistryError(error: unknown): RegistryError {
  if (error instanceof RegistryError) return error;
  return new RegistryError('UNKNOWN', 'this mirror failed to answer: its log says more', { cause: error });
}

/**
 * Without a challenge a client cannot act on a 401, and must not be sent one: it is a 403 then.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-15.5.2
 */
function withChallenge(error: RegistryError): RegistryError {
  if (error.status !== 401 || error.headers['www-authenticate'] !== undefined) return error;
  const { message, detail, headers, cause } = error;
  return new RegistryError('DENIED', message, { cause, detail, headers });
}

/** The spec's error document with the error's status. */
export function sendError(res: ServerResponse, failure: RegistryError): void {
  const error = withChallenge(failure);
  // RFC 9110 wants an Allow with every 405, also with one that an upstream gave without it.
  const allow = error.status === 405 && error.headers['allow'] === undefined ? ['Allow', 'GET, HEAD'] : [];
  sendDocument(res, error.status, error, [...NO_STORE, ...allow, ...forwardableHeaders(error.headers)]);
}

/** Answers up to this size are bounded by the number of requests in flight; larger ones share a budget. */
const SMALL_BYTES = 64 * 1024;

/** 503 with the time after which another try makes sense. */
export function overloaded(message: string): RegistryError {
  return new RegistryError('UNAVAILABLE', message, { status: 503, headers: { 'retry-after': '1' } });
}

/**
 * Counts a document's bytes against the budget until `res` is sent: clients that read slowly, each another large document,
 * must not fill the memory.
 * @throws {RegistryError} UNAVAILABLE with 503 when the budget is used up.
 */
export function holdUntilSent(budget: ByteBudget, res: ServerResponse, bytes: Buffer): void {
  if (bytes.length <= SMALL_BYTES) return;
  const release = budget.tryHold(bytes);
  if (release === undefined) throw overloaded('this mirror is sending as many large documents as it may');
  if (res.destroyed) release();
  else res.once('close', release);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Cuts the connection such that no client can take what it has received for whole. */
function breakOff(req: IncomingMessage, res: ServerResponse): void {
  // A body without length to an HTTP/1.0 client ends with the connection: only a reset tells that it broke. A TLS client
  // misses the closing alert instead.
  const isPlain = !('encrypted' in req.socket);
  if (req.httpVersion === '1.0' && isPlain) req.socket.resetAndDestroy();
  else res.destroy();
}

/**
 * Turns a failure into an HTTP answer: the spec's error document, or a cut connection when the answer has begun already.
 * A fault of the mirror or of an upstream is a warning in the log; a client's fault is not.
 */
export function createErrorHandler(
  log: Log,
  metrics: Metrics,
): (req: IncomingMessage, res: ServerResponse, failure: unknown) => void {
  const failures = metrics.counter(
    'metahub_failures_total',
    'Requests answered with an error, by its code; "broken": cut in the middle of the answer.',
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
