// `npm run bench [section …] [-- --rounds N --write]`: MetaHub compared with nginx and docker-registry, in one run.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openWorkplace, type Workplace } from '../test/support/workplace.ts';
import { benchBlobs } from './blobs.ts';
import { benchCold } from './cold.ts';
import { describeMachine, measureSpeed, touchMemory } from './machine.ts';
import { benchManifests } from './manifests.ts';
import { benchMemory } from './memory.ts';
import { benchPaced } from './paced.ts';
import { toSvg } from './plot.ts';
import { benchPulls } from './pulls.ts';
import { benchReaders } from './readers.ts';
import { benchRepulls } from './repulls.ts';
import { benchSite } from './site.ts';
import { benchStart } from './start.ts';
import { benchStreams } from './streams.ts';
import { goalsTable, type Section, toMarkdown } from './table.ts';

type Bench = (workplace: Workplace, rounds: number) => Promise<readonly Section[]>;

/** The default number of rounds: manifests vary most, whole pulls take longest. */
const BENCHES: Readonly<Record<string, readonly [bench: Bench, rounds: number]>> = {
  manifests: [benchManifests, 11],
  site: [benchSite, 11],
  blobs: [benchBlobs, 7],
  cold: [benchCold, 7],
  paced: [benchPaced, 5],
  streams: [benchStreams, 7],
  readers: [benchReaders, 5],
  pulls: [benchPulls, 5],
  repulls: [benchRepulls, 1],
  start: [benchStart, 11],
  memory: [benchMemory, 1],
};

async function inWorkplace<Result>(work: (workplace: Workplace) => Promise<Result>): Promise<Result> {
  const workplace = openWorkplace();
  try {
    return await work(workplace);
  } finally {
    await workplace.close();
  }
}

/** How every section is measured. */
const METHOD =
  'Where nothing else is said the load runs on one core, every server on the other; each round visits every server once, a ratio is the median of the rounds’ ratios, processor time the least of the rounds.';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string' }, write: { type: 'boolean', default: false } },
});
const wanted = positionals.length === 0 ? Object.keys(BENCHES) : positionals;
const unknown = wanted.find((name) => !(name in BENCHES));
if (unknown !== undefined) {
  process.stderr.write(`There is no bench "${unknown}". Choose among ${Object.keys(BENCHES).join(', ')}.\n`);
  process.exit(2);
}

const speedBefore = measureSpeed();
touchMemory();
const sections: Section[] = [];
for (const name of wanted) {
  const [bench, rounds] = BENCHES[name] ?? [];
  if (bench === undefined) continue;
  const found = await inWorkplace((workplace) => bench(workplace, Number(values.rounds ?? rounds)));
  for (const section of found) process.stdout.write(`${toMarkdown(section)}\n`);
  sections.push(...found);
}
const goals = goalsTable(sections);
process.stdout.write(`${goals}\n`);
if (values.write) {
  const docs = fileURLToPath(new URL('../docs/', import.meta.url));
  mkdirSync(docs, { recursive: true });
  const limits = readFileSync(fileURLToPath(new URL('limits.md', import.meta.url)), 'utf8');
  const head = `# Benchmarks\n\nWhat \`npm run bench\` has measured; with \`-- --write\` it puts its figures here. ${describeMachine(speedBefore)} ${METHOD}\n\n![every section as bars](benchmarks.svg)\n`;
  writeFileSync(`${docs}benchmarks.md`, [head, goals, ...sections.map(toMarkdown), limits].join('\n'));
  writeFileSync(`${docs}benchmarks.svg`, toSvg(sections));
}
