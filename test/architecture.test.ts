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
  replicas: PURE,
  server: PURE,
  setup: PURE,
  site: PURE,
  cli: [...PURE, 'catalog', 'setup', 'site', 'server', 'mirror', 'replicas', 'probe', 'upstream', 'store'],
};

const PURE_ROOMS = ['oci', 'host', 'selection'];
/** Libraries that only compute: what they answer depends on their arguments alone. */
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
  readonly imports: readonly {
    readonly specifier: string;
    readonly typeOnly: boolean;
    /** Loaded when it is used: `import()`. */
    readonly isLate: boolean;
  }[];
}

function importsOf(text: string): Source['imports'] {
  const statements = text.matchAll(
    /^(?:import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?'([^']+)'|\bimport\(\s*'([^']+)'\s*\)/gm,
  );
  return [...statements].map((match) => ({
    specifier: match[2] ?? match[3] ?? '',
    typeOnly: match[1] !== undefined,
    isLate: match[3] !== undefined,
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

/** The rooms of a running mirror that see what registries, clients and replicas send. */
const SERVING = ['upstream', 'store', 'mirror', 'replicas', 'server'];
const COMMENTS = /\/\*[\s\S]*?\*\/|\/\/.*$/gm;
const PARSING =
  /\b(?:JSON\.parse|parseJson|parseManifestDocument|parseManifestObject|parseYamlDocument|parseBoundedYaml)\(/;
/** Besides mirror/documents: what bounds each of them. */
const PARSERS: Readonly<Record<string, string>> = {
  'upstream/document.ts': 'on a thread above 64 KiB',
  'upstream/tag-pages.ts': 'on a thread above 64 KiB',
  'upstream/errors.ts': 'error documents up to 64 KiB',
  'upstream/auth/token.ts': 'tokens up to 64 KiB',
  'upstream/push-answers.ts': 'what this mirror has sealed into a URL, up to 8 KiB',
  'replicas/sealed-format.ts': 'what replicas have sealed, up to the bound of a value',
  'store/metadata.ts': 'records that the store has written',
  'store/tags.ts': 'records that the store has written',
  'upstream/auth/keychain.ts': 'files of this machine up to 1 MiB, and helpers',
};

const LINES_MAX = 300;
/** A file of so many lines needs a reason to be one; together with its importer it leaves room for a change. */
const SMALL_LINES = 30;
const ROOM_LINES = 50;
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

  test('no file of a few lines serves one neighbour alone, unless it is loaded late', () => {
    const importers = new Map<string, string[]>();
    for (const source of sources) {
      for (const specifier of new Set(source.imports.map((one) => one.specifier))) {
        const target = relative(SRC, resolve(SRC, dirname(source.file), specifier));
        importers.set(target, [...(importers.get(target) ?? []), source.file]);
      }
    }
    const small = sources.filter(({ file, text }) => {
      const [importer, ...others] = importers.get(file) ?? [];
      const neighbour = sources.find((one) => one.file === importer && dirname(importer) === dirname(file));
      if (neighbour === undefined || others.length > 0 || file.includes('/data/')) return false;
      const name = relative(dirname(file), file);
      if (neighbour.imports.some(({ specifier, isLate }) => isLate && specifier === `./${name}`))
        return false;
      const [lines, neighbourLines] = [text, neighbour.text].map((one) => one.split('\n').length);
      return Number(lines) <= SMALL_LINES && Number(lines) + Number(neighbourLines) <= LINES_MAX - ROOM_LINES;
    });
    expect(small.map(({ file }) => file)).toEqual([]);
  });

  test('nothing is exported for tests alone, except facts', () => {
    const programs = ['../scripts', '../bench', '../packaging'].flatMap((folder) =>
      readdirSync(join(SRC, folder), { recursive: true, encoding: 'utf8' })
        .filter((file) => /\.(?:ts|mjs|cjs)$/.test(file))
        .map((file) => readFileSync(join(SRC, folder, file), 'utf8')),
    );
    const words = [...sources.map(({ text }) => text), ...programs].map(
      (text) => new Set(text.match(/\w+/g)),
    );
    const unused = sources
      .filter(({ file }) => !file.includes('/data/'))
      .flatMap(({ file, text }) =>
        [...text.matchAll(/^export (?:async )?(?:function\*?|const|class) (\w+)/gm)]
          .filter(
            ([, name = '']) =>
              words.filter((one) => one.has(name)).length === 1 &&
              [...text.matchAll(new RegExp(`\\b${name}\\b`, 'g'))].length === 1,
          )
          .map(([, name]) => `${file}: ${name}`),
      );
    expect(unused).toEqual([]);
  });

  test('a request target is divided into path and query in one place', () => {
    const dividing = /split\(['"]\?['"]|indexOf\(['"]\?['"]/;
    expect(sources.filter(({ text }) => dividing.test(text)).map(({ file }) => file)).toEqual(['lib/url.ts']);
  });

  test('what loopback is is decided in one place', () => {
    const deciding = /127\\\.|['"]::1['"]|\\\[::1|startsWith\(['"]127/;
    expect(sources.filter(({ text }) => deciding.test(text)).map(({ file }) => file)).toEqual([
      'lib/address.ts',
    ]);
  });

  test('YAML is read within bounds alone', () => {
    const importers = sources.filter(({ imports }) =>
      imports.some(({ specifier, typeOnly }) => specifier === 'yaml' && !typeOnly),
    );
    // The second one loads the library when it needs it, for parseBoundedYaml().
    expect(importers.map(({ file }) => file).sort()).toEqual([
      'lib/yaml-document.ts',
      'mirror/documents/specification.ts',
    ]);
    const unbounded = /\b(?:parseDocument|parseAllDocuments)\b|\byaml\.parse\b/;
    expect(sources.filter(({ text }) => unbounded.test(text)).map(({ file }) => file)).toEqual([]);
  });

  test('headers of others are not read by properties of Node.js that throw for one of the name __proto__', () => {
    const throwing = /\b(?:headers|trailers)Distinct\b/;
    expect(throwing.test('message.headersDistinct')).toBe(true);
    const readers = sources.filter(({ text }) => throwing.test(text.replaceAll(COMMENTS, '')));
    expect(readers.map(({ file }) => file)).toEqual([]);
  });

  test('lib is free of domain words', () => {
    const lib = sources.filter(({ room }) => room === 'lib');
    expect(lib.length).toBeGreaterThan(5);
    expect(
      lib.filter(({ text }) => DOMAIN_WORDS.test(text.replaceAll(/https:\S+/g, ''))).map(({ file }) => file),
    ).toEqual([]);
  });

  test('no running mirror parses documents of others but behind the doors that bound it', () => {
    const isBehindDoor = (file: string) => file.startsWith('mirror/documents/') || file in PARSERS;
    const parsers = sources.filter(
      ({ room, text }) => SERVING.includes(room) && new RegExp(PARSING).test(text.replaceAll(COMMENTS, '')),
    );
    expect(parsers.map(({ file }) => file).filter((file) => !isBehindDoor(file))).toEqual([]);
    expect(Object.keys(PARSERS).filter((file) => !parsers.some((one) => one.file === file))).toEqual([]);
  });

  test('what documents are asked is answered through readAside() alone', () => {
    const DOOR = 'mirror/documents/reading.ts';
    const around = sources
      .filter(({ file }) => !file.startsWith('mirror/documents/'))
      .filter((source) =>
        source.imports.some(({ specifier, typeOnly }) => {
          const target = relative(SRC, resolve(SRC, dirname(source.file), specifier));
          return !typeOnly && target.startsWith('mirror/documents/') && target !== DOOR;
        }),
      );
    expect(around.map(({ file }) => file)).toEqual([]);
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

describe('the layout of test', () => {
  const folder = join(SRC, '../test');
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    (file) => file.endsWith('.test.ts') && file !== 'architecture.test.ts',
  );

  /** Waits for a fixed time, or has a limit of its own that is shorter than those of vitest.config.ts. */
  function isByTheClock(text: string): boolean {
    const limits = [...text.matchAll(/^ *\}, (\d[\d_]*)\);$|^ *(\d[\d_]*),\n *\);$/gm)].map((match) =>
      Number((match[1] ?? match[2] ?? '').replaceAll('_', '')),
    );
    return (
      /\bvi\.wait(?:For|Until)\(|\bsetTimeout\(|\.poll\([^;]*?\btimeout:/.test(text) ||
      limits.some((ms) => ms >= 1000 && ms < 300_000)
    );
  }

  test('tests wait for conditions, within the limits of vitest.config.ts alone', () => {
    expect(files.length).toBeGreaterThan(300);
    expect(files.filter((file) => isByTheClock(readFileSync(join(folder, file), 'utf8')))).toEqual([]);
    for (const text of [
      'await vi.waitFor(() => expect(1).toBe(1));',
      'await new Promise((resolve) => setTimeout(resolve, 10));',
      'await expect.poll(() => log.length, { timeout: 1000 }).toBe(1);',
      '  }, 60_000);',
      '    60_000,\n  );',
    ])
      expect(isByTheClock(text), text).toBe(true);
  });

  test('no module is replaced: files share their processes, and libraries are loaded once in each', () => {
    const mocks = /\bvi\.(?:do)?mock\(/i;
    expect(files.filter((file) => mocks.test(readFileSync(join(folder, file), 'utf8')))).toEqual([]);
    expect(mocks.test("vi.mock('yaml', () => ({}));")).toBe(true);
  });
});
