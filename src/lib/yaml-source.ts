import type { ConfigPath } from './config-error.ts';
import type { ConfigSource } from './config-source.ts';
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  parseYamlDocument,
} from './yaml-document.ts';

/** The offset of the value at `path`, or of its key. For a missing value, the offset of what surrounds it. */
function offsetOf(document: Document, path: ConfigPath, isKey: boolean): number {
  let node: unknown = document.contents;
  let offset = isNode(node) ? (node.range?.[0] ?? 0) : 0;
  for (const [depth, step] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document);
    const isLast = depth === path.length - 1;
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(step));
      if (pair === undefined) break;
      // An empty value has no position of its own, but its key has.
      const isEmpty = isScalar(pair.value) && pair.value.value === null;
      const at = (isLast && isKey) || isEmpty ? pair.key : (pair.value ?? pair.key);
      node = pair.value;
      offset = (isNode(at) && at.range?.[0]) || offset;
    } else if (isSeq(node)) {
      node = node.items[Number(step)];
      offset = (isNode(node) && node.range?.[0]) || offset;
    } else break;
  }
  return offset;
}

/**
 * Parses the YAML of a file.
 * @throws {ConfigError} when it is not YAML, or exceeds the limits of bounded-yaml.ts
 */
export function openYaml(file: string, text: string): ConfigSource {
  const { document, placeAt, toContent } = parseYamlDocument(file, text);
  return {
    file,
    content: toContent(),
    placeOf: (path, isKey = false) => placeAt(offsetOf(document, path, isKey)),
  };
}
