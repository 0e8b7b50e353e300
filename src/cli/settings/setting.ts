import type { Command } from 'commander';
import { closestWord, repeated } from '../../lib/text.ts';

import { UserError } from '../user-error.ts';

/** Where a setting's value came from. */
export type Origin = 'flag' | 'environment' | 'file' | 'service' | 'default';

/**
 * One thing that can be set, by a flag, by a METAHUB_ variable or in the configuration file, read by one parser.
 * `parse` takes a string or a YAML value and throws an Error that says what is expected instead.
 */
export interface Setting<T> {
  /** Commander's spelling, `--listen <host:port>`; undefined: only in the file. */
  readonly flags?: string;
  /** A flag that may be given several times; its values reach `parse` as a list of strings. */
  readonly repeatable?: boolean;
  readonly help: string;
  readonly fallback: () => T;
  readonly parse: (value: unknown) => T;
  /** As it would be written, when that is not the value itself. */
  readonly format?: (value: never) => string;
}

export type SettingTable = Readonly<Record<string, Setting<unknown>>>;
export type SettingValues<Table extends SettingTable> = {
  readonly [Name in keyof Table]: Table[Name] extends Setting<infer T> ? T : never;
};

export interface ResolvedSettings<Table extends SettingTable> {
  readonly values: SettingValues<Table>;
  readonly origins: Readonly<Record<keyof Table, Origin>>;
}

/** What was set and where, before it is parsed; absent means not set there. */
export interface SettingSources {
  readonly flags: Readonly<Record<string, unknown>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly file: Readonly<Record<string, unknown>>;
  /** What the installed service is started with, in the place of defaults. */
  readonly service?: Readonly<Record<string, unknown>> | undefined;
  /** The file's name, for messages. */
  readonly filePath: string | undefined;
}

/** `cacheSize` is METAHUB_CACHE_SIZE in the environment. */
export function variableOf(name: string): string {
  return `METAHUB_${name.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

/** Adds the flags of a table to a command; values stay undefined when a flag is not given. */
export function addFlags(command: Command, table: SettingTable): void {
  for (const [name, { flags, help, repeatable }] of Object.entries(table)) {
    if (flags === undefined) continue;
    const text = `${help} (${variableOf(name)})`;
    if (repeatable) command.option(flags, text, repeated);
    else command.option(flags, text);
  }
}

interface Found {
  readonly origin: Origin;
  readonly value: unknown;
  readonly written: string;
}

function find(name: string, setting: Setting<unknown>, sources: SettingSources): Found | undefined {
  const flag = sources.flags[name];
  const long = /--[a-z-]+/.exec(setting.flags ?? '')?.[0] ?? name;
  if (flag !== undefined) return { origin: 'flag', value: flag, written: long };
  const variable = sources.environment[variableOf(name)];
  if (variable !== undefined && variable !== '') {
    const value = setting.repeatable ? variable.split(/[\s,]+/).filter((item) => item !== '') : variable;
    return { origin: 'environment', value, written: variableOf(name) };
  }
  const inFile = sources.file[name];
  if (inFile !== undefined && inFile !== null) {
    return { origin: 'file', value: inFile, written: `${name} in ${sources.filePath ?? 'the file'}` };
  }
  const ofService = sources.service?.[name];
  if (ofService !== undefined) return { origin: 'service', value: ofService, written: name };
  return undefined;
}

/**
 * Every setting by its strongest source: flag, environment, file, what the installed service is started with, default.
 * @throws {UserError} status 2 for a value that cannot be read or a key of the file that no setting has.
 */
export function resolveSettings<Table extends SettingTable>(
  table: Table,
  sources: SettingSources,
): ResolvedSettings<Table> {
  const unknown = Object.keys(sources.file).find((key) => !Object.hasOwn(table, key));
  if (unknown !== undefined) {
    const meant = closestWord(unknown, Object.keys(table));
    const suggestion = meant === undefined ? '' : `; did you mean ${meant}?`;
    throw new UserError(`${sources.filePath}: there is no setting “${unknown}”${suggestion}`, {
      nextStep: `Known are: ${Object.keys(table).join(', ')}.`,
      exitStatus: 2,
    });
  }
  const values: Record<string, unknown> = {};
  const origins: Record<string, Origin> = {};
  for (const [name, setting] of Object.entries(table)) {
    const found = find(name, setting, sources);
    origins[name] = found?.origin ?? 'default';
    values[name] = found ? parseFound(setting, found) : setting.fallback();
  }
  return Object.freeze({ values, origins }) as ResolvedSettings<Table>;
}

function parseFound(setting: Setting<unknown>, { value, written }: Found): unknown {
  try {
    return setting.parse(value);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new UserError(`${written}: ${why}`, {
      cause,
      nextStep: setting.flags === undefined ? `It is ${setting.help}.` : `${setting.flags}: ${setting.help}`,
      exitStatus: 2,
    });
  }
}
