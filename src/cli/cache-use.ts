import type { CachedOptions, CacheUse } from '../mirror/cached.ts';
import type { Metrics } from '../server/metrics.ts';

/** Counts how the cache answers, for `/metrics` and for the status page. */
export interface CacheUseCount {
  readonly count: NonNullable<CachedOptions['used']>;
  figures(): readonly (readonly [name: string, value: string])[];
}

const USES: readonly CacheUse[] = ['held', 'joined', 'fetched', 'passed', 'stale'];

export function countCacheUse(metrics: Metrics): CacheUseCount {
  const counter = metrics.counter('metahub_cache_total', 'Answers of the cache: what, and how.', [
    'kind',
    'how',
  ]);
  const totals = { manifest: new Map<CacheUse, number>(), blob: new Map<CacheUse, number>() };
  const line = (kind: keyof typeof totals) => {
    const counted = USES.filter((how) => totals[kind].has(how));
    return counted.map((how) => `${totals[kind].get(how)} ${how}`).join(', ') || 'none yet';
  };
  return {
    count: (kind, how) => {
      counter.child(kind, how).add();
      totals[kind].set(how, (totals[kind].get(how) ?? 0) + 1);
    },
    figures: () => [
      ['manifests', line('manifest')],
      ['blobs', line('blob')],
    ],
  };
}
