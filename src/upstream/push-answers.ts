import { validateHeaderValue } from 'node:http';
import type { Sealer } from '../lib/seal.ts';
import { resolveReference, type WebLocation, withQuery } from '../lib/url.ts';
import { type Digest, parseDigest } from '../oci/digest.ts';
import type { AdmittedWrite, WriteRoute } from '../oci/push.ts';
import { formatManifestReference, formatRepository } from '../oci/reference.ts';
import { RegistryError } from '../oci/registry-error.ts';

/** Lifetime of an upload session, in milliseconds. */
const SESSION_MS = 24 * 60 * 60 * 1000;
/** Headers of the registry's answer that the client receives. `location` is added, rewritten. */
const RESPONSE_HEADERS = new Set([
  ...['content-type', 'content-length', 'content-encoding', 'range', 'oci-chunk-min-length'],
  ...['docker-content-digest', 'docker-upload-uuid', 'oci-subject', 'oci-tag', 'retry-after', 'warning'],
  ...['ratelimit-limit', 'ratelimit-remaining', 'ratelimit-reset'],
]);

type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

/** A registry's answer to relay to the client. */
export interface RelayedAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** The URL of the request, for resolving a relative location. */
  readonly asked: WebLocation;
}

/**
 * Maps the registry's status for the client. 401 becomes 403: it is about the mirror's login, so the client
 * cannot answer the challenge. An invalid status becomes 502.
 */
export function statusFor(status = 0): number {
  if (status < 200 || status > 599) return 502;
  return status === 401 ? 403 : status;
}

/** False for a value that Node.js refuses to send, such as one with a line break. */
function isSendable(name: string, value: string | readonly string[]): boolean {
  try {
    for (const one of [value].flat()) validateHeaderValue(name, one);
    return true;
  } catch {
    return false;
  }
}

/** Replaces media types that a browser would show as a page. */
function toInertType(contentType: string | readonly string[] | undefined): string {
  const [type = ''] = [contentType ?? ''].flat();
  return /^(?:application\/(?:[\w.+-]+\+)?json|text\/plain)\s*(?:;|$)/i.test(type)
    ? type
    : 'application/octet-stream';
}

export function filteredHeaders(
  headers: Headers,
  allowed: ReadonlySet<string>,
): Record<string, string | string[]> {
  const kept = Object.entries(headers).filter(
    ([name, value]) => allowed.has(name) && value !== undefined && isSendable(name, value),
  );
  return Object.fromEntries(kept) as Record<string, string | string[]>;
}

function digestIn(headers: Headers): Digest | undefined {
  const said = headers['docker-content-digest'];
  return typeof said === 'string' ? parseDigest(said) : undefined;
}

/** Builds a path of this mirror: `/v2/NAME/…`, with the client's `ns`. */
function mirrorPath({ written, namespace }: WriteRoute, rest: string): string {
  return withQuery(
    `/v2/${written}/${rest}`,
    namespace === undefined ? '' : `ns=${encodeURIComponent(namespace)}`,
  );
}

function contextOf({ route, owner }: AdmittedWrite): string {
  return JSON.stringify([formatRepository(route.repository), owner]);
}

/**
 * Rewrites registries' answers for clients. Locations become URLs of this mirror; the location of an upload is
 * sealed (encrypted) in its URL.
 */
export class PushAnswers {
  readonly #sealer: Sealer;
  readonly #wallClock: () => number;

  /** @param wallClock wall-clock milliseconds */
  constructor(sealer: Sealer, wallClock: () => number) {
    this.#sealer = sealer;
    this.#wallClock = wallClock;
  }

  #sealSession(write: AdmittedWrite, { url, target }: WebLocation): string {
    return this.#sealer.seal(
      JSON.stringify([url.origin, target, this.#wallClock() + SESSION_MS]),
      contextOf(write),
    );
  }

  /**
   * The location of an upload.
   * @throws {RegistryError} BLOB_UPLOAD_UNKNOWN when the session is forged, expired, or of another repository
   * or login.
   */
  openSession(write: AdmittedWrite, session: string): WebLocation {
    const text = this.#sealer.open(session, contextOf(write));
    const [origin, target, untilMs] =
      text === undefined ? [] : (JSON.parse(text) as [string, string, number]);
    if (origin === undefined || target === undefined || !(this.#wallClock() < (untilMs ?? 0))) {
      throw new RegistryError('BLOB_UPLOAD_UNKNOWN', 'the upload is unknown or has expired: start it again');
    }
    return { url: new URL(origin), target };
  }

  /** The location at this mirror: of the stored content, or of the upload. */
  #locationFor(write: AdmittedWrite, { status, headers, asked }: RelayedAnswer): string | undefined {
    const { route } = write;
    const digest = digestIn(headers);
    if (status === 201 && route.kind === 'manifest') {
      const reference = digest ?? formatManifestReference(route.reference);
      return mirrorPath(route, `manifests/${reference}`);
    }
    if (status === 201 && route.kind !== 'manifest') {
      const stored = (route.kind === 'begin-upload' ? route.mount?.digest : undefined) ?? route.digest;
      return stored === undefined ? undefined : mirrorPath(route, `blobs/${stored}`);
    }
    const written = headers['location'];
    const said = typeof written === 'string' ? resolveReference(written, asked) : undefined;
    return said && mirrorPath(route, `blobs/uploads/${this.#sealSession(write, said)}`);
  }

  headersFor(write: AdmittedWrite, relayed: RelayedAnswer): Record<string, string | string[]> {
    const location = this.#locationFor(write, relayed);
    const kept = filteredHeaders(relayed.headers, RESPONSE_HEADERS);
    const digest = digestIn(relayed.headers);
    if (relayed.status === 204 || relayed.status === 304) delete kept['content-length'];
    if (digest === undefined) delete kept['docker-content-digest'];
    if (kept['content-type'] !== undefined) kept['content-type'] = toInertType(kept['content-type']);
    return {
      ...kept,
      'x-content-type-options': 'nosniff',
      ...(location === undefined ? {} : { location }),
      'cache-control': 'no-store',
      'docker-distribution-api-version': 'registry/2.0',
    };
  }
}
