import * as v from 'valibot';
import type { ConfigErrorCode, ConfigPath } from './config-error.ts';
import { closestWord } from './text.ts';

/** Schemas for configuration files: what valibot lacks, and messages for people. */

/** A schema that reads a value from YAML, JSON or the command line as `Output`. */
export type Schema<Output> = v.GenericSchema<unknown, Output>;

/** What is wrong with a value. */
export interface Problem {
  readonly code: ConfigErrorCode;
  readonly path: ConfigPath;
  /** True when the key at the end of `path` is wrong, not its value. */
  readonly isKey: boolean;
  readonly why: string;
  readonly nextStep?: string;
}

export type Checked<Output> =
  | { readonly output: Output; readonly problems?: undefined }
  | { readonly output?: undefined; readonly problems: readonly [Problem, ...Problem[]] };

/** A map with these keys; others are dropped. Unlike valibot's `object`, it refuses a list. */
export function looseFields<const Entries extends v.ObjectEntries>(
  entries: Entries,
): v.ObjectSchema<Entries, undefined> {
  const schema = v.object(entries);
  return {
    ...schema,
    '~run'(dataset, config) {
      const isList = Array.isArray(dataset.value);
      return isList ? refused(schema, dataset.value, config) : schema['~run'](dataset, config);
    },
  };
}

/** A map with only these keys. Any other is an error, with the known keys as the issue's `requirement`. */
export function fields<const Entries extends v.ObjectEntries>(
  entries: Entries,
): v.StrictObjectSchema<Entries, undefined> {
  const known = looseFields(entries);
  const schema = v.strictObject(entries);
  const context = { ...schema, requirement: Object.keys(entries) };
  return {
    ...schema,
    '~run'(dataset, config) {
      const input = dataset.value;
      const result = known['~run'](dataset, config);
      if (typeof input !== 'object' || input === null || Array.isArray(input)) return result as never;
      const unknown = Object.entries(input).filter(([name]) => !Object.hasOwn(entries, name));
      if (unknown.length === 0) return result as never;
      const refusal = { typed: false, value: result.value } as v.OutputDataset<unknown, v.BaseIssue<unknown>>;
      for (const [key, value] of unknown) {
        const path = [{ type: 'object', origin: 'key', input: input as Record<string, unknown>, key, value }];
        v._addIssue(context, 'key', refusal, config, { input: key, expected: 'never', path } as never);
      }
      // A misspelt key is reported before the missing key that it may stand for.
      return { ...refusal, issues: [...(refusal.issues ?? []), ...(result.issues ?? [])] } as never;
    },
  };
}

/** A map with any keys. Unlike valibot's `record`, it refuses a list and drops no key. */
export function mapOf<Key extends v.GenericSchema<string, string>, Value extends v.GenericSchema>(
  key: Key,
  value: Value,
): v.GenericSchema<
  Readonly<Record<string, v.InferInput<Value>>>,
  ReadonlyMap<v.InferOutput<Key>, v.InferOutput<Value>>
> {
  const schema = v.record(key, value);
  return {
    ...schema,
    '~run'(dataset: v.UnknownDataset, config: v.Config<v.BaseIssue<unknown>>) {
      const input = dataset.value;
      if (typeof input !== 'object' || input === null || Array.isArray(input))
        return refused(schema, input, config);
      const read = new Map<unknown, unknown>();
      const issues: v.BaseIssue<unknown>[] = [];
      for (const [name, item] of Object.entries(input)) {
        const keyRead = key['~run']({ value: name }, config);
        const valueRead = value['~run']({ value: item }, config);
        for (const [origin, found] of [
          ['key', keyRead],
          ['value', valueRead],
        ] as const) {
          const step = { type: 'object', origin, input, key: name, value: item } as v.ObjectPathItem;
          for (const issue of found.issues ?? [])
            issues.push({ ...issue, path: [step, ...(issue.path ?? [])] });
        }
        read.set(keyRead.value, valueRead.value);
      }
      return issues.length > 0 ? { typed: false, value: read, issues } : { typed: true, value: read };
    },
  } as never;
}

function refused(
  context: v.BaseSchema<unknown, unknown, v.BaseIssue<unknown>>,
  value: unknown,
  config: v.Config<v.BaseIssue<unknown>>,
) {
  const dataset = { typed: false, value } as v.OutputDataset<unknown, v.BaseIssue<unknown>>;
  v._addIssue(context, 'type', dataset, config);
  return dataset as never;
}

/** A non-empty text. */
export const Text = v.pipe(v.string(), v.nonEmpty('a text is expected, not an empty one'));

/** One value or a list of values, read as a list. */
export function oneOrMore<Item extends v.GenericSchema>(item: Item) {
  const one = v.pipe(
    item,
    v.transform((read): readonly v.InferOutput<Item>[] => [read]),
  );
  return v.union([one, v.array(item)]) as v.GenericSchema<
    v.InferInput<Item> | v.InferInput<Item>[],
    readonly v.InferOutput<Item>[]
  >;
}

/** One of these words. The error for a misspelt word suggests one. */
export function choice<const Words extends readonly string[]>(...words: Words) {
  return v.picklist(words, ({ input }) => {
    const written = shown(input);
    const meant = typeof input === 'string' ? closestWord(input, words) : undefined;
    return `${written} is not one of ${words.join(', ')}${meant === undefined ? '' : `; did you mean ${meant}?`}`;
  });
}

