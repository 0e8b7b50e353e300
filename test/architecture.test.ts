import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const SRC = fileURLToPath(new URL('../src', import.meta.url));

/** Room -> the rooms it may import besides itself. Edges never import each other; only cli composes them. */
const PURE = ['lib', 'oci', 'host', 'selection'];
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  catalog: ['lib', 'oci', 'host', 'selection'],
  oci: ['lib'],
  host: ['lib'],
  selection: ['lib', 'oci', 'host'],
  probe: PURE,
  upstream: PURE,
  store: PURE,
  mirror: PURE,
  server: PURE,
  setup: PURE,
  site: PURE,
  cli: [...PURE, 'catalog', 'setup', 'site', 'server', 'mirror', 'probe', 'upstream', 'store'],
};

const PURE_ROOMS = ['oci', 'host', 'selection'];
/** Libraries that compute and touch nothing: schemas are values, and reading by one is a function of its input. */
const PURE_LIBRARIES = ['valibot'];
/** Pure rooms touch nothing outside their arguments; two files may hash. */
const PURE_EXCEPTIONS: Readonly<Record<string, readonly string[]>> = {
  'oci/digest.ts': ['node:crypto'],
  'host/profile-key.ts': ['node:crypto'],
};
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

/** Every cycle of imports, type-only imports included, as the files on it. */
function importCycles(): readonly string[] {
  const byFile = new Map(sources.map((source) => [source.file, source]));
  const state = new Map<string, 'open' | 'done'>();
  const path: string[] = [];
  const cycles: string[] = [];
  const visit = (file: string): void => {
    if (state.get(file) === 'done') return;
    if (state.get(file) === 'open') {
      cycles.push([...path.slice(path.indexOf(file)), file].join(' -> '));
      return;
    }
    state.set(file, 'open');
    path.push(file);
    for (const { specifier } of byFile.get(file)?.imports ?? []) {
      const target = relative(SRC, resolve(SRC, dirname(file), specifier));
      if (specifier.startsWith('.') && byFile.has(target)) visit(target);
    }
    path.pop();
    state.set(file, 'done');
  };
  for (const { file } of sources) visit(file);
  return cycles;
}

const LINES_MAX = 300;
const DOMAIN_WORDS =
  /\b(?:registry|registries|repository|repositories|manifests?|blobs?|images?|upstreams?|mirrors?|digests?|tags?)\b/i;

describe('the layout of src', () => {
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
      .filter((specifier) => ![...PURE_LIBRARIES, ...(PURE_EXCEPTIONS[file] ?? [])].includes(specifier));
    expect(outside).toEqual([]);
    const code = source.text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
    expect(code).not.toMatch(IMPURE_GLOBALS);
  });

  test('imports form no cycle, type-only imports included', () => {
    expect(importCycles()).toEqual([]);
  });

  test('two exported types never share a name', () => {
    const files = new Map<string, string[]>();
    for (const { file, text } of sources) {
      for (const [, name = ''] of text.matchAll(/^export (?:abstract )?(?:interface|type|class) (\w+)/gm)) {
        files.set(name, [...(files.get(name) ?? []), file]);
      }
    }
    expect([...files].filter(([, declaredIn]) => declaredIn.length > 1)).toEqual([]);
  });

  test(`no file is longer than ${LINES_MAX} lines, except tables of facts`, () => {
    const long = sources.filter(
      ({ file, text }) => !file.includes('/data/') && text.split('\n').length > LINES_MAX + 1,
    );
    expect(long.map(({ file }) => file)).toEqual([]);
  });

  test('lib is free of domain words', () => {
    const lib = sources.filter(({ room }) => room === 'lib');
    expect(lib.length).toBeGreaterThan(5);
    expect(
      lib.filter(({ text }) => DOMAIN_WORDS.test(text.replaceAll(/https:\S+/g, ''))).map(({ file }) => file),
    ).toEqual([]);
  });

  test('every log call names its event by a constant in kebab-case', () => {
    const calls = sources.flatMap(({ file, text }) =>
      [...text.matchAll(/\blog\(\s*(?:[^,'()]+|'(?:error|warning|notice|info|debug)'),\s*'([^']*)'/g)].map(
        ([, event]) => ({ file, event }),
      ),
    );
    expect(calls.length).toBeGreaterThan(20);
    expect(calls.filter(({ event = '' }) => !/^[a-z]+(?:-[a-z]+)*$/.test(event))).toEqual([]);
  });

  test('no file is a barrel, a utils or a types drawer', () => {
    expect(sources.filter(({ file }) => /(?:^|\/)(?:index|utils|types|helpers)\.ts$/.test(file))).toEqual([]);
  });
});
