// `npm run bench [section …] [-- --rounds N --write]`: MetaHub beside nginx and docker-registry, in one run.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openWorkplace, type Workplace } from '../test/support/workplace.ts';
import { benchBlobs } from './blobs.ts';
import { benchCold } from './cold.ts';
import { benchManifests } from './manifests.ts';
import { benchMemory } from './memory.ts';
import { benchPaced } from './paced.ts';
import { toSvg } from './plot.ts';
import { benchPulls } from './pulls.ts';
import { benchStart } from './start.ts';
import { benchStreams } from './streams.ts';
import { type Section, toMarkdown } from './table.ts';

type Bench = (workplace: Workplace, rounds: number) => Promise<readonly Section[]>;

/** How often each is measured when nothing else is said: manifests are the noisiest. */
const BENCHES: Readonly<Record<string, readonly [bench: Bench, rounds: number]>> = {
  manifests: [benchManifests, 11],
  blobs: [benchBlobs, 7],
  cold: [benchCold, 7],
  paced: [benchPaced, 5],
  streams: [benchStreams, 7],
  pulls: [benchPulls, 5],
  start: [benchStart, 11],
};

async function inWorkplace<Result>(work: (workplace: Workplace) => Promise<Result>): Promise<Result> {
  const workplace = openWorkplace();
  try {
    return await work(workplace);
  } finally {
    await workplace.close();
  }
}

function machine(): string {
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  const processors = cpus();
  return `Commit ${commit}; ${processors.length} cores of ${processors[0]?.model}, Node.js ${process.versions.node}, Linux, load average ${loadavg()[0]?.toFixed(1)} at the end. The load runs on one core, every server on the other; each round visits every server once, and a ratio is the median of the rounds' ratios.`;
}

function memoryText(idleBytes: number, peakBytes: number): string {
  const megabytes = (bytes: number) => `${Math.round(bytes / 1e6)} MB`;
  const goal = peakBytes <= 160e6 ? 'reached' : 'missed';
  return `### Memory\n\n64 slow readers of 100 MB each: **${megabytes(peakBytes)}** at the most, ${megabytes(idleBytes)} after the start (goal 160 MB: ${goal}).\n`;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string' }, write: { type: 'boolean', default: false } },
});
const wanted = positionals.length === 0 ? [...Object.keys(BENCHES), 'memory'] : positionals;
const unknown = wanted.find((name) => name !== 'memory' && !(name in BENCHES));
if (unknown !== undefined) {
  process.stderr.write(
    `There is no bench “${unknown}”: choose among ${Object.keys(BENCHES).join(', ')}, memory.\n`,
  );
  process.exit(2);
}

const sections: Section[] = [];
const texts: string[] = [];
const add = (text: string) => {
  texts.push(text);
  process.stdout.write(`${text}\n`);
};
for (const name of wanted) {
  const [bench, rounds] = BENCHES[name] ?? [];
  if (bench === undefined) {
    const { idleBytes, peakBytes } = await inWorkplace(benchMemory);
    add(memoryText(idleBytes, peakBytes));
    continue;
  }
  const found = await inWorkplace((workplace) => bench(workplace, Number(values.rounds ?? rounds)));
  for (const section of found) add(toMarkdown(section));
  sections.push(...found);
}
if (values.write) {
  const docs = fileURLToPath(new URL('../docs/', import.meta.url));
  mkdirSync(docs, { recursive: true });
  const head = `# Benchmarks\n\nWhat \`npm run bench\` has measured; with \`-- --write\` it puts its figures here. ${machine()}\n\n![every section as bars](benchmarks.svg)\n`;
  writeFileSync(`${docs}benchmarks.md`, `${head}\n${texts.join('\n')}`);
  writeFileSync(`${docs}benchmarks.svg`, toSvg(sections));
}
