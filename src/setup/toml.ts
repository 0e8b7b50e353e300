import { parse, TomlError } from 'smol-toml';
import { objectOf } from '../lib/json.ts';
import { RuntimeConfigError } from './runtime.ts';

export type TomlTable = Readonly<Record<string, unknown>>;

/** @throws {RuntimeConfigError} with the line, when `text` is not TOML */
export function readToml(text: string, path: string): TomlTable {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    throw new RuntimeConfigError(path, `line ${error.line} is not TOML`, { cause: error });
  }
}

/** Returns the table at a path of keys; empty when there is none. */
export function tableAt(table: TomlTable, ...keys: readonly string[]): TomlTable {
  let at: unknown = table;
  for (const key of keys) {
    if (typeof at !== 'object' || at === null) return {};
    at = (at as TomlTable)[key];
  }
  return objectOf(at) as TomlTable;
}

/** Formats a basic string of TOML. JSON's escapes are a subset of TOML's. */
export function tomlString(text: string): string {
  return JSON.stringify(text);
}

/** The lines around MetaHub's additions to an existing file. */
const BEGIN = '# metahub: begin (metahub setup --remove takes this out)';
const END = '# metahub: end';
const BLOCK = /^[ \t]*# metahub: begin\b[^\n]*\n[\s\S]*?^[ \t]*# metahub: end[ \t]*(?:\n|$)/gm;
const REPLACED = /^[^\n]*# metahub: replaces ([^\n]*)$/gm;

/** Formats lines between the marks, so that {@link withoutMarks} finds them. */
export function markedBlock(lines: readonly string[]): string {
  return [BEGIN, ...lines, END, ''].join('\n');
}

/** Formats a line that replaces another one, with that line in a comment. */
export function replacingLine(line: string, original: string): string {
  return `${line} # metahub: replaces ${original.trim()}`;
}

/** Removes marked blocks and restores replaced lines. Returns a text without them unchanged. */
export function withoutMarks(text: string): string {
  return text.replaceAll(BLOCK, '').replaceAll(REPLACED, '$1');
}
