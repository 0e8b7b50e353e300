import { LRUCache } from 'lru-cache';
import type { PreparedManifest } from './manifests.ts';
import type { ManifestRoute } from './routes.ts';

/** Manifests that may be sent again without asking, and the routes of the targets they were asked for by. */
export interface ResponseCache {
  /** The route that this raw target was last parsed to: a request for it needs no parsing. */
  routeOf(target: string): ManifestRoute | undefined;
  find(target: string, key: string, acceptsIndex: boolean): PreparedManifest | undefined;
  /** Call before asking for what may be kept; keeps it unless `forget` was called since: it would be out of date. */
  beginStore(question: HotQuestion): (prepared: PreparedManifest) => void;
  /** Forgets what was kept under an admission key, or everything. */
  forget(key?: string): void;
}

interface HotQuestion {
  /** The raw request target. */
  readonly target: string;
  readonly route: ManifestRoute;
  /** The admission's key. */
  readonly key: string;
  readonly acceptsIndex: boolean;
}

interface Kept {
  readonly prepared: PreparedManifest;
  readonly key: string;
  readonly expiresMs: number;
}

/** Targets whose routes are remembered, in characters: a client can make each as long as a target may be. */
const TARGETS_MAX_CHARACTERS = 4 * 2 ** 20;
/** A manifest by digest never changes, but who may see it does: then it is asked for again. */
const AGE_MAX_MS = 5 * 60_000;
/** What an entry costs besides the manifest's bytes and its key: its head and the map's own. */
const OVERHEAD_BYTES = 2048;
const ROUTE_OVERHEAD = 256;

/** `now` in monotonic milliseconds. */
export function createResponseCache({
  maxBytes,
  now,
}: {
  maxBytes: number;
  now: () => number;
}): ResponseCache {
  const routes = new LRUCache<string, ManifestRoute>({
    maxSize: TARGETS_MAX_CHARACTERS,
    sizeCalculation: (_, target) => target.length + ROUTE_OVERHEAD,
  });
  const answers = new LRUCache<string, Kept>({
    maxSize: maxBytes,
    sizeCalculation: ({ prepared }, name) => prepared.manifest.bytes.length + name.length + OVERHEAD_BYTES,
  });
  let forgotten = 0;
  const keyOf = (target: string, key: string, acceptsIndex: boolean) =>
    `${acceptsIndex ? 'i' : 'm'}${target} ${key}`;

  return {
    routeOf: (target) => routes.get(target),
    find: (target, key, acceptsIndex) => {
      const kept = answers.get(keyOf(target, key, acceptsIndex));
      return kept !== undefined && kept.expiresMs > now() ? kept.prepared : undefined;
    },
    beginStore: ({ target, route, key, acceptsIndex }) => {
      const askedAt = forgotten;
      return (prepared) => {
        const ageMs = Math.min(prepared.manifest.maxAgeMs, AGE_MAX_MS);
        if (!(ageMs > 0) || askedAt !== forgotten) return;
        routes.set(target, route);
        answers.set(keyOf(target, key, acceptsIndex), { prepared, key, expiresMs: now() + ageMs });
      };
    },
    forget: (key) => {
      forgotten += 1;
      if (key === undefined) return answers.clear();
      for (const [name, kept] of answers) if (kept.key === key) answers.delete(name);
    },
  };
}
