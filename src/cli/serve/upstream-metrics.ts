import type { Repository } from '../../oci/reference.ts';
import type { Registry } from '../../oci/registry.ts';
import { RegistryError } from '../../oci/registry-error.ts';
import type { Metrics } from '../../server/metrics.ts';
import type { RegistryHealth } from '../../server/status-facts.ts';

/** What registries answered, for `/metrics` and for the status page. */
export interface UpstreamMetrics {
  /** The same registry, each of its answers counted and timed. */
  measured(next: Registry): Registry;
  health(): readonly RegistryHealth[];
}

const DURATION_BUCKETS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const REGISTRIES_MAX = 200;

/** The codes that say that a registry failed, rather than that it has no such thing. */
const FAILURES: ReadonlySet<string> = new Set([
  'UNAVAILABLE',
  'TOOMANYREQUESTS',
  'UNAUTHORIZED',
  'DENIED',
  'MANIFEST_INVALID',
  'UNKNOWN',
]);

interface Tally {
  requests: number;
  failures: number;
  failing: string | undefined;
  successMs: number;
}

/** @param now monotonic milliseconds */
export function createUpstreamMetrics(metrics: Metrics, now: () => number): UpstreamMetrics {
  const durations = metrics.histogram(
    'metahub_upstream_request_duration_seconds',
    'Time from asking a registry to its answer; of a blob, to the start of it.',
    DURATION_BUCKETS,
    ['registry'],
    [['docker.io']],
  );
  const errors = metrics.counter(
    'metahub_upstream_errors_total',
    'Answers of registries that are failures, by the code that clients get.',
    ['registry', 'code'],
    [...FAILURES].map((code) => ['docker.io', code]),
  );
  const tallies = new Map<string, Tally>();

  function tallyOf(registry: string): Tally {
    const key = tallies.has(registry) || tallies.size < REGISTRIES_MAX ? registry : 'other';
    const tally = tallies.get(key) ?? { requests: 0, failures: 0, failing: undefined, successMs: 0 };
    tallies.set(key, tally);
    return tally;
  }

  async function measure<T>({ host }: Repository, ask: Promise<T>): Promise<T> {
    const startedMs = now();
    const tally = tallyOf(host);
    tally.requests += 1;
    try {
      const answer = await ask;
      tally.successMs += now() - startedMs;
      tally.failing = undefined;
      return answer;
    } catch (error) {
      if (error instanceof RegistryError && FAILURES.has(error.code)) {
        errors.child(host, error.code).add();
        tally.failures += 1;
        tally.failing = error.message;
      }
      throw error;
    } finally {
      durations.child(host).observe((now() - startedMs) / 1000);
    }
  }

  return {
    measured: (next) => ({
      resolve: (repository, ...rest) => measure(repository, next.resolve(repository, ...rest)),
      manifest: (repository, ...rest) => measure(repository, next.manifest(repository, ...rest)),
      statBlob: (repository, ...rest) => measure(repository, next.statBlob(repository, ...rest)),
      blob: (repository, ...rest) => measure(repository, next.blob(repository, ...rest)),
      tags: (repository, ...rest) => measure(repository, next.tags(repository, ...rest)),
      referrers: (repository, ...rest) => measure(repository, next.referrers(repository, ...rest)),
    }),
    health: () =>
      [...tallies].map(([registry, { requests, failures, failing, successMs }]) => ({
        registry,
        requests,
        failures,
        failing,
        meanMs: successMs / Math.max(1, requests - failures),
      })),
  };
}
