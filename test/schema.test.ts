import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Ajv } from 'ajv';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import {
  DOCUMENT_KINDS,
  documentSchemaText,
  FILE_KINDS,
  jsonSchemaOf,
  SCHEMA_URL,
  schemaText,
} from '../scripts/schemas.ts';
import { check } from '../src/lib/schema.ts';
import { hashPassword } from '../src/site/password.ts';
import { FUZZ_RUNS } from './support/fuzz.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const KINDS = Object.keys(FILE_KINDS);
const DOCUMENTS = Object.keys(DOCUMENT_KINDS);

const ajv = new Ajv({ strict: true, allowUnionTypes: true });
ajv.addFormat('uri', (text) => URL.canParse(text));
ajv.addFormat('date', /^\d{4}-\d{2}-\d{2}$/);
const validators = new Map(KINDS.map((name) => [name, ajv.compile(jsonSchemaOf(name))]));

let hash: string;
beforeAll(async () => {
  hash = (await hashPassword('secret', { ln: 4, r: 8, p: 1 })).text;
});

function acceptedByJsonSchema(kind: string, content: unknown): boolean {
  return validators.get(kind)?.(content) === true;
}

/** Codes of what MetaHub finds wrong; none when it accepts the content. */
function codes(kind: string, content: unknown): readonly string[] {
  const schema = FILE_KINDS[kind]?.schema;
  if (schema === undefined) throw new Error(kind);
  return (check(schema, content).problems ?? []).map(({ code }) => code);
}

describe('the JSON Schemas', () => {
  test.each(KINDS)('schema/%s.schema.json is what MetaHub reads by: `npm run schemas` writes it', (name) => {
    expect(readFileSync(`${ROOT}schema/${name}.schema.json`, 'utf8')).toBe(schemaText(name));
  });

  test.each(DOCUMENTS)(
    'schema/%s.schema.json is what MetaHub writes: `npm run schemas` writes it',
    (name) => {
      expect(readFileSync(`${ROOT}schema/${name}.schema.json`, 'utf8')).toBe(documentSchemaText(name));
    },
  );

  test('the folder holds no other schema', () => {
    const expected = [...[...KINDS, ...DOCUMENTS].map((name) => `${name}.schema.json`), 'openapi.json'];
    expect(readdirSync(`${ROOT}schema`).sort()).toEqual(expected.sort());
  });
});

/** Pages with a block of YAML, each block with the kind that its first line names for editors. */
const EXAMPLES = ['README.md', ...readdirSync(`${ROOT}docs`).map((name) => `docs/${name}`)]
  .filter((page) => page.endsWith('.md'))
  .flatMap((page) => {
    const blocks = [...readFileSync(`${ROOT}${page}`, 'utf8').matchAll(/^```yaml\n([\s\S]*?)^```/gm)];
    return blocks.map(([, text = '']) => {
      const url = /^# yaml-language-server: \$schema=(\S+)\n/.exec(text)?.[1];
      const kind = url?.replace(SCHEMA_URL, '').replace('.schema.json', '');
      return { page, text, kind };
    });
  });

