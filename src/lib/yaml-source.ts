import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  type YAMLError,
} from 'yaml';
import { ConfigError, type ConfigPath } from './config-error.ts';
import type { ConfigSource, Place } from './config-source.ts';

/** A file of an operator's that is larger is a mistake, in bytes. */
const MAX_BYTES = 1024 * 1024;
/** How often one part of a file may be repeated by aliases. */
const MAX_ALIASES = 100;

/** What a parser says before it shows the place. */
function firstLine({ message }: Error): string {
  return message.split('\n', 1)[0]?.replace(/:$/, '') ?? message;
}

/** Where the value at `path`, or its key, begins in the text; of a part that is not there, what is around it. */
function offsetOf(document: Document, path: ConfigPath, isKey: boolean): number {
  let node: unknown = document.contents;
  let offset = isNode(node) ? (node.range?.[0] ?? 0) : 0;
  for (const [depth, step] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document);
    const isLast = depth === path.length - 1;
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(step));
      if (pair === undefined) break;
      // A value that is empty stands nowhere: its key does.
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
 * @throws {ConfigError} when it is none, repeats itself without bound, or is larger than 1 MiB
 */
export function openYaml(file: string, text: string): ConfigSource {
  if (Buffer.byteLength(text) > MAX_BYTES)
    throw new ConfigError('too-large', `the file is larger than ${MAX_BYTES} bytes`, { file });
  const lines = new LineCounter();
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const broken = (cause: Error, place: Place) =>
    new ConfigError('syntax', firstLine(cause), { file, ...place, cause, nextStep: 'Mend the YAML.' });
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [problem] = document.errors as readonly YAMLError[];
  if (problem) throw broken(problem, placeAt(problem.pos[0]));
  let content: unknown;
  try {
    content = document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (cause) {
    throw broken(cause as Error, { line: 1, column: 1 });
  }
  return { file, content, placeOf: (path, isKey = false) => placeAt(offsetOf(document, path, isKey)) };
}
