import { LRUCache } from 'lru-cache';
import { isSameRepository, type Repository, type Tag } from '../oci/reference.ts';
import type { PreparedManifest } from './manifests.ts';
import type { ManifestRoute } from './routes.ts';

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
  readonly now: () => number;
}

export function createResponseCache({ maxBytes, now }: ResponseCacheOptions): ResponseCache {
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
