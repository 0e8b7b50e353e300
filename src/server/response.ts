import type { ServerResponse } from 'node:http';
import { RegistryError } from '../oci/registry-error.ts';

/** Names and values in turn, as `writeHead` takes them without looking each one up. */
export type ResponseHeaders = readonly string[];

/** On every answer. `nosniff`: what a registry hands out is no page, whatever its bytes look like. */
export const COMMON_FIELDS: ResponseHeaders = [
  'Docker-Distribution-Api-Version',
  'registry/2.0',
  'X-Content-Type-Options',
  'nosniff',
];

/** Headers that a registry's answer or error may hand on; everything else is ours to say. */
const HANDED_ON =
  /^(?:warning|allow|retry-after|www-authenticate|content-range|ratelimit-(?:limit|remaining|reset)|docker-ratelimit-source)$/;
const LINE_BREAKING = /[^\t\x20-\x7e\x80-\xff]/;

/** Could this stand in a header without ending the line or being refused by Node? */
export function isFieldValue(value: string): boolean {
  return !LINE_BREAKING.test(value);
}

/** What of `headers` is handed on: known names, and no value that could end a header line. */
export function forwardableHeaders(headers: Readonly<Record<string, string>> | undefined): ResponseHeaders {
  if (headers === undefined) return [];
  return Object.entries(headers)
    .filter(([name, value]) => HANDED_ON.test(name) && isFieldValue(value))
    .flat();
}

/** Sends a whole body. For HEAD, Node leaves the bytes out; everything else is the same. */
export function sendBytes(res: ServerResponse, status: number, fields: ResponseHeaders, bytes: Buffer): void {
  res.writeHead(status, [...COMMON_FIELDS, ...fields, 'Content-Length', String(bytes.length)]);
  res.end(bytes);
}

export function sendJson(
  res: ServerResponse,
  status: number,
  document: unknown,
  fields: ResponseHeaders = [],
): void {
  const bytes = Buffer.from(JSON.stringify(document));
  sendBytes(res, status, ['Content-Type', 'application/json', ...fields], bytes);
}

/** A status that has no body: 304, or a redirect. */
export function sendEmpty(res: ServerResponse, status: number, fields: ResponseHeaders): void {
  res.writeHead(status, [...COMMON_FIELDS, ...fields, ...(status === 304 ? [] : ['Content-Length', '0'])]);
  res.end();
}

/** Any failure as one with a wire form; of what is not ours the client is told only that it happened. */
export function toRegistryError(error: unknown): RegistryError {
  if (error instanceof RegistryError) return error;
  return new RegistryError('UNKNOWN', 'this mirror failed to answer: its log says more', { cause: error });
}

/** The spec's error document with the error's status. */
export function sendError(res: ServerResponse, error: RegistryError, fields: ResponseHeaders = []): void {
  sendJson(res, error.status, error, [...forwardableHeaders(error.headers), ...fields]);
}
