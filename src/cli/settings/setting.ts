import type { Command } from 'commander';
import * as v from 'valibot';
import { ConfigError } from '../../lib/config-error.ts';
import { type ConfigSource, configErrorOf } from '../../lib/config-source.ts';
import { check, fields, type Problem, type Schema } from '../../lib/schema.ts';
import { repeated } from '../../lib/text.ts';

/** The source of a setting's value. */
export type Origin = 'flag' | 'environment' | 'file' | 'service' | 'default';

/**
 * One setting, from a flag, a METAHUB_ variable or the configuration file. One schema parses all of them: the
 * text of a flag or a variable, and a value of YAML.
 */
export interface Setting<T> {
  /** In commander's spelling, `--listen <host:port>`; undefined: the setting has no flag. */
  readonly flags?: string;
  /** True for a flag that can be repeated. The schema gets its values as a list of strings. */
  readonly repeatable?: boolean;
  readonly help: string;
  readonly fallback: () => T;
  readonly schema: Schema<T>;
  /** Converts the value into the form of the configuration file, when the two differ. */
  readonly format?: (value: never) => unknown;
}

export type SettingTable = Readonly<Record<string, Setting<unknown>>>;
export type SettingValues<Table extends SettingTable> = {
  readonly [Name in keyof Table]: Table[Name] extends Setting<infer T> ? T : never;
};

export interface ResolvedSettings<Table extends SettingTable> {
  readonly values: SettingValues<Table>;
  readonly origins: Readonly<Record<keyof Table, Origin>>;
}

/** The unparsed values by source. An absent value is not set there. */
export interface SettingSources {
  readonly flags: Readonly<Record<string, unknown>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly file: Readonly<Record<string, unknown>>;
  /** The flags of the installed service, which replace the defaults. */
  readonly service?: Readonly<Record<string, unknown>> | undefined;
  /** The name of the file, for messages. */
  readonly filePath: string | undefined;
  /** Names of settings of other commands, which share the file. */
  readonly foreign?: readonly string[] | undefined;
  /** Returns the position of a value in the file. */
  readonly placeOf?: ConfigSource['placeOf'] | undefined;
}

/** `cacheSize` -> METAHUB_CACHE_SIZE. */
export function variableOf(name: string): string {
  return `METAHUB_${name.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

/** Adds the flags of a table to a command. A value stays undefined when its flag is not given. */
export function addFlags(command: Command, table: SettingTable): void {
  for (const [name, { flags, help, repeatable }] of Object.entries(table)) {
    if (flags === undefined) continue;
    const text = `${help} (${variableOf(name)})`;
    if (repeatable) command.option(flags, text, repeated);
    else command.option(flags, text);
  }
}

/** A value from outside the file, and its name for messages. */
interface Given {
  readonly origin: 'flag' | 'environment' | 'service';
  readonly value: unknown;
  readonly written: string;
}

function find(name: string, setting: Setting<unknown>, sources: SettingSources): Given | undefined {
  const flag = sources.flags[name];
  const long = /--[a-z-]+/.exec(setting.flags ?? '')?.[0] ?? name;
  if (flag !== undefined) return { origin: 'flag', value: flag, written: long };
  const variable = sources.environment[variableOf(name)];
  if (variable !== undefined && variable !== '') {
    const value = setting.repeatable ? variable.split(/[\s,]+/).filter((item) => item !== '') : variable;
    return { origin: 'environment', value, written: variableOf(name) };
  }
  const ofService = isInFile(name, sources) ? undefined : sources.service?.[name];
  return ofService === undefined ? undefined : { origin: 'service', value: ofService, written: name };
}

function isInFile(name: string, { file }: SettingSources): boolean {
  return file[name] !== undefined && file[name] !== null;
}

/** Describes valid values of a setting, for the next step of an error. */
function nextStepOf(setting: Setting<unknown> | undefined): string | undefined {
  if (setting === undefined) return undefined;
  return setting.flags === undefined ? `It is ${setting.help}.` : `${setting.flags}: ${setting.help}`;
}

/** Returns the schema of a file with these settings. Those in `unread` may have any value. */
export function settingsFile(table: SettingTable, unread: readonly string[] = []) {
  const read = Object.entries(table).map(([name, { schema }]) => [name, v.nullish(schema)] as const);
  return fields(
    Object.fromEntries([...read, ...unread.map((name) => [name, v.optional(v.unknown())] as const)]),
  );
}

/** Reads the values of the file that no stronger source overrides. Overridden values are not checked. */
function readFile(
  table: SettingTable,
  given: Iterable<string>,
  sources: SettingSources,
): { readonly values: Readonly<Record<string, unknown>>; readonly problems: readonly Problem[] } {
  const { file, foreign = [] } = sources;
  // Most mirrors start without a file, and building its schema would take a noticeable part of the start.
  if (Object.keys(file).length === 0) return { values: {}, problems: [] };
  const { output = {}, problems = [] } = check(settingsFile(table, [...foreign, ...given]), file);
  return { values: output, problems };
}

function errorOf([first, ...rest]: readonly Problem[], table: SettingTable, sources: SettingSources) {
  if (first === undefined) return undefined;
  const { filePath = 'the file', placeOf } = sources;
  const source = { file: filePath, placeOf: placeOf ?? (() => undefined) };
  return configErrorOf([first, ...rest], source, {
    nextStep: ({ path: [name, ...inside] }) =>
      inside.length === 0 ? nextStepOf(table[String(name)]) : undefined,
  });
}

/**
 * Takes each setting from its strongest source: flag, environment, file, the flags of the installed service,
 * default.
 * @throws {ConfigError} for invalid values, and for unknown keys of the file
 */
export function resolveSettings<Table extends SettingTable>(
  table: Table,
  sources: SettingSources,
): ResolvedSettings<Table> {
  const errors: ConfigError[] = [];
  const read = new Map<string, { readonly value: unknown; readonly origin: Origin }>();
  for (const [name, setting] of Object.entries(table)) {
    const given = find(name, setting, sources);
    if (given === undefined) continue;
    const { output, problems } = check(setting.schema, given.value);
    read.set(name, { value: output, origin: given.origin });
    const [problem] = problems ?? [];
    if (problem === undefined) continue;
    const { code, why } = problem;
    errors.push(new ConfigError(code, why, { path: [given.written], nextStep: nextStepOf(setting) }));
  }
  const file = readFile(table, read.keys(), sources);
  const fileError = errorOf(file.problems, table, sources);
  const [first, ...further] = [...errors, ...(fileError ? [fileError, ...fileError.further] : [])];
  if (first !== undefined) throw first.with({ further });
  const values: Record<string, unknown> = {};
  const origins: Record<string, Origin> = {};
  for (const [name, setting] of Object.entries(table)) {
    const ofFile = { value: file.values[name], origin: 'file' as const };
    const found = read.get(name) ?? (isInFile(name, sources) ? ofFile : undefined);
    origins[name] = found?.origin ?? 'default';
    values[name] = found ? found.value : setting.fallback();
  }
  return Object.freeze({ values, origins }) as ResolvedSettings<Table>;
}
