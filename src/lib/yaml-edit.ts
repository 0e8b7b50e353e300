import { isDeepStrictEqual } from 'node:util';
import type { ToStringOptions } from 'yaml';
import { ConfigError } from './config-error.ts';
import { Document, isAlias, isMap, isScalar, type Pair, parseYamlDocument, visit } from './yaml-document.ts';

function aliasInUse(why: string, file: string, cause?: unknown): ConfigError {
  const nextStep = 'Write out what the alias stands for in the file, then repeat the change.';
  return new ConfigError('in-use', why, { file, nextStep, cause });
}

/** True when parts of the document have their content from other parts. */
function hasAliases(document: Document): boolean {
  let isFound = false;
  const found = () => {
    isFound = true;
    return visit.BREAK;
  };
  // The library reads a merge key, which only `%YAML 1.1` has, as a symbol.
  visit(document, {
    Alias: found,
    Scalar: (_, { value }) => (typeof value === 'symbol' ? found() : undefined),
  });
  return isFound;
}

/** @throws {ConfigError} when the edit has removed an anchor that an alias still needs */
function checkAliases(document: Document, file: string): void {
  visit(document, {
    Alias: (_key, alias) => {
      if (alias.resolve(document) !== undefined) return;
      throw aliasInUse(`the alias *${alias.source} still needs the part to change`, file);
    },
  });
}

/**
 * Edits a document with aliases or merge keys. The edit must change the same as in a document that has their
 * content written out, so that it neither overlooks what an alias stands for nor changes what another one does.
 */
function editWithAliases(
  { document, plain, file }: { document: Document; plain: Document; file: string },
  edit: (document: Document) => void,
  format: ToStringOptions,
): string {
  const connected = (cause?: unknown) =>
    aliasInUse('an alias or merge key connects the part to change with other parts', file, cause);
  edit(plain);
  try {
    edit(document);
  } catch (cause) {
    throw connected(cause);
  }
  checkAliases(document, file);
  const text = document.toString(format);
  if (!isDeepStrictEqual(parseYamlDocument(file, text).toContent(), plain.toJS())) throw connected();
  return text;
}

/**
 * Applies an edit to the text of a YAML file. Keeps comments and order. The edit may run twice, on documents with
 * the same content.
 * @throws {ConfigError} when the text is not YAML or exceeds the limits of bounded-yaml.ts; `in-use` when an alias
 * is in the way
 */
export function editYaml(
  file: string,
  source: string,
  edit: (document: Document) => void,
  format: ToStringOptions = {},
): string {
  const { document, toContent } = parseYamlDocument(file, source);
  if (hasAliases(document)) {
    const plain = new Document(toContent(), { aliasDuplicateObjects: false });
    return editWithAliases({ document, plain, file }, edit, format);
  }
  edit(document);
  return document.toString(format);
}

/** The name of a key as a reader of the file sees it: `7` and `"7"` are the same. */
function keyText({ key }: Pair): string | undefined {
  if (!isScalar(key)) return undefined;
  return key.value === null ? '' : String(key.value);
}

/** Sets a key of the document's map, however it is spelt. Of duplicates, the last one counts and stays. */
export function setKey(document: Document, name: string, value: unknown): void {
  const { contents } = document;
  const pair = isMap(contents) ? contents.items.findLast((one) => keyText(one) === name) : undefined;
  if (!isMap(contents) || pair === undefined) {
    document.set(name, document.createNode(value));
    return;
  }
  pair.value = document.createNode(value);
  contents.items = contents.items.filter((one) => one === pair || keyText(one) !== name);
}

/** Removes a key of the document's map, however it is spelt. Returns whether it existed. */
export function deleteKey(document: Document, name: string): boolean {
  const { contents } = document;
  if (!isMap(contents)) return false;
  const kept = contents.items.filter((one) => keyText(one) !== name);
  const isFound = kept.length < contents.items.length;
  contents.items = kept;
  return isFound;
}

/** The scalar at a key of a map, an alias resolved. Undefined when the item is no map or has no such scalar. */
export function scalarIn(document: Document, item: unknown, key: string): unknown {
  if (!isMap(item)) return undefined;
  const node = item.get(key, true);
  const found = isAlias(node) ? node.resolve(document) : node;
  return isScalar(found) ? found.value : undefined;
}
