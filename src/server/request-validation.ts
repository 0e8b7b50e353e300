import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { isCrossSite, isLoop, readVia } from '../lib/http.ts';
import type { Digest } from '../oci/digest.ts';
import { essenceOf, isIndexType } from '../oci/media-type.ts';
import { LOOP_STATUS, RegistryError } from '../oci/registry-error.ts';
import type { Limits } from './connections.ts';

/** Clients send few different values, one per version; more than this many at once is an abuse. */
const MEMO_MAX = 256;

/** The same answers, remembered: every request of a client sends the same header. */
function memoized<Answer>(answer: (value: string) => Answer): (value: string) => Answer {
  const memo = new Map<string, Answer>();
  return (value) => {
    const known = memo.get(value);
    if (known !== undefined) return known;
    const found = answer(value);
    if (memo.size >= MEMO_MAX) memo.clear();
    memo.set(value, found);
    return found;
  };
}

function coversIndex(range: string): boolean {
  const essence = essenceOf(range);
  const covers = essence === '*/*' || essence === 'application/*' || isIndexType(essence);
  return covers && !/;\s*q=0(?:\.0*)?\s*(?:;|$)/i.test(range);
}

/**
 * Tells from an Accept header whether the client can take an image index: it names an index type or a wildcard, or
 * there is no header.
 */
export function createAcceptReader(): (accept: string | undefined) => boolean {
  const read = memoized((accept) => accept.split(',').some(coversIndex));
  return (accept) => accept === undefined || accept === '' || accept === '*/*' || read(accept);
}

