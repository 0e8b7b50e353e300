import { ConfigError, type ConfigPath } from './config-error.ts';
import { check, type Problem, type Schema } from './schema.ts';

/** From 1, as editors count. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** A parsed text, and the position of each of its values. */
export interface ConfigSource {
  /** The path of the file, for messages. */
  readonly file: string;
  readonly content: unknown;
  /**
   * The position of the value at `path` or, if it has none, of the nearest value around it; of its key where `isKey`.
   */
  readonly placeOf: (path: ConfigPath, isKey?: boolean) => Place | undefined;
}

/** A next step for a problem; undefined: none. */
export type NextStep = string | ((problem: Problem) => string | undefined);

export interface ReadOptions {
  readonly nextStep?: NextStep;
  /** The path from the top of the file to the value that is read. */
  readonly path?: ConfigPath;
}

/** The problems of one file as one error: the first, with all others attached. */
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
  // In file order; a missing key has no position, and is often missing because another key is misspelt.
  const isMissing = ({ code }: ConfigError) => (code === 'missing-key' ? 1 : 0);
  const [first, ...further] = errors.sort(
    (a, b) =>
      isMissing(a) - isMissing(b) || (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0),
  );
  return (first as ConfigError).with({ further });
}

/** Reads a file by `schema`. @throws {ConfigError} with the place of everything that is wrong */
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
