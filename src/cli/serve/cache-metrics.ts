import type { CacheOptions, CacheResult } from '../../mirror/cache-options.ts';
import type { Metrics } from '../../server/metrics.ts';

/** Counts result the cache answers, for `/metrics` and for the status page. */
export interface CacheResultCount {
  readonly count: NonNullable<CacheOptions['onResult']>;
  figures(): readonly (readonly [name: string, value: string])[];
}

const RESULTS: readonly CacheResult[] = ['hit', 'coalesced', 'miss', 'bypass', 'stale'];

export function countCacheResults(metrics: Metrics): CacheResultCount {
  const counter = metrics.counter(
    'metahub_cache_requests_total',
    'Requests that the cache answered, by result.',
    ['kind', 'result'],
  );
  const totals = { manifest: new Map<CacheResult, number>(), blob: new Map<CacheResult, number>() };
  const line = (kind: keyof typeof totals) => {
    const counted = RESULTS.filter((result) => totals[kind].has(result));
    return counted.map((result) => `${totals[kind].get(result)} ${result}`).join(', ') || 'none yet';
  };
  return {
    count: (kind, result) => {
      counter.child(kind, result).add();
      totals[kind].set(result, (totals[kind].get(result) ?? 0) + 1);
    },
    figures: () => [
      ['manifests', line('manifest')],
      ['blobs', line('blob')],
    ],
  };
}
