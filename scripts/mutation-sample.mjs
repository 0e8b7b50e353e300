// A room's score by a random sample of its mutants: which are drawn, and how near their share is to that of all. To Stryker this is
// a checker, which sorts the mutants out that are not drawn; only there are all those known that a test reaches.
import { createHash } from 'node:crypto';

/**
 * These many of the mutants with these ids, each as likely as any other; the same seed draws the same ones.
 * Those drawn of a part include whatever of it is drawn of the whole.
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
 * Between which shares that of all mutants lies, with a probability of 95 %, when this is that of a sample.
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
 * The mutants drawn, of those of a report that count, and how many those are. The checker has seen no mutant that no test reaches:
 * of these as many are among the drawn as their share is.
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

/** The status of a mutant that a checker refuses. No other one is here: TypeScript's compiler is no part of a run. */
const NOT_DRAWN = 'CompileError';

/** @returns {{ size: number, seed: number }} */
function readSettings() {
  const [size = 0, seed = 0] = (process.env['METAHUB_MUTATION_SAMPLE'] ?? '').split(':').map(Number);
  return { size, seed };
}

/** Passes the mutants drawn. It keeps nothing between the calls: Stryker may make them in different processes. */
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
