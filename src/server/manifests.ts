import type { IncomingMessage, ServerResponse } from 'node:http';
import { LRUCache } from 'lru-cache';
import type { HeaderList } from '../lib/http.ts';
import { algorithmOf, digestOf } from '../oci/digest.ts';
import { formatReference, isSameRepository, type Repository, type Tag } from '../oci/reference.ts';
import type { Admitted, Manifest } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { etagOf, isKnownToClient } from './request-validation.ts';
import {
  COMMON_HEADERS,
  cacheControl,
  forwardableHeaders,
  type HttpExchange,
  isHeaderValue,
  sendEmpty,
  toRegistryError,
} from './response.ts';
import type { ManifestRoute } from './routes.ts';

/** A manifest with its response headers, which can be sent any number of times without further work. */
export interface PreparedManifest {
  readonly manifest: Manifest;
  readonly headers: HeaderList;
  readonly headersOf304: HeaderList;
  /** When the registry delivered or confirmed it, in monotonic milliseconds. */
  readonly storedMs: number;
}

const OCTETS = 'application/octet-stream';

/**
 * Builds the response headers of a manifest. `Docker-Content-Digest` is computed from the bytes that are sent.
 * @throws {RegistryError} UNAVAILABLE when the bytes have another digest than the manifest or the request says.
 */
function prepareManifest(
  { repository, reference }: Pick<ManifestRoute, 'repository' | 'reference'>,
  manifest: Manifest,
  isPrivate: boolean,
): PreparedManifest {
  const digest = digestOf(manifest.bytes, algorithmOf(manifest.digest));
  if (digest !== manifest.digest || (reference.kind === 'digest' && digest !== reference.digest)) {
    throw new RegistryError(
      'UNAVAILABLE',
      `the bytes for ${formatReference(repository, reference)} have another digest: ${digest}`,
    );
  }
  const identity = [
    ...['Docker-Content-Digest', digest, 'ETag', etagOf(digest), 'Vary', 'Accept'],
    ...cacheControl(isPrivate, reference.kind === 'digest'),
  ];
  const type = isHeaderValue(manifest.mediaType) ? manifest.mediaType : OCTETS;
  const size = String(manifest.bytes.length);
  const rest = ['Content-Type', type, 'Content-Length', size, ...forwardableHeaders(manifest.notices)];
  return {
    manifest,
    headers: [...COMMON_HEADERS, ...identity, ...rest],
    headersOf304: identity,
    storedMs: performance.now() - (manifest.ageMs ?? 0),
  };
}

const NO_HEADERS: HeaderList = [];

/** The `Age` header of a stored manifest. @see https://www.rfc-editor.org/rfc/rfc9111#section-5.1 */
export function ageHeader({ storedMs }: PreparedManifest): HeaderList {
  return ['Age', String(Math.floor((performance.now() - storedMs) / 1000))];
}

/** Sends a prepared manifest, or 304 when the client already has it. */
export function sendManifest(
  req: IncomingMessage,
  res: ServerResponse,
  prepared: PreparedManifest,
  age: HeaderList = NO_HEADERS,
): void {
  const ifNoneMatch = req.headers['if-none-match'];
  if (ifNoneMatch !== undefined && isKnownToClient(ifNoneMatch, prepared.manifest.digest)) {
    sendEmpty(res, 304, [...prepared.headersOf304, ...age]);
    return;
  }
  res.writeHead(200, [...prepared.headers, ...age]);
  // Node.js leaves out the body for HEAD.
  res.end(prepared.manifest.bytes);
}

/** Fetches a manifest, for HEAD as for GET, so that what HEAD announces exists and is stored. */
export async function fetchManifest(
  { registry, options, isPrivate }: HttpExchange,
  route: ManifestRoute,
): Promise<PreparedManifest> {
  const manifest = await registry.manifest(route.repository, route.reference, options);
  return prepareManifest(route, manifest, isPrivate);
}

/** Reports that a tag was answered. */
export function noteSent(
  { noteAnswer }: Admitted,
  { repository, reference }: ManifestRoute,
  { manifest }: PreparedManifest,
): void {
  if (reference.kind === 'tag')
    noteAnswer?.(repository, reference.tag, { kind: 'sent', digest: manifest.digest });
}

