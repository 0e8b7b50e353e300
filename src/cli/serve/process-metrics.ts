import { readdirSync, readFileSync } from 'node:fs';
import type { HostProfile } from '../../host/profile.ts';
import type { Metrics } from '../../server/metrics.ts';
import type { ReloadResult } from '../../server/status-facts.ts';

function countOf(folder: string): number {
  try {
    return readdirSync(folder).length;
  } catch {
    // No /proc: the figure is not known.
    return Number.NaN;
  }
}

/** The soft limit of open files. @see proc_pid_limits(5) */
function openFilesMax(): number {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8');
    return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1]);
  } catch {
    return Number.NaN;
  }
}

/**
 * Figures of the process, under the names that Prometheus' client libraries give them.
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
  metrics.gauge('process_max_fds', 'The most file descriptors that may be open.', openFilesMax);
  metrics.gauge(
    'nodejs_heap_size_used_bytes',
    'Heap in use, in bytes.',
    () => process.memoryUsage().heapUsed,
  );
}

/** Which build this is. */
export function registerBuildInfo(metrics: Metrics, version: string): void {
  metrics.gauge(
    'metahub_build_info',
    'Constant 1, with the versions of MetaHub and Node.js.',
    () => [[[version, process.versions.node], 1]],
    ['version', 'node'],
  );
}

/** What this host is; the values change with a reload. */
export function registerHostInfo(metrics: Metrics, profile: () => HostProfile): void {
  metrics.gauge(
    'metahub_host_info',
    'Constant 1, with what this host is.',
    () => {
      const { cpu, platform, gpus } = profile();
      const { microarchitecture } = cpu;
      const { os, architecture, variant = '' } = platform;
      return [[[microarchitecture, `${os}/${architecture}`, variant, String(gpus.length)], 1]];
    },
    ['microarchitecture', 'platform', 'level', 'gpus'],
  );
}

/** What the latest reload came to; `latest` is undefined until there was one. */
export function registerReloadMetrics(metrics: Metrics, latest: () => ReloadResult | undefined): void {
  metrics.gauge(
    'metahub_reload_successful',
    'Did the latest reload of settings succeed? 1 before the first.',
    () => (latest()?.refused === undefined ? 1 : 0),
  );
  metrics.gauge(
    'metahub_reload_timestamp_seconds',
    'When settings were reloaded last, in Unix time; 0: never.',
    () => Math.floor((latest()?.at.getTime() ?? 0) / 1000),
  );
}
