import type * as Yaml from 'yaml';
import { ConfigError } from './config-error.ts';
import type { Place } from './config-source.ts';

/** Limit of a file, in bytes. A larger one is a mistake. */
const MAX_BYTES = 1024 * 1024;
/** The library is recursive: with some thousand levels V8 ends the whole process, even from a thread. */
const MAX_DEPTH = 100;
/** Limit of aliases in a file. The library walks the document to resolve one. */
const MAX_ALIASES_IN_ALL = 500;
/** How often aliases may repeat one part of a file. */
const MAX_ALIASES = 100;

/** The YAML library, however it was loaded. */
export type YamlLibrary = Pick<
  typeof Yaml,
  'Composer' | 'isScalar' | 'Lexer' | 'LineCounter' | 'Parser' | 'visit' | 'YAMLParseError'
>;

export interface YamlDocument {
  /** The parsed document, without errors. Editing it keeps its comments. */
  readonly document: Yaml.Document;
  readonly placeAt: (offset: number) => Place;
  /** The content as plain values. @throws {ConfigError} when aliases expand beyond the limit */
  toContent(): unknown;
}

/** The parser's message without the excerpt of the file. */
function firstLine({ message }: Error): string {
  return message.split('\n', 1)[0]?.replace(/:$/, '') ?? message;
}

/** Finds duplicate keys. The library's own check compares each key with all others of its map. */
function addDuplicateKeys({ visit, isScalar, YAMLParseError }: YamlLibrary, document: Yaml.Document): void {
  visit(document, {
    Map: (_, { items }) => {
      const seen = new Set<unknown>();
      for (const { key } of items) {
        if (!isScalar(key)) continue;
        const [start, end] = key.range ?? [0, 0];
        if (seen.has(key.value))
          document.errors.push(new YAMLParseError([start, end], 'DUPLICATE_KEY', 'Map keys must be unique'));
        seen.add(key.value);
      }
    },
  });
}

/**
 * Parses the YAML of a file.
 * @throws {ConfigError} with the position, when it is not YAML, or is larger, deeper or has more aliases than
 * allowed
 */
export function parseBoundedYaml(library: YamlLibrary, file: string, text: string): YamlDocument {
  const { Composer, Lexer, LineCounter, Parser } = library;
  if (Buffer.byteLength(text) > MAX_BYTES)
    throw new ConfigError('too-large', `the file is larger than ${MAX_BYTES} bytes`, { file });
  const lines = new LineCounter();
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const broken = (cause: Error, offset: number) =>
    new ConfigError('syntax', firstLine(cause), {
      ...{ file, ...placeAt(offset), cause },
      nextStep: 'Correct the YAML.',
    });

  function* boundedTokens() {
    lines.addNewLine(0);
    const parser = new Parser(lines.addNewLine);
    let aliases = 0;
    let offset = 0;
    for (const lexeme of new Lexer().lex(text)) {
      yield* parser.next(lexeme);
      if (lexeme.startsWith('*')) aliases += 1;
      const isDeep = parser.stack.length > MAX_DEPTH;
      if (isDeep || aliases > MAX_ALIASES_IN_ALL) {
        const why = isDeep
          ? `nests deeper than ${MAX_DEPTH} levels`
          : `has more than ${MAX_ALIASES_IN_ALL} aliases`;
        throw new ConfigError('too-large', `the file ${why}`, { file, ...placeAt(offset) });
      }
      offset = parser.offset;
    }
    yield* parser.end();
  }

  const composer = new Composer({ uniqueKeys: false, prettyErrors: false });
  const [document, another] = composer.compose(boundedTokens(), true, text.length);
  if (document === undefined) throw new TypeError('a composer that is forced makes a document');
  addDuplicateKeys(library, document);
  const [problem] = document.errors;
  if (problem) throw broken(problem, problem.pos[0]);
  if (another) throw broken(new Error('the file holds several documents'), another.range[0]);
  return {
    document,
    placeAt,
    toContent: () => {
      try {
        return document.toJS({ maxAliasCount: MAX_ALIASES });
      } catch (cause) {
        throw broken(cause as Error, 0);
      }
    },
  };
}