/** Reports that a tag was not answered. */
export function noteFailure(
  { noteAnswer }: Admitted,
  { repository, reference }: ManifestRoute,
  error: unknown,
): void {
  if (reference.kind !== 'tag') return;
  const { status, message: reason } = toRegistryError(error);
  noteAnswer?.(repository, reference.tag, { kind: 'failed', status, reason });
}

/** Manifests that may be sent again without asking a registry, and the routes of their request targets. */
export interface ResponseCache {
  /** The route of this request target, if it is known, so that it need not be parsed. */
  routeOf(target: string): ManifestRoute | undefined;
  find(target: string, admissionKey: string, acceptsIndex: boolean): PreparedManifest | undefined;
  /**
   * Call this before asking the registry. The returned function stores the answer, unless `invalidate` was called
   * meanwhile.
   */
  beginStore(request: CacheableRequest): (prepared: PreparedManifest) => void;
  /** Drops the answers of one admission key, or all. */
  invalidate(admissionKey?: string): void;
  /** Drops the answers for a tag, of all targets and admission keys. */
  invalidateTag(repository: Repository, tag: Tag): void;
}

interface CacheableRequest {
  /** The request target, in origin form. */
  readonly target: string;
  readonly route: ManifestRoute;
  readonly admissionKey: string;
  readonly acceptsIndex: boolean;
}

interface CachedResponse {
  readonly prepared: PreparedManifest;
  readonly route: ManifestRoute;
  readonly admissionKey: string;
  readonly expiresMs: number;
}

/** Limit of targets whose routes are cached, in characters: a client can make each as long as a target may be. */
const TARGETS_MAX_CHARACTERS = 4 * 2 ** 20;
/**
 * Limit of the age. Even for a digest the registry is asked again: its bytes never change, but who may see them
 * does.
 */
const AGE_MAX_MS = 5 * 60_000;
/** What an entry costs besides the manifest and its key: headers and map entry. */
const OVERHEAD_BYTES = 2048;
const ROUTE_OVERHEAD = 256;

export interface ResponseCacheOptions {
  readonly maxBytes: number;
  /** Monotonic milliseconds. */
  readonly now?: () => number;
}

export function createResponseCache({
  maxBytes,
  now = () => performance.now(),
}: ResponseCacheOptions): ResponseCache {
  const routes = new LRUCache<string, ManifestRoute>({
    maxSize: TARGETS_MAX_CHARACTERS,
    sizeCalculation: (_, target) => target.length + ROUTE_OVERHEAD,
  });
  const responses = new LRUCache<string, CachedResponse>({
    maxSize: maxBytes,
    sizeCalculation: ({ prepared }, name) => prepared.manifest.bytes.length + name.length + OVERHEAD_BYTES,
  });
  let invalidations = 0;
  const keyOf = (target: string, admissionKey: string, acceptsIndex: boolean) =>
    `${acceptsIndex ? 'i' : 'm'}${target} ${admissionKey}`;

  return {
    routeOf: (target) => routes.get(target),
    find: (target, admissionKey, acceptsIndex) => {
      const cached = responses.get(keyOf(target, admissionKey, acceptsIndex));
      return cached !== undefined && cached.expiresMs > now() ? cached.prepared : undefined;
    },
    beginStore: ({ target, route, admissionKey, acceptsIndex }) => {
      const invalidationsBefore = invalidations;
      return (prepared) => {
        const ageMs = Math.min(prepared.manifest.maxAgeMs, AGE_MAX_MS);
        if (!(ageMs > 0) || invalidationsBefore !== invalidations) return;
        routes.set(target, route);
        responses.set(keyOf(target, admissionKey, acceptsIndex), {
          prepared,
          route,
          admissionKey,
          expiresMs: now() + ageMs,
        });
      };
    },
    invalidate: (admissionKey) => {
      invalidations += 1;
      if (admissionKey === undefined) return responses.clear();
      for (const [name, cached] of responses) {
        if (cached.admissionKey === admissionKey) responses.delete(name);
      }
    },
    invalidateTag: (repository, tag) => {
      invalidations += 1;
      // Scans all answers, because tags move far less often than they are pulled.
      for (const [name, { route }] of responses) {
        const { reference } = route;
        const isTag = reference.kind === 'tag' && reference.tag === tag;
        if (isTag && isSameRepository(route.repository, repository)) responses.delete(name);
      }
    },
  };
}
