import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const SRC = fileURLToPath(new URL('../src', import.meta.url));

/** Room -> the rooms it may import besides itself. Edges never import each other; only cli wires. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  oci: [],
  host: [],
  selection: ['oci', 'host'],
  probe: ['host', 'selection', 'oci'],
  upstream: ['host', 'selection', 'oci'],
  store: ['host', 'selection', 'oci'],
  mirror: ['host', 'selection', 'oci'],
  server: ['host', 'selection', 'oci'],
  setup: ['host', 'selection', 'oci'],
  site: ['host', 'selection', 'oci'],
  cli: ['setup', 'site', 'server', 'mirror', 'probe', 'upstream', 'store', 'selection', 'host', 'oci'],
};

const PURE_ROOMS = ['oci', 'host', 'selection'];
/** Pure rooms touch nothing outside their arguments; oci/digest.ts alone may hash. */
const PURE_EXCEPTIONS: Readonly<Record<string, readonly string[]>> = { 'oci/digest.ts': ['node:crypto'] };
const IMPURE_GLOBALS =
  /\b(?:process\.|console\.|Date\.now|new Date\(\)|performance\.now|Math\.random|setTimeout|setInterval|fetch\()/;

interface Source {
  readonly file: string;
  readonly room: string;
  readonly text: string;
  readonly imports: readonly { readonly specifier: string; readonly typeOnly: boolean }[];
}

function importsOf(text: string): Source['imports'] {
  const statements = text.matchAll(
    /^(?:import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?'([^']+)'|\bimport\(\s*'([^']+)'\s*\)/gm,
  );
  return [...statements].map((match) => ({
    specifier: match[2] ?? match[3] ?? '',
    typeOnly: match[1] !== undefined,
  }));
}

const sources: readonly Source[] = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => {
    const text = readFileSync(join(SRC, file), 'utf8');
    return { file, room: file.split('/')[0] ?? '', text, imports: importsOf(text) };
  });

function roomOf(source: Source, specifier: string): string {
  const target = relative(SRC, resolve(SRC, dirname(source.file), specifier));
  return target.split('/')[0] ?? '';
}

describe('the house', () => {
  test('every source file lives in a known room', () => {
    expect(sources.length).toBeGreaterThan(0);
    expect(sources.filter(({ room }) => !(room in MAY_IMPORT)).map(({ file }) => file)).toEqual([]);
  });

  test.each(sources.map((source) => [source.file, source] as const))(
    '%s imports the right way',
    (_, source) => {
      const wrong = source.imports
        .filter(({ specifier }) => specifier.startsWith('.'))
        .map(({ specifier }) => roomOf(source, specifier))
        .filter((room) => room !== source.room && !MAY_IMPORT[source.room]?.includes(room));
      expect(wrong).toEqual([]);
    },
  );

  test.each(
    sources.filter(({ room }) => PURE_ROOMS.includes(room)).map((source) => [source.file, source] as const),
  )('%s is pure', (file, source) => {
    const outside = source.imports
      .filter(({ specifier, typeOnly }) => !specifier.startsWith('.') && !typeOnly)
      .map(({ specifier }) => specifier)
      .filter((specifier) => !PURE_EXCEPTIONS[file]?.includes(specifier));
    expect(outside).toEqual([]);
    const code = source.text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
    expect(code).not.toMatch(IMPURE_GLOBALS);
  });

  test('no file is a barrel, a utils or a types drawer', () => {
    expect(sources.filter(({ file }) => /(?:^|\/)(?:index|utils|types|helpers)\.ts$/.test(file))).toEqual([]);
  });
});
