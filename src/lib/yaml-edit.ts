import { ConfigError } from './config-error.ts';
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  type Pair,
  parseYamlDocument,
  visit,
} from './yaml-document.ts';

/** @throws {ConfigError} when the text is not YAML, or exceeds the limits of bounded-yaml.ts */
export function parseForEdit(source: string, file: string): Document {
  return parseYamlDocument(file, source).document;
}

/**
 * Formats an edited document.
 * @throws {ConfigError} when the edit removed an anchor that an alias still needs
 */
export function formatEdited(document: Document, file: string): string {
  visit(document, {
    Alias: (_key, alias) => {
      if (alias.resolve(document) !== undefined) return;
      throw aliasInUse(`the alias *${alias.source} still needs the part to change`, file);
    },
  });
  return String(document);
}

/** The error for a change that would remove what another part of the file uses by a YAML alias. */
export function aliasInUse(why: string, file: string): ConfigError {
  const nextStep = 'Write out what the alias stands for in the file, then repeat the change.';
  return new ConfigError('in-use', why, { file, nextStep });
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
