import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { CHECK_PURPOSE, hasBody, isCrossSite, isLoop, PURPOSE_HEADER, readVia } from '../lib/http.ts';
import type { Digest } from '../oci/digest.ts';
import { essenceOf, isIndexType } from '../oci/media-type.ts';
import type { RequestOptions } from '../oci/registry.ts';
import { LOOP_STATUS, RegistryError } from '../oci/registry-error.ts';
import type { Limits } from './connections.ts';

/** Limit of remembered header values. Clients send few different ones, so more indicate abuse. */
const MEMO_MAX = 256;

/** Remembers the results of a function, because a client sends the same header with each request. */
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
 * Returns a function that tells from an Accept header whether the client accepts an image index: the header names
 * an index type or a wildcard, or is missing.
 */
export function createAcceptReader(): (accept: string | undefined) => boolean {
  const read = memoized((accept) => accept.split(',').some(coversIndex));
  return (accept) => accept === undefined || accept === '' || accept === '*/*' || read(accept);
}

/** The kinds of clients, by the start of their User-Agent. The first match counts. */
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

/** Returns the kind of client that a User-Agent names. `kinds`: all values that it can return. */
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

/** The host name in a Host header, without port and brackets, in lower case. Undefined when the header is malformed. */
function hostNameIn(host: string | undefined): string | undefined {
  const [, ipv6, name, port] = HOST_FIELD.exec(host ?? '') ?? [];
  if (port !== undefined && Number(port) > 65_535) return undefined;
  if (ipv6 !== undefined) return isIP(ipv6) === 6 ? ipv6.toLowerCase() : undefined;
  return name?.toLowerCase();
}

const isHostField = memoized((host) => hostNameIn(host) !== undefined);

/**
 * True when the Host header names this server. Otherwise a web page whose own name was made to point here (DNS
 * rebinding) could read the answers. IP addresses, localhost and the configured names cannot be used for that.
 */
export function isOwnHost(host: string | undefined, names: readonly string[]): boolean {
  const name = hostNameIn(host);
  if (name === undefined) return false;
  return isIP(name) !== 0 || name === 'localhost' || names.some((own) => own.toLowerCase() === name);
}

/**
 * As {@link isOwnHost}, but accepts any host while the mirror serves other machines too, and remembers the last
 * accepted value: a runtime always sends the same one.
 */
export function createHostCheck(
  names: readonly string[],
  state: { readonly isForThisMachine: boolean },
): (host: string | undefined) => boolean {
  let last: string | undefined;
  return (host) => {
    if (!state.isForThisMachine || host === undefined || host === last) return true;
    const isOwn = isOwnHost(host, names);
    if (isOwn) last = host;
    return isOwn;
  };
}

/** The entity tag of content: its digest in quotes. */
export function etagOf(digest: Digest): string {
  return `"${digest}"`;
}

/**
 * True when `If-None-Match` names this digest, so that the answer is 304. The comparison is weak, as the RFC
 * requires. A digest without quotes counts too, because registry clients send it.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2
 */
export function isKnownToClient(ifNoneMatch: string | undefined, digest: Digest): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch.split(',').some((written) => {
    const tag = written.trim().replace(/^W\//, '');
    return tag === '*' || tag === digest || tag === etagOf(digest);
  });
}

/** True when the Range header applies: there is no `If-Range`, or it is the entity tag of this content. */
export function rangeCounts(ifRange: string | undefined, digest: Digest): boolean {
  return ifRange === undefined || ifRange.trim() === etagOf(digest);
}

export function isRead(req: IncomingMessage): boolean {
  return req.method === 'GET' || req.method === 'HEAD';
}

const isHost = (name: string) => name.length === 4 && name.toLowerCase() === 'host';
const isAuthorization = (name: string) => name.length === 13 && name.toLowerCase() === 'authorization';

/** How many times the request has this header. Node.js keeps only the first one in `headers`. */
function countLines({ rawHeaders }: IncomingMessage, isWanted: (name: string) => boolean): number {
  let count = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) if (isWanted(rawHeaders[at] ?? '')) count += 1;
  return count;
}

/**
 * Returns whether the client wants the current state, and whether it only checks what a runtime would get.
 * @see https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1.4
 */
export function readIntent({ headers }: IncomingMessage): Pick<RequestOptions, 'revalidate' | 'isCheck'> {
  return {
    revalidate: /(?:^|,)\s*(?:no-cache|max-age=0)\s*(?:,|$)/i.test(headers['cache-control'] ?? ''),
    isCheck: headers[PURPOSE_HEADER] === CHECK_PURPOSE,
  };
}

/** True when the request has one Host header and at most one Authorization header. */
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

/** True when nothing about the request needs a closer look, so that a stored answer may be sent at once. */
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

/** The absolute form of a request target, which clients send to a proxy. */
const ABSOLUTE_FORM = /^https?:\/\/([^/?#]*)([/?].*)?$/i;

/**
 * Turns a target in absolute form into origin form. Its authority replaces the Host header.
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
 * Refuses what is not valid HTTP/1.0 or HTTP/1.1, and brings the target into origin form.
 * @throws {RegistryError} UNSUPPORTED: 505 for another version, 414 for a long target, 431, otherwise 400.
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
 * Refuses what no client of a mirror sends. The body of a request is never read (see mustClose), so that nothing in
 * it can be taken for another request.
 * @throws {RegistryError} UNSUPPORTED: 405 for other methods than GET and HEAD, 417, otherwise 400.
 */
export function checkRead(req: IncomingMessage): void {
  const { expect } = req.headers;
  if (!isRead(req)) {
    throw new RegistryError('UNSUPPORTED', 'a mirror is read-only: use GET or HEAD', {
      headers: { allow: 'GET, HEAD' },
    });
  }
  if (hasBody(req)) throw bad('a request with a body is not accepted');
  // HTTP/1.0 does not define Expect. Without a body there is nothing to continue with.
  const isIgnored = req.httpVersion === '1.0' || expect?.toLowerCase() === '100-continue';
  if (expect !== undefined && !isIgnored) throw bad('the expectation cannot be met', 417);
}

/**
 * Refuses what no client that pushes sends.
 * @throws {RegistryError} UNSUPPORTED: 417; 501 for a transfer coding; 400 for a protocol upgrade, or for a body
 * with a method that has none.
 */
export function checkWrite(req: IncomingMessage): void {
  const { headers, method } = req;
  const coding = headers['transfer-encoding'];
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') {
    throw bad('the transfer coding is not supported', 501);
  }
  // Some servers take such a body for the next request.
  if ((method === 'GET' || method === 'DELETE') && hasBody(req)) {
    throw bad('a body is not accepted with this method');
  }
  if (headers.upgrade !== undefined) throw bad('this server does not switch protocols');
  if (headers.expect !== undefined && headers.expect.toLowerCase() !== '100-continue') {
    throw bad('the expectation cannot be met', 417);
  }
}

/** True when, after this answer, the following bytes on the connection may not be a request. */
export function mustClose(req: IncomingMessage, status: number): boolean {
  return hasBody(req) || status === 405 || status === 414 || status === 417 || status === 505;
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

/** Reads and checks the `Via` header. @throws {RegistryError} 400 when it is malformed, 508 for a loop */
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