/** The kinds of clients that pull images, by the beginning of their User-Agent; the first that fits counts. */
const AGENTS: readonly (readonly [start: RegExp, kind: string])[] = [
  [/^docker\//i, 'dockerd'],
  [/^containerd\//i, 'containerd'],
  [/^buildkit\//i, 'buildkit'],
  [/^cri-o\//i, 'cri-o'],
  [/^(?:libpod|podman)\//i, 'podman'],
  [/^buildah\//i, 'buildah'],
  [/^skopeo\//i, 'skopeo'],
  [/^containers\//i, 'containers-image'],
  [/^(?:apptainer|singularity)/i, 'apptainer'],
  [/^(?:crane|go-containerregistry)/i, 'crane'],
  [/^oras/i, 'oras'],
  [/^metahub\//i, 'metahub'],
];
const OTHER = 'other';

/** Tells which kind of client a User-Agent names; `kinds` lists every answer it can give. */
export interface RuntimeReader {
  (userAgent: string | undefined): string;
  readonly kinds: readonly string[];
}

export function createRuntimeReader(): RuntimeReader {
  const kindOf = memoized((userAgent) => AGENTS.find(([start]) => start.test(userAgent))?.[1] ?? OTHER);
  const read = (userAgent: string | undefined) => (userAgent === undefined ? OTHER : kindOf(userAgent));
  return Object.assign(read, { kinds: [...AGENTS.map(([, kind]) => kind), OTHER] });
}

/** `uri-host [ ":" port ]`. @see https://www.rfc-editor.org/rfc/rfc9110#section-7.2 */
const HOST_FIELD = /^(?:\[([0-9a-f:.]+)\]|((?:[\w.~!$&'()*+,;=-]|%[0-9a-f]{2})+))(?::(\d{0,5}))?$/i;

/** The name in a Host header: without port and brackets, lower case; undefined when the value is malformed. */
function hostNameIn(host: string | undefined): string | undefined {
  const [, ipv6, name, port] = HOST_FIELD.exec(host ?? '') ?? [];
  if (port !== undefined && Number(port) > 65_535) return undefined;
  if (ipv6 !== undefined) return isIP(ipv6) === 6 ? ipv6.toLowerCase() : undefined;
  return name?.toLowerCase();
}

const isHostField = memoized((host) => hostNameIn(host) !== undefined);

/**
 * Is this Host header one of this server's names? A web page whose own name was made to point here (DNS rebinding) could
 * otherwise read what its browser is shown; addresses, localhost and the configured names cannot be pointed elsewhere.
 */
export function isOwnHost(host: string | undefined, names: readonly string[]): boolean {
  const name = hostNameIn(host);
  if (name === undefined) return false;
  return isIP(name) !== 0 || name === 'localhost' || names.some((own) => own.toLowerCase() === name);
}

/** {@link isOwnHost} that remembers the last Host it accepted: a runtime always sends the same. */
export function createHostCheck(names: readonly string[]): (host: string | undefined) => boolean {
  let last: string | undefined;
  return (host) => {
    if (host !== undefined && host === last) return true;
    const isOwn = isOwnHost(host, names);
    if (isOwn) last = host;
    return isOwn;
  };
}

/** Content is its digest, so the digest is its entity tag. */
export function etagOf(digest: Digest): string {
  return `"${digest}"`;
}

/**
 * Does this `If-None-Match` name the content with `digest`, so that 304 says it all? Compared weakly, as the RFC has it;
 * a bare digest without quotes counts, because registry clients send that too.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2
 */
export function isKnownToClient(ifNoneMatch: string | undefined, digest: Digest): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch.split(',').some((written) => {
    const tag = written.trim().replace(/^W\//, '');
    return tag === '*' || tag === digest || tag === etagOf(digest);
  });
}

/** Does a Range count? With an `If-Range` only when that names this very content: its entity tag, never a date. */
export function rangeCounts(ifRange: string | undefined, digest: Digest): boolean {
  return ifRange === undefined || ifRange.trim() === etagOf(digest);
}

/** The target without its query. */
export function pathOf(target: string): string {
  const mark = target.indexOf('?');
  return mark < 0 ? target : target.slice(0, mark);
}

export function isRead(req: IncomingMessage): boolean {
  return req.method === 'GET' || req.method === 'HEAD';
}

function announcesBody({ headers }: IncomingMessage): boolean {
  const length = headers['content-length'];
  return headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
}

const isHost = (name: string) => name.length === 4 && name.toLowerCase() === 'host';
const isAuthorization = (name: string) => name.length === 13 && name.toLowerCase() === 'authorization';

/** How many lines of this header the request has; Node shows the first of them alone. */
function countLines({ rawHeaders }: IncomingMessage, isWanted: (name: string) => boolean): number {
  let count = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) if (isWanted(rawHeaders[at] ?? '')) count += 1;
  return count;
}

/** Does the client want what is there now? @see https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1.4 */
export function wantsRevalidation({ headers }: IncomingMessage): boolean {
  return /(?:^|,)\s*(?:no-cache|max-age=0)\s*(?:,|$)/i.test(headers['cache-control'] ?? '');
}

/** Does the request have one Host line and at most one Authorization line? */
function hasSingleLines({ rawHeaders }: IncomingMessage): boolean {
  let hosts = 0;
  let authorizations = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? '';
    if (isHost(name)) hosts += 1;
    else if (isAuthorization(name)) authorizations += 1;
  }
  return hosts === 1 && authorizations <= 1;
}

/** Needs nothing about this request a closer look? Then a stored answer may be sent without one. */
export function isPlain(req: IncomingMessage): boolean {
  const { headers } = req;
  return (
    isRead(req) &&
    req.httpVersionMajor === 1 &&
    headers.via === undefined &&
    headers.expect === undefined &&
    headers['cache-control'] === undefined &&
    headers['content-length'] === undefined &&
    headers['transfer-encoding'] === undefined &&
    headers['sec-fetch-site'] === undefined &&
    headers.origin === undefined &&
    hasSingleLines(req) &&
    isHostField(headers.host ?? '')
  );
}

function bad(message: string, status = 400): RegistryError {
  return new RegistryError('UNSUPPORTED', message, { status });
}

/** Absolute form, as a client sends it to what it takes for a proxy. */
const ABSOLUTE_FORM = /^https?:\/\/([^/?#]*)([/?].*)?$/i;

/**
 * Turns an absolute-form target into the origin form, whose authority then counts as the Host.
 * @see https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2
 */
function normaliseTarget(req: IncomingMessage): void {
  const [, authority, rest = ''] = ABSOLUTE_FORM.exec(req.url ?? '') ?? [];
  if (authority === undefined) return;
  if (hostNameIn(authority) === undefined) throw bad('the authority of the request target is malformed');
  req.url = rest.startsWith('/') ? rest : `/${rest}`;
  req.headers.host = authority;
}

/**
 * Refuses what is not HTTP/1.0 or HTTP/1.1 as the RFCs have it, and brings the target into origin form.
 * @throws {RegistryError} UNSUPPORTED: 505 for another version, 414 for a long target, 431, else 400.
 */
export function checkSyntax(req: IncomingMessage, limits: Limits): void {
  const { headers, httpVersion } = req;
  if (httpVersion !== '1.1' && httpVersion !== '1.0') throw bad('this server speaks HTTP/1.1', 505);
  if ((req.url ?? '').length > limits.targetBytes) throw bad('the request target is too long', 414);
  const hosts = countLines(req, isHost);
  if (hosts > 1) throw bad('there are several Host headers');
  if (hosts === 0 && httpVersion !== '1.0') throw bad('there is no Host header');
  if (hosts === 1 && hostNameIn(headers.host) === undefined) throw bad('the Host header is malformed');
  if (countLines(req, isAuthorization) > 1) throw bad('there are several Authorization headers');
  normaliseTarget(req);
}

/**
 * Refuses what no client of a mirror sends. A request with a body is never read further (see mustClose), so that
 * nothing in it can be taken for another request.
 * @throws {RegistryError} UNSUPPORTED: 405 for anything but GET and HEAD, 417, else 400.
 */
export function checkRead(req: IncomingMessage): void {
  const { expect } = req.headers;
  if (!isRead(req)) {
    throw new RegistryError('UNSUPPORTED', 'a mirror is read-only: use GET or HEAD', {
      headers: { allow: 'GET, HEAD' },
    });
  }
  if (announcesBody(req)) throw bad('a request with a body is not accepted');
  // In HTTP/1.0 the header means nothing; without a body there is nothing to continue with.
  const isIgnored = req.httpVersion === '1.0' || expect?.toLowerCase() === '100-continue';
  if (expect !== undefined && !isIgnored) throw bad('the expectation cannot be met', 417);
}

/**
 * Refuses what no client that pushes sends.
 * @throws {RegistryError} UNSUPPORTED: 417; 501 for a transfer coding; 400 for a request to switch protocols, or a body where
 * none belongs.
 */
export function checkWrite(req: IncomingMessage): void {
  const { headers, method } = req;
  const coding = headers['transfer-encoding'];
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') {
    throw bad('the transfer coding is not supported', 501);
  }
  // Some servers take the body of such a request for the next request.
  if ((method === 'GET' || method === 'DELETE') && announcesBody(req)) {
    throw bad('a body is not accepted with this method');
  }
  if (headers.upgrade !== undefined) throw bad('this server does not switch protocols');
  if (headers.expect !== undefined && headers.expect.toLowerCase() !== '100-continue') {
    throw bad('the expectation cannot be met', 417);
  }
}

/** After this answer, can what follows on the connection not be trusted to be a request? */
export function mustClose(req: IncomingMessage, status: number): boolean {
  return announcesBody(req) || status === 405 || status === 414 || status === 417 || status === 505;
}

export function refuseCrossSite(req: IncomingMessage): void {
  if (!isCrossSite(req)) return;
  throw new RegistryError('DENIED', 'a web page of another site may not use this mirror');
}

export function hostNotAllowed({ headers }: IncomingMessage): RegistryError {
  return new RegistryError(
    'DENIED',
    `the Host header ${headers.host} is not allowed: add the name with --name`,
  );
}

/** Reads and checks the request's Via. @throws {RegistryError} 400 for a malformed Via, 508 for a loop */
export function readRequestVia({ headers }: IncomingMessage, pseudonym: string): string | undefined {
  if (headers.via === undefined) return undefined;
  const via = readVia(headers.via);
  if (via === undefined) {
    throw new RegistryError('UNSUPPORTED', 'the Via header is malformed', { status: 400 });
  }
  if (isLoop(via, pseudonym)) {
    throw new RegistryError(
      'UNAVAILABLE',
      'the request has passed through this mirror before: check the proxies and mirrors for a loop',
      {
        status: LOOP_STATUS,
      },
    );
  }
  return via;
}
