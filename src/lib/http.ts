import type { IncomingMessage, ServerResponse } from 'node:http';
import { jsonText } from './text.ts';

/** Handles one request. */
export type RequestHandler = (req: IncomingMessage, res: ServerResponse) => void;

/** Alternating names and values, the form that is fastest for `writeHead`. */
export type HeaderList = readonly (string | number)[];

/** The header and the value by which a program says that it only checks what a runtime would get. */
export const PURPOSE_HEADER = 'metahub-purpose';
export const CHECK_PURPOSE = 'check';
export const CHECK_HEADERS = { [PURPOSE_HEADER]: CHECK_PURPOSE } as const;

/** Sends a whole body. For HEAD, Node.js leaves out the body only. */
export function sendBytes(res: ServerResponse, status: number, headers: HeaderList, bytes: Buffer): void {
  res.writeHead(status, [...headers, 'Content-Length', String(bytes.length)]);
  res.end(bytes);
}

export function sendJson(
  res: ServerResponse,
  status: number,
  document: unknown,
  headers: HeaderList = [],
): void {
  sendBytes(res, status, ['Content-Type', 'application/json', ...headers], Buffer.from(jsonText(document)));
}

/** Parses a `Retry-After` in seconds to milliseconds. Undefined without one, or for its other form, a date. */
export function parseRetryAfterMs(header: string | undefined): number | undefined {
  return /^\d+$/.test(header ?? '') ? Number(header) * 1000 : undefined;
}

/** True when the headers of a request announce a body. @see https://www.rfc-editor.org/rfc/rfc9112#section-6 */
export function hasBody({ headers }: IncomingMessage): boolean {
  const length = headers['content-length'];
  return headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
}

const signals = new WeakMap<ServerResponse, AbortSignal>();

/** A signal that aborts when the response closes before it was sent completely, because the client left. */
export function abortWhenGone(res: ServerResponse): AbortSignal {
  const known = signals.get(res);
  if (known !== undefined) return known;
  const controller = new AbortController();
  signals.set(res, controller.signal);
  if (res.destroyed && !res.writableFinished) controller.abort();
  res.once('close', () => {
    if (!res.writableFinished) controller.abort();
  });
  return controller.signal;
}

// The `Via` header prevents loops: each intermediary adds its pseudonym to the requests that it forwards, and refuses a
// request that has passed through it before. The oldest hop comes first, as `1.1 pseudonym`.
// See https://www.rfc-editor.org/rfc/rfc9110#section-7.6.3

/** A request with this many hops is refused, whatever their names: no useful chain is that long. */
const HOPS_MAX = 8;

function hopsOf(via: string | undefined): readonly string[] {
  return via === undefined || via === '' ? [] : via.split(',').map((hop) => hop.trim());
}

/** True when the request has passed through `pseudonym` before, or has too many hops. */
export function isLoop(via: string | undefined, pseudonym: string): boolean {
  const hops = hopsOf(via);
  return hops.length >= HOPS_MAX || hops.some((hop) => hop.split(/\s+/)[1] === pseudonym);
}

/** A hop: a protocol, and a name or address. */
const HOP = /^(?:[\w.-]+\/)?[\w.-]+[ \t]+[\w.:[\]-]+$/;
const VIA_MAX_CHARACTERS = 1024;

/** Removes comments, which may nest and contain commas. Undefined when a parenthesis is unbalanced. */
function withoutComments(via: string): string | undefined {
  let depth = 0;
  let kept = '';
  for (let at = 0; at < via.length; at += 1) {
    const character = via[at] ?? '';
    if (depth > 0 && character === '\\') at += 1;
    else if (character === '(') depth += 1;
    else if (character === ')') depth -= 1;
    else if (depth === 0) kept += character;
    if (depth < 0) return undefined;
  }
  return depth === 0 ? kept : undefined;
}

/**
 * The hops in a request's `Via`, in the form to forward. Undefined when the header is malformed. Comments are
 * dropped: they are free text, and a gateway that rejects one client's comment would reject an answer that other
 * clients share.
 */
export function readVia(via: string): string | undefined {
  if (via.length > VIA_MAX_CHARACTERS) return undefined;
  const hops = hopsOf(withoutComments(via)).filter((hop) => hop !== '');
  return hops.length > 0 && hops.every((hop) => HOP.test(hop)) ? hops.join(', ') : undefined;
}

/** The `Via` value of a request that `pseudonym` sends on behalf of a request with `via`. */
export function addHop(via: string | undefined, pseudonym: string): string {
  return [...hopsOf(via), `1.1 ${pseudonym}`].join(', ');
}

/**
 * True when a web page of another site made the request. Browsers say so; programs send neither header. Such a page
 * cannot read the answer, but it could make this server fetch and store what the page's author chooses.
 * @see https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header
 */
export function isCrossSite({ headers }: IncomingMessage): boolean {
  const site = headers['sec-fetch-site'];
  if (site !== undefined) return site !== 'same-origin' && site !== 'none';
  const { origin, host } = headers;
  return origin !== undefined && origin.replace(/^https?:\/\//, '') !== host;
}

/** Time limit of a small request body, in milliseconds. */
const BODY_TIMEOUT_MS = 10_000;

/**
 * Reads the body of a request; undefined when it has more than `maxBytes`. Destroys a request whose body does not
 * arrive in time. `onWanted` runs unless the request announces more bytes.
 */
export async function readLimited(
  request: IncomingMessage,
  maxBytes: number,
  onWanted = () => {},
): Promise<Buffer | undefined> {
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) return undefined;
  onWanted();
  const timer = setTimeout(() => request.destroy(), BODY_TIMEOUT_MS);
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  try {
    // By default, leaving the loop would destroy the request, and its connection, before the answer is sent.
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      sizeBytes += chunk.length;
      if (sizeBytes > maxBytes) return undefined;
      chunks.push(chunk);
    }
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(chunks);
}
