import type { HostProfile } from '../src/host/profile.ts';
import { parseManifestDocument } from '../src/oci/manifest.ts';
import { answerFor } from '../src/selection/answer.ts';
import { DEFAULT_POLICY } from '../src/selection/policy.ts';
import { hostOf } from '../test/support/host-of.ts';
import { documentOf, type EntrySpec } from '../test/support/index-fixture.ts';

/** The maximum median cost of a selection by number of entries, in microseconds. */
const BUDGETS_US: readonly (readonly [entries: number, budget: number])[] = [
  [10, 100],
  [1000, 5000],
];

const MICROARCHITECTURES = [
  'haswell',
  'broadwell',
  'skylake',
  'skylake_avx512',
  'cascadelake',
  'zen2',
  'zen4',
];

/** All forms of entry in real indexes: variants, features, annotations, other platforms, attestations. */
function entryAt(place: number): EntrySpec {
  const name = MICROARCHITECTURES[place % MICROARCHITECTURES.length] ?? 'haswell';
  switch (place % 10) {
    case 0:
      return '';
    case 1:
    case 2:
    case 3:
      return { variant: `v${(place % 4) + 1}` };
    case 4:
      return `cpu:${name} nvcap:8.0 nvcap:9.0`;
    case 5:
      return { on: 'linux/arm64', variant: 'v8' };
    case 6:
      return { annotations: { 'io.archspec.cpu.target': name } };
    case 7:
      return { about: String(place - 1) };
    default:
      return `cpu:${name}`;
  }
}

function indexOf(entries: number): Buffer {
  const names = Array.from({ length: entries }, (_, place) => [`e${place}`, entryAt(place)] as const);
  return documentOf(Object.fromEntries(names)).bytes;
}

/** One selection as the mirror makes it: from bytes to bytes and their digest. */
function decide(bytes: Buffer, profile: HostProfile): string {
  const document = parseManifestDocument(bytes);
  const answer = answerFor(document, profile, DEFAULT_POLICY, { acceptsIndex: true });
  if (answer.kind !== 'derived') throw new Error(`the benchmark measures a derivation, not ${answer.kind}`);
  return answer.digest;
}

function medianUs(rounds: number, work: () => unknown): number {
  for (let round = 0; round < rounds; round += 1) work();
  const times = Array.from({ length: rounds }, () => {
    const start = process.hrtime.bigint();
    work();
    return Number(process.hrtime.bigint() - start) / 1000;
  });
  return times.sort((a, b) => a - b)[Math.floor(rounds / 2)] ?? Number.NaN;
}

const profile = hostOf('cpu:cascadelake nvcap:9.0');
console.log('reading, judging, rewriting and hashing an index, median');
for (const [entries, budget] of BUDGETS_US) {
  const bytes = indexOf(entries);
  const median = medianUs(entries <= 100 ? 3000 : 300, () => decide(bytes, profile));
  const verdict = median <= budget ? 'within' : 'MISSED';
  console.log(
    `${String(entries).padStart(5)} entries  ${bytes.length} bytes  ${median.toFixed(1)} µs  (${verdict} ${budget} µs)`,
  );
  if (median > budget) process.exitCode = 1;
}
