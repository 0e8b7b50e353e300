import { parse, TomlError } from 'smol-toml';
import { RuntimeConfigError } from './runtime.ts';

export type TomlTable = Readonly<Record<string, unknown>>;

/** @throws {RuntimeConfigError} with the line, when `text` is no TOML */
export function readToml(text: string, path: string): TomlTable {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    throw new RuntimeConfigError(path, `line ${error.line} is not TOML`, { cause: error });
  }
}

/** The table at a path of keys; an empty one when there is none. */
export function tableAt(table: TomlTable, ...keys: readonly string[]): TomlTable {
  let at: unknown = table;
  for (const key of keys) {
    if (typeof at !== 'object' || at === null) return {};
    at = (at as TomlTable)[key];
  }
  return typeof at === 'object' && at !== null && !Array.isArray(at) ? (at as TomlTable) : {};
}

/** A basic string as TOML writes it: JSON's escapes are a subset of TOML's. */
export function tomlString(text: string): string {
  return JSON.stringify(text);
}
