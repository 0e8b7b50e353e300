import * as v from 'valibot';
import { readSource } from '../../../lib/config-source.ts';
import { choice, fields, mapOf, oneOrMore, shown } from '../../../lib/schema.ts';
import { readYaml } from '../../settings/yaml.ts';

/** YAML reads an unquoted `1` or `true` as a number or a boolean. */
const Scalar = v.pipe(v.union([v.string(), v.number(), v.boolean()]), v.transform(String));

const Values = oneOrMore(Scalar);

const Variable = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z_][A-Za-z0-9_]*$/, ({ input }) => `${shown(input)} is not the name of a variable`),
);

/** A whole number of at least 1. */
const Count = v.pipe(
  v.number(),
  v.integer('a whole number is expected'),
  v.minValue(1, 'a number from 1 on is expected'),
);

/** `bench.yml`: the permutations of an application, and how to read its result. */
export const BenchFile = fields({
  /** Each variable with one or several values. All combinations are run. */
  environment: v.optional(
    v.pipe(
      mapOf(Variable, Values),
      v.transform((variables) => Object.fromEntries(variables)),
    ),
  ),
  /** Lists of arguments. Each list is run. */
  arguments: v.optional(
    v.pipe(
      v.array(v.array(Scalar)),
      v.nonEmpty('a list of lists of arguments is expected, not an empty one'),
    ),
  ),
  /** Positions of entries as `metahub explain` numbers them, or `all`, or `best`. */
  entries: v.optional(v.union([choice('all', 'best'), v.array(Count)])),
  metric: v.optional(v.string()),
  better: v.optional(choice('lower', 'higher')),
  rounds: v.optional(v.pipe(Count, v.maxValue(1000, 'a number up to 1000 is expected'))),
});

export type BenchFileContent = v.InferOutput<typeof BenchFile>;

/** @throws {ConfigError} when the file is unreadable, or its content is invalid */
export async function readBenchFile(path: string): Promise<BenchFileContent> {
  return readSource(BenchFile, await readYaml(path), {
    nextStep: 'metahub bench --help shows an example.',
  });
}
