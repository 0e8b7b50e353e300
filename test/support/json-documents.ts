import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import type { Command } from 'commander';
import { documentSchemaText, jsonSchemaOf } from '../../scripts/schemas.ts';
import { JSON_DOCUMENTS, type JsonDocument, type JsonDocumentName } from '../../src/cli/json-documents.ts';
import { JsonOption } from '../../src/cli/json-option.ts';
import { completeProgram } from '../../src/cli/main.ts';

const ajv = new Ajv2020({
  strict: true,
  strictTuples: false,
  allowUnionTypes: true,
  formats: { 'date-time': true, uri: true },
});

/** Refuses members that the schema does not name, so that none stays undescribed. Readers ignore them. */
function closed(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(closed);
  if (typeof node !== 'object' || node === null) return node;
  const inner = Object.fromEntries(Object.entries(node).map(([name, value]) => [name, closed(value)]));
  const isOpen = inner['type'] === 'object' && 'properties' in inner && !('additionalProperties' in inner);
  return isOpen ? { ...inner, additionalProperties: false } : inner;
}

const validators = new Map<JsonDocumentName, ValidateFunction>();

function validatorOf(name: JsonDocumentName): ValidateFunction {
  const known = validators.get(name);
  if (known !== undefined) return known;
  const { $schema: _, ...schema } =
    name === 'profile' ? jsonSchemaOf(name) : JSON.parse(documentSchemaText(name));
  const validate = ajv.compile(closed(schema) as object);
  validators.set(name, validate);
  return validate;
}

/**
 * Parses what a command printed with `--json`.
 * @throws {Error} when the schema does not describe it, each of its members included
 */
export function parseDocument<Name extends JsonDocumentName>(name: Name, text: string): JsonDocument<Name> {
  check(name, JSON.parse(text));
  return JSON.parse(text);
}

function check(name: JsonDocumentName, document: unknown): void {
  const validate = validatorOf(name);
  if (validate(document)) return;
  throw new Error(`schema/${name}.schema.json does not describe it: ${ajv.errorsText(validate.errors)}`);
}

/** A command with `--json`, by its words: `cache ls`. */
export interface CommandWithJson {
  readonly path: readonly string[];
  readonly command: Command;
}

function* commandsWithJson(command: Command, path: readonly string[]): Generator<CommandWithJson> {
  if (command.options.some(({ long }) => long === '--json')) yield { path, command };
  for (const sub of command.commands) yield* commandsWithJson(sub, [...path, sub.name()]);
}

/** Every command with `--json`. */
export async function allCommandsWithJson(): Promise<readonly CommandWithJson[]> {
  return [...commandsWithJson(await completeProgram(), [])];
}

export function jsonOptionOf({ options }: Command): JsonOption | undefined {
  return options.find((option) => option instanceof JsonOption);
}

/** Names of options, and `[ARGUMENT]` for arguments, in these words. */
function formsIn(words: readonly string[], command: Command): ReadonlySet<string> {
  const given = new Set<string>();
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? '';
    const [flag = ''] = word.split('=');
    const option = command.options.find(({ long, short }) => long === flag || short === flag);
    if (option === undefined) given.add(`[${command.registeredArguments[0]?.name()}]`);
    else {
      given.add(option.long ?? '');
      if ((option.required || option.optional) && !word.includes('=')) at += 1;
    }
  }
  return given;
}

/**
 * Validates what `metahub` printed for these words, if they request JSON.
 * @throws {Error} when the schema that the command names does not describe it
 */
export async function checkPrinted(words: readonly string[], stdout: string): Promise<void> {
  if (!words.includes('--json') || stdout.trim() === '') return;
  const named = (await allCommandsWithJson())
    .filter(({ path, command }) =>
      path.every((word, at) => [word, ...command.aliases()].includes(words[at] ?? '')),
    )
    .at(-1);
  const option = named && jsonOptionOf(named.command);
  if (named === undefined || option === undefined) throw new Error(`${words.join(' ')} names no schema`);
  const given = formsIn(words.slice(named.path.length), named.command);
  const other = Object.entries(option.others).find(([form]) => given.has(form))?.[1];
  check(other ?? option.schema, JSON.parse(stdout));
}

export const DOCUMENT_NAMES: readonly string[] = Object.keys(JSON_DOCUMENTS);
