// Estimates the score of a room from a random sample of its mutants. For Stryker this is a checker, which
// refuses mutants outside the sample: only a checker gets the list of all mutants that a test reaches.
import { createHash } from 'node:crypto';

/**
 * Draws a sample of the mutants with these ids, all with the same probability. The same seed draws the same
 * mutants. A sample of a part contains every mutant of that part that is in the sample of the whole.
 * @param {readonly string[]} ids
 * @param {number} size
 * @param {number} seed
 * @returns {string[]}
 */
export function drawSample(ids, size, seed) {
  const rank = (/** @type {string} */ id) => createHash('sha256').update(`${seed}:${id}`).digest('hex');
  const ranked = ids.map((id) => ({ id, rank: rank(id) }));
  ranked.sort((one, other) => (one.rank < other.rank ? -1 : 1));
  return ranked.slice(0, size).map(({ id }) => id);
}

/**
 * Returns the 95 % confidence interval of the share of noticed mutants, from the counts of a sample.
 * @see Wilson, Probable inference, the law of succession, and statistical inference (1927)
 * @param {{ readonly noticed: number, readonly missed: number }} counts
 */
export function wilsonInterval({ noticed, missed }) {
  const n = noticed + missed;
  const zz = 1.959964 ** 2;
  const centre = (noticed + zz / 2) / (n + zz);
  const half = (Math.sqrt(zz) / (n + zz)) * Math.sqrt((noticed * missed) / n + zz / 4);
  return { low: centre - half, high: centre + half };
}

/**
 * @typedef {object} Mutant
 * @property {string} id
 * @property {string} status
 * @property {string} mutatorName
 * @property {string} [replacement]
 * @property {{ readonly start: { readonly line: number, readonly column: number } }} location
 */

/**
 * Draws the sample from the mutants of a report that count, and returns it with their number. Mutants that no
 * test reaches were not shown to the checker, but they are in the sample with the same probability.
 * @param {{ readonly files: Readonly<Record<string, { readonly mutants: readonly Mutant[] }>> }} report
 * @param {number} size
 * @param {number} seed
 */
export function sampleOf({ files }, size, seed) {
  const mutants = Object.entries(files)
    .flatMap(([file, report]) => report.mutants.map((mutant) => ({ ...mutant, file })))
    .filter(({ status }) => status !== 'Ignored');
  const ids = new Set(
    drawSample(
      mutants.map(({ id }) => id),
      size,
      seed,
    ),
  );
  const drawn = mutants.filter(({ id }) => ids.has(id));
  const untried = drawn.filter(({ status }) => status === NOT_DRAWN);
  if (untried.length > 0) throw new Error(`mutation: ${untried.length} of the sample have not been tried`);
  return { of: mutants.length, mutants: drawn };
}

/**
 * The status of a mutant that a checker refuses. Nothing else gives this status, because a run has no type
 * checker.
 */
const NOT_DRAWN = 'CompileError';

/** @returns {{ size: number, seed: number }} */
function readSettings() {
  const [size = 0, seed = 0] = (process.env['METAHUB_MUTATION_SAMPLE'] ?? '').split(':').map(Number);
  return { size, seed };
}

/**
 * Accepts the mutants of the sample. Stryker asks once how to group all mutants, then calls `check` for each
 * group.
 */
class SampleChecker {
  async init() {}

  /** All in one group, of which `check` draws. */
  async group(/** @type {readonly Mutant[]} */ mutants) {
    return [mutants.map(({ id }) => id)];
  }

  async check(/** @type {readonly Mutant[]} */ mutants) {
    const { size, seed } = readSettings();
    const ids = mutants.map(({ id }) => id);
    const drawn = new Set(drawSample(ids, size, seed));
    const refused = { status: 'compileError', reason: 'not drawn' };
    return Object.fromEntries(ids.map((id) => [id, drawn.has(id) ? { status: 'passed' } : refused]));
  }
}

export const strykerPlugins = [{ kind: 'Checker', name: 'sample', injectableClass: SampleChecker }];
