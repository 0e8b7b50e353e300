import { findNodeAtLocation, type ParseError, parseTree, printParseErrorCode } from 'jsonc-parser';
import { ConfigError, type ConfigPath } from './config-error.ts';
import type { ConfigSource, Place } from './config-source.ts';

/** Turns an offset into a position. */
export function placeAt(text: string, offset: number): Place {
  const before = text.slice(0, offset);
  return { line: before.split('\n').length, column: offset - before.lastIndexOf('\n') };
}

/** The position of a value, or of its key. For a missing value, the position of what surrounds it. */
function placeOf(text: string, path: ConfigPath, isKey: boolean): Place {
  const tree = parseTree(text);
  for (let length = path.length; tree !== undefined && length >= 0; length -= 1) {
    const node = findNodeAtLocation(tree, path.slice(0, length));
    const pair = isKey && length === path.length ? node?.parent : undefined;
    const at = pair?.type === 'property' ? pair : node;
    if (at !== undefined) return placeAt(text, at.offset);
  }
  return { line: 1, column: 1 };
}

/** What the parser found, in words: `comma expected`. */
export function jsonProblem({ error }: ParseError): string {
  return printParseErrorCode(error)
    .replaceAll(/(?<=.)[A-Z]/g, ' $&')
    .toLowerCase();
}

/** Parses the JSON of a file. @throws {ConfigError} with the position of the syntax error */
export function openJson(file: string, text: string, nextStep?: string): ConfigSource {
  try {
    return {
      file,
      content: JSON.parse(text),
      placeOf: (path, isKey = false) => placeOf(text, path, isKey),
    };
  } catch (cause) {
    // The message of JSON.parse quotes the file, with its line ends, so the error is found by another parser.
    const errors: ParseError[] = [];
    parseTree(text, errors);
    const [first] = errors;
    const what = first === undefined ? '' : `: ${jsonProblem(first)}`;
    const place = placeAt(text, first?.offset ?? 0);
    throw new ConfigError('syntax', `the file is not JSON${what}`, { file, ...place, cause, nextStep });
  }
}
