import { readdirSync } from 'node:fs';
import type { HostProfile } from '../../host/profile.ts';
import type { SharedState } from '../../lib/shared-state.ts';
import type { CacheOptions, CacheResult } from '../../mirror/cache-options.ts';
import type { Repository } from '../../oci/reference.ts';
import type { Registry } from '../../oci/registry.ts';
import { RegistryError } from '../../oci/registry-error.ts';
import type { Metrics } from '../../server/metrics.ts';
import type { RegistryHealth, ReloadResult } from '../../server/status-facts.ts';
import { openFilesMax } from './file-handles.ts';

/** Counts the results of the cache, for `/metrics` and for the status page. */
export interface CacheResultCount {
  readonly count: NonNullable<CacheOptions['onResult']>;
  /** Requests by result, for manifests and blobs together. */
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

/** Registers how much of the disk the cache uses, and how much it may use. */
export function registerCacheSize(
  metrics: Metrics,
  { usedBytes, limitBytes }: { readonly usedBytes: () => number; readonly limitBytes: () => number },
): void {
  metrics.gauge('metahub_cache_bytes', 'Disk space that the cache takes, in bytes.', usedBytes);
  metrics.gauge('metahub_cache_limit_bytes', 'Disk space that the cache may take, in bytes.', limitBytes);
}

/** Counts the answers of registries, for `/metrics` and for the status page. */
export interface UpstreamMetrics {
  /** Wraps a registry so that each of its answers is counted and timed. */
  measured(next: Registry): Registry;
  health(): readonly RegistryHealth[];
}

const DURATION_BUCKETS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const REGISTRIES_MAX = 200;

/** Codes of failures. All other errors are a registry's answer that it does not have something. */
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
    'Time from a request to a registry to its answer; for a blob, to its first byte.',
    DURATION_BUCKETS,
    ['registry'],
    [['docker.io']],
  );
  const errors = metrics.counter(
    'metahub_upstream_errors_total',
    'Failed answers of registries, by the code that clients get.',
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

function countOf(folder: string): number {
  try {
    return readdirSync(folder).length;
  } catch {
    // There is no /proc, so the value is unknown.
    return Number.NaN;
  }
}

/**
 * Registers the metrics of the process, under the names that the client libraries of Prometheus use.
 * @see https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics
 */
export function registerProcessMetrics(metrics: Metrics): void {
  const startSeconds = Date.now() / 1000 - process.uptime();
  metrics.observedCounter('process_cpu_seconds_total', 'User and system CPU time spent, in seconds.', () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  metrics.gauge('process_resident_memory_bytes', 'Resident memory, in bytes.', () =>
    process.memoryUsage.rss(),
  );
  metrics.gauge('process_start_time_seconds', 'When the process started, in Unix time.', () => startSeconds);
  metrics.gauge('process_open_fds', 'Open file descriptors.', () => countOf('/proc/self/fd'));
  metrics.gauge('process_max_fds', 'Limit of open file descriptors.', () => openFilesMax() ?? Number.NaN);
  metrics.gauge(
    'nodejs_heap_size_used_bytes',
    'Heap in use, in bytes.',
    () => process.memoryUsage().heapUsed,
  );
}

/** Registers which build this is. */
export function registerBuildInfo(metrics: Metrics, version: string): void {
  metrics.gauge(
    'metahub_build_info',
    'Constant 1, with the versions of MetaHub and Node.js.',
    () => [[[version, process.versions.node], 1]],
    ['version', 'node'],
  );
}

/** Registers what this host is. The values change with a reload. */
export function registerHostInfo(metrics: Metrics, profile: () => HostProfile): void {
  metrics.gauge(
    'metahub_host_info',
    'Constant 1, with this host’s platform and features.',
    () => {
      const { cpu, platform, gpus } = profile();
      const { microarchitecture } = cpu;
      const { os, architecture, variant = '' } = platform;
      return [[[microarchitecture, `${os}/${architecture}`, variant, String(gpus.length)], 1]];
    },
    ['microarchitecture', 'platform', 'level', 'gpus'],
  );
}

/** Registers the result of the latest reload. `latest` returns undefined until there is one. */
export function registerReloadMetrics(metrics: Metrics, latest: () => ReloadResult | undefined): void {
  metrics.gauge(
    'metahub_reload_successful',
    '1 when the latest reload of settings succeeded, and before the first reload; else 0.',
    () => (latest()?.refused === undefined ? 1 : 0),
  );
  metrics.gauge(
    'metahub_reload_timestamp_seconds',
    'When settings were reloaded last, in Unix time; 0: never.',
    () => Math.floor((latest()?.at.getTime() ?? 0) / 1000),
  );
}

const EVENT_RESULTS = ['delivered', 'elsewhere', 'failed', 'given-up', 'dropped'] as const;

/** Counts the events of a webhook. The counters exist without a webhook, too. */
export interface GapEvents {
  readonly count: (result: (typeof EVENT_RESULTS)[number]) => void;
  /** Sets the function that returns how many events wait. */
  readonly watchWaiting: (read: () => number) => void;
}

export function registerGapEvents(metrics: Metrics): GapEvents {
  const counter = metrics.counter(
    'metahub_gap_events_total',
    'Events of new gaps, by result; failed: an attempt that MetaHub repeats; elsewhere: another replica has delivered the event.',
    ['result'],
    EVENT_RESULTS.map((result) => [result]),
  );
  let waiting = () => 0;
  metrics.gauge('metahub_gap_events_waiting', 'Events of new gaps that are not delivered yet.', () =>
    waiting(),
  );
  return {
    count: (result) => counter.child(result).add(),
    watchWaiting: (read) => {
      waiting = read;
    },
  };
}

/**
 * Counts operations on the shared state, and shows whether it is usable. The metrics exist without a shared
 * state, too.
 */
export function registerSharedMetrics(metrics: Metrics, state: () => SharedState | undefined) {
  metrics.gauge(
    'metahub_shared_up',
    '1 while this replica reaches the shared state, or shares nothing.',
    () => (state()?.trouble === undefined ? 1 : 0),
  );
  const requests = metrics.counter(
    'metahub_shared_requests_total',
    'Values and messages that replicas share, by result.',
    ['operation', 'result'],
    ['get', 'set', 'claim', 'publish', 'receive'].map((operation) => [operation, 'ok']),
  );
  return (operation: string, result: string) => requests.child(operation, result).add();
}
