import { isIP } from 'node:net';
import type { Digest } from '../oci/digest.ts';
import { essenceOf, isIndexType } from '../oci/media-type.ts';

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
export function hostNameIn(host: string | undefined): string | undefined {
  const [, ipv6, name, port] = HOST_FIELD.exec(host ?? '') ?? [];
  if (port !== undefined && Number(port) > 65_535) return undefined;
  if (ipv6 !== undefined) return isIP(ipv6) === 6 ? ipv6.toLowerCase() : undefined;
  return name?.toLowerCase();
}

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
