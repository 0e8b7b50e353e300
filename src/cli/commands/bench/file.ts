import { readFile } from 'node:fs/promises';
import * as v from 'valibot';
import { parse } from 'yaml';
import { UserError } from '../../user-error.ts';

const Scalar = v.pipe(
  v.union([v.string(), v.number(), v.boolean()]),
  v.transform((value) => String(value)),
);
const Values = v.union([
  v.pipe(
    Scalar,
    v.transform((value): readonly string[] => [value]),
  ),
  v.pipe(v.array(Scalar), v.minLength(1)),
]);

/** `bench.yml`: the permutations of an application, and how its result is read. */
export const BenchFile = v.strictObject({
  /** Each variable with one value or several; all combinations are run. */
  environment: v.optional(
    v.record(v.pipe(v.string(), v.regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'no name of a variable')), Values),
    {},
  ),
  /** Lists of arguments; each is run. */
  arguments: v.optional(v.pipe(v.array(v.array(Scalar)), v.minLength(1)), [[]]),
  /** Positions of entries as `metahub explain` numbers them, or `all`, or `best`. */
  entries: v.optional(
    v.union([v.picklist(['all', 'best']), v.array(v.pipe(v.number(), v.integer(), v.minValue(1)))]),
  ),
  metric: v.optional(v.string()),
  better: v.optional(v.picklist(['lower', 'higher'])),
  rounds: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1000))),
});

export type BenchFileContent = v.InferOutput<typeof BenchFile>;

/** @throws {UserError} status 1: it cannot be read; status 2: it does not hold what it must */
export async function readBenchFile(path: string): Promise<BenchFileContent> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new UserError(`cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
  let document: unknown;
  try {
    document = parse(text);
  } catch (cause) {
    throw new UserError(`${path}: ${(cause as Error).message}`, { cause, exitStatus: 2 });
  }
  const { success, output, issues } = v.safeParse(BenchFile, document);
  if (success) return output;
  const [issue] = issues;
  throw new UserError(`${path}: ${v.getDotPath(issue) ?? 'the file'}: ${issue.message}`, {
    nextStep: 'metahub bench --help shows an example.',
    exitStatus: 2,
  });
}
