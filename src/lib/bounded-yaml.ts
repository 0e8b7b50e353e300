import type * as Yaml from 'yaml';
import { ConfigError } from './config-error.ts';
import type { Place } from './config-source.ts';

/** The largest file, in bytes: a larger one is a mistake. */
const MAX_BYTES = 1024 * 1024;
/** The library recurses: beyond some thousand levels V8 ends the process, in a thread too. */
const MAX_DEPTH = 100;
/** In a file: to resolve one the library walks the document. */
const MAX_ALIASES_IN_ALL = 500;
/** How often aliases may repeat one part of a file. */
const MAX_ALIASES = 100;

/** The library, by whichever way it was loaded. */
export type YamlLibrary = Pick<
  typeof Yaml,
  'Composer' | 'isScalar' | 'Lexer' | 'LineCounter' | 'Parser' | 'visit' | 'YAMLParseError'
>;

export interface YamlDocument {
  /** Without errors; an edit keeps its comments. */
  readonly document: Yaml.Document;
  readonly placeAt: (offset: number) => Place;
  /** The content in plain values. @throws {ConfigError} when aliases expand without bound */
  toContent(): unknown;
}

/** The parser's message, without the excerpt that shows the place. */
function firstLine({ message }: Error): string {
  return message.split('\n', 1)[0]?.replace(/:$/, '') ?? message;
}

/** The library's own check compares each key with all others of its map. */
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
 * @throws {ConfigError} with the place, when it is not YAML, or larger, deeper or with more aliases than any file needs
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
