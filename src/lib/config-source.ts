import { ConfigError, type ConfigPath } from './config-error.ts';
import { check, type Problem, type Schema } from './schema.ts';

/** From 1, as editors count. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** A text that was parsed, and where each of its values stands. */
export interface ConfigSource {
  /** The path of the file, for messages. */
  readonly file: string;
  readonly content: unknown;
  /** Of the value at `path`, or of the nearest one around it; of its key where `isKey`. */
  readonly placeOf: (path: ConfigPath, isKey?: boolean) => Place | undefined;
}

/** What else there is to say of a problem; undefined: nothing. */
export type NextStep = string | ((problem: Problem) => string | undefined);

export interface ReadOptions {
  readonly nextStep?: NextStep;
  /** The way from the top of the file to what is read. */
  readonly path?: ConfigPath;
}

/** The problems of one file as the error that is thrown: the first, with all the others. */
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
  // In the order of the file; a key that is missing stands nowhere, and is often missing because another is misspelt.
  const isMissing = ({ code }: ConfigError) => (code === 'missing-key' ? 1 : 0);
  const [first, ...further] = errors.sort(
    (a, b) =>
      isMissing(a) - isMissing(b) || (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0),
  );
  return (first as ConfigError).with({ further });
}

/** Reads a file as `schema` says. @throws {ConfigError} with the place of everything that is wrong */
export function readSource<Output>(
  schema: Schema<Output>,
  source: ConfigSource,
  options: ReadOptions = {},
): Output {
  const { output, problems } = check(schema, source.content);
  if (problems !== undefined) throw configErrorOf(problems, source, options);
  return output;
}

/** A value that stands in no file, such as an option's; `path` names it. @throws {ConfigError} */
export function readValue<Output>(schema: Schema<Output>, value: unknown, path: ConfigPath = []): Output {
  const { output, problems } = check(schema, value);
  if (problems !== undefined) throw configErrorOf(problems, { placeOf: () => undefined }, { path });
  return output;
}