/** Reads a value with `read`. When that returns undefined, `refuse` gives the error's text. */
export function reading<Input, Output>(
  read: (value: Input) => Output | undefined,
  refuse: (value: Input) => string,
): v.RawTransformAction<Input, Output> {
  return v.rawTransform(({ dataset, addIssue, NEVER }) => {
    const output = read(dataset.value);
    if (output !== undefined) return output;
    addIssue({ message: refuse(dataset.value) });
    return NEVER;
  });
}

/** A check that returns the error's text, or undefined when the value is valid. */
export function checking<Input>(problemWith: (value: Input) => string | undefined): v.RawCheckAction<Input> {
  return v.rawCheck(({ dataset, addIssue }) => {
    const isRead = dataset.typed && dataset.issues === undefined;
    const message = isRead ? problemWith(dataset.value) : undefined;
    if (message !== undefined) addIssue({ message });
  });
}

/** Reports that the part of a value at `path` is wrong. */
export type Refuse = (why: string, ...path: ConfigPath) => void;

/** Combines the parts of a value. Not called when a part was refused. */
export function combining<Input, Output>(
  combine: (value: Input, refuse: Refuse) => Output,
): v.RawTransformAction<Input, Output> {
  return v.rawTransform(({ dataset, addIssue, NEVER }) => {
    let isRefused = false;
    const output = combine(dataset.value, (message, ...keys) => {
      isRefused = true;
      const [first, ...rest] = keys.map(
        (key): v.UnknownPathItem => ({
          type: 'unknown',
          origin: 'value',
          input: undefined,
          key,
          value: undefined,
        }),
      );
      addIssue(first === undefined ? { message } : { message, path: [first, ...rest] });
    });
    return isRefused ? NEVER : output;
  });
}

const SHOWN_MAX = 100;

/** A value as messages show it: quoted and truncated. */
export function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? 'nothing');
  return `“${text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text}”`;
}

const MAP = 'a map of keys and values';
/** What a message says is expected, by the type of the schema. */
const EXPECTED: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  boolean: 'true or false',
  null: 'nothing',
  array: 'a list',
  object: MAP,
  strict_object: MAP,
  record: MAP,
};

/** The type of a value. Messages do not show the value: in the wrong place it may be a secret. */
function typeOf(value: unknown): string {
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'string') return 'a text';
  if (typeof value === 'object') return 'a map';
  return typeof value === 'boolean' ? String(value) : 'a number';
}

function isUnknownKey(issue: v.BaseIssue<unknown>): boolean {
  return issue.type === 'strict_object' && issue.expected === 'never';
}

function expectedBy(issue: v.BaseIssue<unknown>): readonly string[] {
  if (issue.type !== 'union') return [EXPECTED[issue.type] ?? String(issue.expected)];
  return [...new Set((issue.issues ?? []).flatMap(expectedBy))];
}

/** The messages for issues that have none of their own. */
function defaultMessage(issue: v.BaseIssue<unknown>): string {
  if (isUnknownKey(issue)) {
    const meant = closestWord(String(issue.input), issue.requirement as readonly string[]);
    return `this key does not exist${meant === undefined ? '' : `; did you mean ${meant}?`}`;
  }
  if (issue.input === undefined) return 'this key is missing';
  return `${expectedBy(issue).join(' or ')} is expected, not ${typeOf(issue.input)}`;
}

/** True when the value has the right type but is invalid. */
function isJudged({ kind, type }: v.BaseIssue<unknown>): boolean {
  return kind !== 'schema' || type === 'picklist';
}

/** The issues to report for a value that matches no member of a union: those of the member that matched furthest. */
function meantBy(issue: v.BaseIssue<unknown>): readonly v.BaseIssue<unknown>[] {
  if (issue.type !== 'union' || issue.issues === undefined) return [issue];
  const found = issue.issues.flatMap(meantBy);
  const inside = found.filter(({ path }) => path !== undefined);
  const meant = inside.length > 0 ? inside : found.filter(isJudged).slice(0, 1);
  if (meant.length === 0) return [issue];
  const before = issue.path ?? [];
  return meant.map((one) => {
    const path = [...before, ...(one.path ?? [])];
    return (path.length === 0 ? one : { ...one, path }) as v.BaseIssue<unknown>;
  });
}

function codeOf(issue: v.BaseIssue<unknown>): ConfigErrorCode {
  if (isUnknownKey(issue)) return 'unknown-key';
  if (isJudged(issue)) return 'invalid-value';
  return issue.input === undefined ? 'missing-key' : 'wrong-type';
}

function nextStepOf(issue: v.BaseIssue<unknown>): string | undefined {
  if (isUnknownKey(issue)) return `Known are: ${(issue.requirement as readonly string[]).join(', ')}.`;
  const isUnquoted = issue.type === 'string' && ['number', 'boolean'].includes(typeof issue.input);
  return isUnquoted ? 'Put it in quotes.' : undefined;
}

function problemOf(issue: v.BaseIssue<unknown>): Problem {
  const path = (issue.path ?? []).map(({ key }) => (typeof key === 'number' ? key : String(key)));
  const isKey = issue.path?.at(-1)?.origin === 'key' && issue.input !== undefined;
  const nextStep = nextStepOf(issue);
  return {
    code: codeOf(issue),
    path,
    isKey,
    why: issue.message,
    ...(nextStep === undefined ? {} : { nextStep }),
  };
}

/** Reads `value` with a schema. Reports all problems, in the schema's order. */
export function check<Output>(schema: Schema<Output>, value: unknown): Checked<Output> {
  const read = v.safeParse(schema, value, { message: defaultMessage });
  if (read.success) return { output: read.output };
  const [first, ...rest] = read.issues.flatMap(meantBy).map(problemOf);
  return { problems: [first as Problem, ...rest] };
}