describe('the examples of the documents', () => {
  test('name their schema for editors, all but those for other programs', () => {
    const unnamed = EXAMPLES.filter(({ kind }) => kind === undefined || !KINDS.includes(kind));
    expect(unnamed.map(({ page, text }) => [page, Object.keys(parse(text))])).toEqual([
      ['docs/replicas.md', ['version', 'storage', 'proxy', 'http']], // distribution's
      ['docs/signatures.md', ['docker']], // containers/image's
      ['docs/site.md', ['http']], // Traefik's
    ]);
    expect(new Set(EXAMPLES.map(({ kind }) => kind).filter(Boolean))).toEqual(
      new Set(KINDS.filter((kind) => kind !== 'profile')),
    );
  });

  test.each(EXAMPLES.filter(({ kind }) => kind !== undefined))(
    '$page: the file of $kind is valid for MetaHub and for editors',
    ({ kind = '', text }) => {
      const whole = text
        .replaceAll(/\$scrypt\$[^"]*/g, hash)
        .replace('sha256: "…"', `sha256: ${'a'.repeat(43)}`);
      expect(codes(kind, parse(whole))).toEqual([]);
      expect(acceptedByJsonSchema(kind, parse(whole))).toBe(true);
    },
  );

  test('every entry of the catalogue is valid for MetaHub and for editors', () => {
    const names = readdirSync(`${ROOT}catalog`).filter((name) => name.endsWith('.yml'));
    expect(names.length).toBeGreaterThan(5);
    for (const name of names) {
      const text = readFileSync(`${ROOT}catalog/${name}`, 'utf8');
      expect(text, name).toMatch(/^# yaml-language-server: \$schema=\.\.\/schema\/catalogue\.schema\.json\n/);
      expect(codes('catalogue', parse(text)), name).toEqual([]);
      expect(acceptedByJsonSchema('catalogue', parse(text)), name).toBe(true);
    }
  });
});

const MEMBER = { image: 'qnib/plain:cpu', platform: { os: 'linux', architecture: 'amd64' } };
const PROFILE = {
  platform: { os: 'linux', architecture: 'amd64', variant: 'v4' },
  cpu: {
    microarchitecture: 'zen4',
    vendor: null,
    compatible: ['zen4'],
    flags: ['avx2'],
    evidence: { family: 25 },
  },
  gpus: [{ vendor: 'nvidia', name: null, computeCapability: '9.0', integrated: false }],
  system: { kernel: '6.8', smt: true },
  features: ['cpu:zen4', 'nvcap:9.0'],
  warnings: [],
};

/** Files that are valid, of every kind and with every form that a value may have. */
const VALID: Readonly<Record<string, readonly unknown[]>> = {
  settings: [
    {},
    { listen: 5080, cache: true, cacheSize: 'auto', cacheMinFree: 15, blobConnections: false, tagMaxAge: 0 },
    { listen: '[::1]:80', cache: 'transit', cacheSize: '1.5GiB', cacheMinFree: '15 %', tagMaxAge: '250ms' },
    { set: ['cpu:broadwell', 'nvcap:none'], publicRegistries: 'no', machines: null, blobConnections: '8' },
    { upstream: 'docker.io=http://127.0.0.1:5000' },
    { upstream: ['registry.gitlab.com', 'docker.io=https://a.example'] },
    { upstream: { 'quay.io': ['https://a.example', { url: 'https://quay.io', tls: { ca: '/ca.pem' } }] } },
    { upstream: { 'quay.io': { blobs: 'redirect', endpoints: { url: 'https://quay.io', ns: true } } } },
    { policy: { match: 'exact', 'on-no-match': 'upstream', priority: 'fabric > cpu', readConfig: 'true' } },
    { repositories: { 'qnib/*': null, '*': [{ tags: ['5*'], baseline: ['avx'] }, { pin: 'cpu:skylake' }] } },
  ],
  images: [
    { image: 'qnib/bench', manifests: [MEMBER, { image: 'qnib/plain:other' }] },
    [
      {
        image: 'qnib/bench',
        tags: 'v*',
        manifests: [{ ...MEMBER, image: 'a:{tag}-x', annotations: { a: 1 } }],
      },
    ],
  ],
  machines: [
    { user: 'qnib' },
    { user: 'qnib', types: null, groups: ['hpc'], repositories: null, tokens: null, managesMachines: true },
  ],
  groups: [{}, { hpc: { repositories: ['a/*'] }, web: {}, constructor: { repositories: null } }],
  profile: [PROFILE, { ...PROFILE, unknown: 1, gpus: [{ vendor: 'amd', gfxTarget: 'gfx90a', extra: [] }] }],
  bench: [
    {},
    {
      environment: { OMP_NUM_THREADS: [1, '4'], DEBUG: true },
      arguments: [['--size', 1]],
      entries: [1],
      rounds: 7,
    },
    { entries: 'best', metric: 'GFLOPS: ([0-9.]+)', better: 'higher' },
  ],
  catalogue: [
    {
      title: 'It',
      source: 'https://example.org',
      checked: '2026-11-26',
      promise: 'One.',
      images: [{ image: 'qnib/bench', example: 'latest', manifests: [MEMBER] }],
      repositories: { 'docker.io/library/mongo': { tags: ['[5-9]*'], baseline: ['avx', 'arm64-v8.2'] } },
    },
  ],
};

/** Files that are not, and whether JSON Schema can say so. */
const INVALID: readonly (readonly [kind: string, content: unknown, saidByJsonSchema: boolean])[] = [
  ['settings', [], true],
  ['settings', { lisen: 5080 }, true],
  ['settings', { listen: 'here' }, true],
  ['settings', { listen: '127.0.0.1:99999' }, false],
  ['settings', { tagMaxAge: 30 }, true],
  ['settings', { cacheMinFree: -1 }, true],
  ['settings', { set: ['cpu:skylkae'] }, false],
  ['settings', { upstream: { 'a.example': { endpoint: 'https://a.example' } } }, true],
  ['settings', { upstream: { 'a.example': 'ftp://a.example' } }, false],
  ['settings', { policy: [] }, true],
  ['settings', { policy: { gpu: 'some' } }, true],
  ['settings', { repositories: { '!x': { gpu: 'any' } } }, true],
  ['images', { image: 'qnib/bench', manifests: [] }, true],
  ['images', { image: 'qnib/bench', manifests: [{ ...MEMBER, platfrom: {} }] }, true],
  ['images', { image: 'UPPER', manifests: [MEMBER] }, false],
  ['images', { image: 'a', manifests: [{ ...MEMBER, platform: { os: 'linux' } }] }, true],
  ['machines', {}, true],
  ['machines', { user: 'a:b' }, true],
  ['machines', { user: 'a', password: 'clear' }, true],
  ['machines', { user: 'a', types: [{ name: 't' }] }, false], // without a password
  ['groups', { hpc: ['a/*'] }, true],
  ['groups', { 'a b': {} }, true],
  ['profile', { ...PROFILE, cpu: { ...PROFILE.cpu, flags: 'avx2' } }, true],
  ['profile', { ...PROFILE, features: ['cpu:skylkae'] }, false],
  ['bench', { environment: { 'A B': 1 } }, true],
  ['bench', { rounds: 0 }, true],
  ['bench', { enviroment: {} }, true],
  ['catalogue', { title: 'It' }, true],
];

describe('a file is valid for MetaHub just when it is valid for editors', () => {
  test.each(Object.entries(VALID).flatMap(([kind, contents]) => contents.map((one) => [kind, one] as const)))(
    '%s: %j is valid',
    (kind, content) => {
      expect(codes(kind, content)).toEqual([]);
      expect(acceptedByJsonSchema(kind, content)).toBe(true);
    },
  );

  test.each(INVALID)('%s: %j is not valid', (kind, content, saidByJsonSchema) => {
    expect(codes(kind, content)).not.toEqual([]);
    expect(acceptedByJsonSchema(kind, content)).toBe(!saidByJsonSchema);
  });

  /** What may stand where something else was meant. */
  const other = fc.oneof(
    fc.jsonValue({ maxDepth: 1 }),
    fc.constantFrom(null, [], {}, '', 'on', 0, -1, true, 'cpu:zen4', ['cpu:skylkae'], { os: 'linux' }),
  );

  /** The content with one part replaced, removed or under another key, wherever the numbers lead. */
  function mutated(content: unknown, way: readonly number[], change: unknown): unknown {
    const [step, ...rest] = way;
    if (step === undefined || typeof content !== 'object' || content === null) return change;
    const keys = Object.keys(content);
    const key = keys[step % (keys.length + 1)] ?? 'nonsense';
    if (Array.isArray(content))
      return content.length === 0
        ? [change]
        : content.with(Number(key) || 0, mutated(content[Number(key) || 0], rest, change));
    const { [key]: value, ...others } = content as Readonly<Record<string, unknown>>;
    return step % 7 === 0 ? others : { ...others, [key]: mutated(value, rest, change) };
  }

  test.each(KINDS)('whatever is changed in a file of %s, unless only a value is wrong', (kind) => {
    const contents = VALID[kind] ?? [];
    const verdicts = { valid: 0, invalid: 0 };
    const way = fc.array(fc.nat({ max: 50 }), { maxLength: 6 });
    fc.assert(
      fc.property(fc.constantFrom(...contents), way, other, (content, steps, change) => {
        const file = mutated(content, steps, change);
        const found = codes(kind, file);
        const isAccepted = acceptedByJsonSchema(kind, file);
        verdicts[found.length === 0 ? 'valid' : 'invalid'] += 1;
        if (found.length === 0) expect(isAccepted).toBe(true);
        // Keys and types are JSON Schema's to judge, too; of a value it need not know what is wrong.
        else if (found.some((code) => code !== 'invalid-value')) expect(isAccepted).toBe(false);
      }),
      { numRuns: FUZZ_RUNS },
    );
    expect(Math.min(verdicts.valid, verdicts.invalid)).toBeGreaterThan(FUZZ_RUNS / 100);
  });
});
