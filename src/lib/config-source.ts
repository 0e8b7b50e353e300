import { ConfigError, type ConfigPath } from './config-error.ts';
import { check, type Problem, type Schema } from './schema.ts';

/** A position in a file. Line and column count from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** A parsed text, with the positions of its values. */
export interface ConfigSource {
  /** The path of the file, for messages. */
  readonly file: string;
  readonly content: unknown;
  /**
   * The position of the value at `path`, or with `isKey` of its key. For a missing value, the position of the
   * nearest value around it.
   */
  readonly placeOf: (path: ConfigPath, isKey?: boolean) => Place | undefined;
}

/** The next step for a problem. */
export type NextStep = string | ((problem: Problem) => string | undefined);

export interface ReadOptions {
  readonly nextStep?: NextStep;
  /** The path from the root of the file to the value that is read. */
  readonly path?: ConfigPath;
}

/** Turns the problems of one file into one error: the first problem, with all others attached. */
export function configErrorOf(
  problems: readonly [Problem, ...Problem[]],
  source: Pick<ConfigSource, 'placeOf'> & { readonly file?: string | undefined },
  { nextStep, path: before = [] }: ReadOptions = {},
): ConfigError {
  const errors = problems.map(({ code, why, isKey, ...problem }) => {
    const path = [...before, ...problem.path];
    const own = typeof nextStep === 'function' ? nextStep({ code, why, isKey, ...problem }) : nextStep;
    const { line, column } = source.placeOf(path, isKey) ?? {};
    const details = { file: source.file, line, column, path, nextStep: problem.nextStep ?? own };
    return new ConfigError(code, why, details);
  });
  // In the order of the file. Missing keys come last: they have no position, and often another key is misspelt.
  const isMissing = ({ code }: ConfigError) => (code === 'missing-key' ? 1 : 0);
  const [first, ...further] = errors.sort(
    (a, b) =>
      isMissing(a) - isMissing(b) || (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0),
  );
  return (first as ConfigError).with({ further });
}

/** Reads a file with a schema. @throws {ConfigError} with the position of each problem */
export function readSource<Output>(
  schema: Schema<Output>,
  source: ConfigSource,
  options: ReadOptions = {},
): Output {
  const { output, problems } = check(schema, source.content);
  if (problems !== undefined) throw configErrorOf(problems, source, options);
  return output;
}

/** Reads a value that comes from no file, such as an option; `path` names it. @throws {ConfigError} */
export function readValue<Output>(schema: Schema<Output>, value: unknown, path: ConfigPath = []): Output {
  const { output, problems } = check(schema, value);
  if (problems !== undefined) throw configErrorOf(problems, { placeOf: () => undefined }, { path });
  return output;
}
