import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpus, freemem, loadavg } from 'node:os';
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
    // Node.js 20 reads the certificates of NODE_EXTRA_CA_CERTS at each start, for 80 ms.
    spawnSync(process.execPath, ['-e', '0'], { env: { ...process.env, NODE_EXTRA_CA_CERTS: '' } });
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

const MIB = 1024 * 1024;

/**
 * Uses half of the free memory once. A virtual machine gets its memory at the first access, which costs up to 2.4 s
 * of CPU time per GB: without this, the first contender would pay for all. In a process of its own, because a large
 * one starts others slowly.
 */
export function touchMemory(): void {
  const chunks = Math.floor(freemem() / 2 / (256 * MIB));
  const program = `const chunks = Array.from({ length: ${chunks} }, () => Buffer.allocUnsafeSlow(${256 * MIB}).fill(1));`;
  execFileSync(process.execPath, ['-e', program]);
}

const speedText = ({ load, nodeMs, hashSeconds }: Speed) =>
  `${load.toFixed(1)}, ${nodeMs.toFixed(0)} ms, ${hashSeconds.toFixed(2)} s`;

/** The commit, the machine, and its speed before and after the run, as Markdown. */
export function describeMachine(before: Speed): string {
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  const processors = cpus();
  return `Commit ${commit}; ${processors.length} cores of ${processors[0]?.model}, Node.js ${process.versions.node}, Linux. Load average, time for \`node -e 0\`, and CPU time for SHA-256 of one GB: ${speedText(before)} before the run; ${speedText(measureSpeed())} after it, its own load included.`;
}
