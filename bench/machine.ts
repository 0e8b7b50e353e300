import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpus, loadavg } from 'node:os';
import { median } from './rounds.ts';

const CHUNK = Buffer.alloc(1024 * 1024, 1);
const CHUNKS = 256;

/** The speed of the machine itself: figures of two runs compare only where these agree. */
export interface Speed {
  /** The load average of the last minute. */
  readonly load: number;
  /** From start to end of `node -e 0`, in milliseconds: bound by caches and memory. */
  readonly nodeMs: number;
  /** SHA-256 of one GB, in seconds of CPU time: bound by the core's clock. */
  readonly hashSeconds: number;
}

export function measureSpeed(): Speed {
  const [load = Number.NaN] = loadavg();
  const starts = Array.from({ length: 11 }, () => {
    const start = performance.now();
    spawnSync(process.execPath, ['-e', '0']);
    return performance.now() - start;
  });
  const before = process.cpuUsage();
  const hash = createHash('sha256');
  for (let chunk = 0; chunk < CHUNKS; chunk++) hash.update(CHUNK);
  hash.digest();
  const { user, system } = process.cpuUsage(before);
  return {
    load,
    nodeMs: median(starts),
    hashSeconds: ((user + system) / 1e6 / (CHUNKS * CHUNK.length)) * 1e9,
  };
}

const speedText = ({ load, nodeMs, hashSeconds }: Speed) =>
  `${load.toFixed(1)}, ${nodeMs.toFixed(0)} ms, ${hashSeconds.toFixed(2)} s`;

/** The commit, the machine, and its speed before and after the run, as Markdown. */
export function describeMachine(before: Speed): string {
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  const processors = cpus();
  return `Commit ${commit}; ${processors.length} cores of ${processors[0]?.model}, Node.js ${process.versions.node}, Linux. Load average, time for \`node -e 0\`, and CPU time for SHA-256 of one GB: ${speedText(before)} before the run; ${speedText(measureSpeed())} after it, its own load included.`;
}
