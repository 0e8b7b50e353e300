import type { CacheOptions, CacheResult } from '../../mirror/cache-options.ts';
import type { Metrics } from '../../server/metrics.ts';

/** Counts the cache's results, for `/metrics` and for the status page. */
export interface CacheResultCount {
  readonly count: NonNullable<CacheOptions['onResult']>;
  /** Requests by result, over manifests and blobs. */
  totals(): Readonly<Record<CacheResult, number>>;
}

const RESULTS: readonly CacheResult[] = ['hit', 'coalesced', 'miss', 'bypass', 'stale'];
const KINDS = ['manifest', 'blob'] as const;

export function countCacheResults(metrics: Metrics): CacheResultCount {
  const counter = metrics.counter(
    'metahub_cache_requests_total',
    'Requests that the cache answered, by result.',
    ['kind', 'result'],
    KINDS.flatMap((kind) => RESULTS.map((result) => [kind, result])),
  );
  const totals: Record<CacheResult, number> = { hit: 0, coalesced: 0, miss: 0, bypass: 0, stale: 0 };
  return {
    count: (kind, result) => {
      counter.child(kind, result).add();
      totals[result] += 1;
    },
    totals: () => ({ ...totals }),
  };
}

/** How much the cache takes of the disk, and how much it may. */
export function registerCacheSize(
  metrics: Metrics,
  { usedBytes, limitBytes }: { readonly usedBytes: () => number; readonly limitBytes: () => number },
): void {
  metrics.gauge('metahub_cache_bytes', 'What the cache takes of the disk, in bytes.', usedBytes);
  metrics.gauge('metahub_cache_limit_bytes', 'What the cache may take of the disk, in bytes.', limitBytes);
}
