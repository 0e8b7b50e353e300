// The cost of `metahub detect`: its work inside the process, and its wall-clock time compared with a bare `node -e
// 0`, on this host and on a captured one with 512 threads. Run with `npx tsx bench/detect.ts [rounds]` after `npm
// run build`.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const REPOSITORY = fileURLToPath(new URL('..', import.meta.url));
const METAHUB = join(REPOSITORY, 'bin/metahub.js');
const ROUNDS = Number(process.argv[2] ?? 31);

// Reading certificates at start would count for both.
const { NODE_EXTRA_CA_CERTS: _, ...environment } = process.env;

/** Probing, matching and printing, without loading the modules for it; printed by a new process. */
const WORK = `
  const { detectHost } = await import('${REPOSITORY}/dist/cli/detect-host.js');
  const { renderTable } = await import('${REPOSITORY}/dist/cli/commands/detect/table.js');
  const began = performance.now();
  renderTable(await detectHost({ root: process.argv[1] }), { width: 80, colour: false });
  process.stdout.write(String(performance.now() - began));
`;

function run(...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    env: environment,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`node ${args.join(' ')} ended with status ${status}: ${stderr}`);
  return stdout;
}

function wallMs(...args: readonly string[]): number {
  const began = performance.now();
  run(...args);
  return performance.now() - began;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Writes this host's first record of /proc/cpuinfo 512 times. */
function writeLargeHost(): string {
  const root = mkdtempSync(join(tmpdir(), 'metahub-bench-'));
  const record = readFileSync('/proc/cpuinfo', 'utf8').split('\n\n', 1)[0] ?? '';
  const records = Array.from({ length: 512 }, (_, at) => record.replace(/^(processor\s*:) \d+/m, `$1 ${at}`));
  mkdirSync(join(root, 'proc/sys/kernel'), { recursive: true });
  writeFileSync(join(root, 'proc/cpuinfo'), `${records.join('\n\n')}\n\n`);
  writeFileSync(join(root, 'proc/sys/kernel/osrelease'), '6.1.0\n');
  return root;
}

function measure(root: string): string {
  const [work, bare, detect]: [number[], number[], number[]] = [[], [], []];
  for (let round = 0; round < ROUNDS; round++) {
    work.push(Number(run('--input-type=module', '--eval', WORK, root)));
    bare.push(wallMs('--eval', '0'));
    detect.push(wallMs(METAHUB, 'detect', '--root', root));
  }
  const ratio = median(detect) / median(bare);
  const columns = [median(work), median(bare), median(detect)].map((ms) =>
    `${ms.toFixed(1)} ms`.padStart(10),
  );
  return `${columns.join('')}${ratio.toFixed(2).padStart(8)}`;
}

const large = writeLargeHost();
try {
  console.log(
    `node ${process.version}, ${availableParallelism()} cores, medians of ${ROUNDS} alternating rounds\n`,
  );
  console.log(`${''.padEnd(14)}      work node -e 0    detect   ratio`);
  console.log(`${'this host'.padEnd(14)}${measure('/')}`);
  console.log(`${'512 threads'.padEnd(14)}${measure(large)}`);
} finally {
  rmSync(large, { recursive: true });
}
