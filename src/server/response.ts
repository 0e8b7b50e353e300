import type { ServerResponse } from 'node:http';
import { type HeaderList, sendBytes, sendJson } from '../lib/http.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { NO_STORE } from './cache-control.ts';

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
