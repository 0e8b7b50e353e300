import { cpSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { bundledPackages, notices } from '../../scripts/notices.ts';
import { attempt, run } from '../support/processes.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const BUNDLES = [
  ['main', 'main'],
  ['detect', 'quickDetect'],
  ['serve', 'main'],
  ['yaml', 'parseDocument'],
] as const;

describe('the bundles', () => {
  let workplace: Workplace;
  let copy: string;
  const file = (name: string) => join(copy, 'dist/program', name);
  const cacheOf = (name: string, version = process.version) => file(`${name}.${version}.cache`);

  beforeAll(() => {
    workplace = openWorkplace();
    copy = workplace.folder('copy');
  });
  afterAll(() => workplace.close());
  beforeEach(() => {
    for (const part of ['bin', 'catalog', 'dist', 'package.json', 'scripts'])
      cpSync(join(ROOT, part), join(copy, part), { recursive: true });
  });

  /** Loads a bundle of the copy as bin/metahub.js does; says whether its code cache was taken. */
  async function load(name: string, ...options: readonly string[]) {
    const script = `
      const { exports, script } = require(${JSON.stringify(join(copy, 'bin/metahub.js'))}).load('${name}');
      console.log(JSON.stringify({ exports: Object.keys(exports), rejected: script?.cachedDataRejected }));
    `;
    return JSON.parse(await run(process.execPath, [...options, '--eval', script]));
  }

  /** Makes the code cache again, with the Node.js that runs this test: the build may have been another's. */
  const makeCache = (name: string) => run(process.execPath, [join(copy, 'scripts/code-cache.cjs'), name]);

  test.each(BUNDLES)('%s runs with the code cache that the build made', async (name, part) => {
    await makeCache(name);
    expect(await load(name)).toMatchObject({ exports: expect.arrayContaining([part]), rejected: false });
  });

  test.each(BUNDLES)('run when the code cache is of another V8: %s', async (name, part) => {
    await makeCache(name);
    const cache = readFileSync(cacheOf(name));
    cache.fill(0, 0, 16);
    writeFileSync(cacheOf(name), cache);
    const { exports, rejected } = await load(name);
    expect(rejected).toBe(true);
    expect(exports).toContain(part);
  });

  test.each(BUNDLES)('%s runs without a code cache', async (name, part) => {
    rmSync(cacheOf(name), { force: true });
    expect((await load(name)).exports).toContain(part);
  });

  // Node.js 20.19.0 and 20.20.2 have one version of V8, which takes the cache of the other one, and crashes.
  test.each(BUNDLES)('%s does not run with the code cache of another Node.js', async (name, part) => {
    await makeCache(name);
    renameSync(cacheOf(name), cacheOf(name, 'v20.0.0'));
    expect(await load(name)).toEqual({ exports: expect.arrayContaining([part]) });
  });

  test('run once, however many others require them', async () => {
    const script = `
      const { load } = require(${JSON.stringify(join(copy, 'bin/metahub.js'))});
      console.log(load('detect').exports === load('detect').exports);
    `;
    expect((await run(process.execPath, ['--eval', script])).trim()).toBe('true');
  });

  // scripts/performance.mjs replaces `performance` in the bundles, and has this one part.
  test('use no part of `performance` but now()', () => {
    const { outputs } = JSON.parse(readFileSync(join(copy, 'dist/metafile.json'), 'utf8'));
    const inputs = Object.values<{ readonly inputs: object }>(outputs).flatMap(({ inputs }) =>
      Object.keys(inputs),
    );
    const others =
      /\bperformance\s*(?:\?\.|\.)\s*(?!now\b)\w+|import\s*\{(?!\s*performance\s*\})[^}]*\}\s*from\s*['"](?:node:)?perf_hooks/;
    const files = [...new Set(inputs)].map((input) => join(ROOT, input)).filter((path) => existsSync(path));
    expect(files.length).toBeGreaterThan(400);
    const offenders = files.filter((path) => others.test(readFileSync(path, 'utf8')));
    expect(offenders).toEqual([]);
    expect(
      ['performance.mark("a")', 'import { monitorEventLoopDelay } from "node:perf_hooks"'].every((text) =>
        others.test(text),
      ),
    ).toBe(true);
  });

  test('are ASCII, of which V8 keeps a byte for each character', () => {
    const programs = readdirSync(join(copy, 'dist/program')).filter((name) => name.endsWith('.js'));
    expect(programs).toContain('serve.js');
    for (const name of programs) expect(readFileSync(file(name), 'latin1')).toMatch(/^[\0-\x7f]*$/);
  });

  test('load a library of its own file when it is used', async () => {
    const config = join(copy, 'config.yaml');
    writeFileSync(config, 'logLevel: [debug\n');
    const metahub = join(copy, 'bin/metahub.js');
    // Of its own: a former run's last good configuration would be served instead.
    const settings = ['--config', config, '--data', join(copy, 'data')];
    const { stderr } = await attempt(process.execPath, [metahub, 'serve', ...settings]);
    expect(stderr).toContain(`${config}:2:1`);
    rmSync(file('systeminformation.js'));
    expect(await run(process.execPath, [metahub, 'detect', '--features'])).toContain('os:linux');
    expect((await attempt(process.execPath, [metahub, 'detect', '--all'])).stderr).toContain(
      'systeminformation.js',
    );
    // Three programs, one after the other, of which two look at the whole machine.
  });

  test('need no package beside them', async () => {
    expect(existsSync(join(copy, 'node_modules'))).toBe(false);
    const metahub = join(copy, 'bin/metahub.js');
    expect(await run(process.execPath, [metahub, 'serve', '--help'])).toContain('--listen');
    expect(JSON.parse(await run(process.execPath, [metahub, 'detect', '--json'])).platform.os).toBe('linux');
  });

  test('name the sources in a stack trace when Node.js maps it', async () => {
    const script = `
      process.stdout.write = () => { throw new Error('no output'); };
      require(${JSON.stringify(join(copy, 'bin/metahub.js'))}).load('main').exports.main(['', '', '--help']);
    `;
    const { stderr } = await attempt(process.execPath, ['--enable-source-maps', '--eval', script], {
      env: { METAHUB_DEBUG: '1' },
    });
    expect(stderr).toMatch(/src\/cli\/program\.ts:\d+/);
  });
});

describe('the package', () => {
  test('contains what bin/metahub.js needs and its documents, but neither sources nor tests', async () => {
    const [{ files }] = JSON.parse(
      await run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: ROOT }),
    );
    const paths: readonly string[] = files.map(({ path }: { readonly path: string }) => path);
    expect(
      paths.filter((path) => !/^(catalog|docs|man|schema|systemd|completions)\//.test(path)).sort(),
    ).toEqual([
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'THIRD-PARTY-NOTICES',
      'bin/metahub.js',
      'bin/package.json',
      'dist/program/asn1js.js',
      'dist/program/asn1js.js.map',
      'dist/program/detect.js',
      'dist/program/detect.js.map',
      'dist/program/document-worker.js',
      'dist/program/document-worker.js.map',
      'dist/program/hash-worker.js',
      'dist/program/hash-worker.js.map',
      'dist/program/ioredis.js',
      'dist/program/ioredis.js.map',
      'dist/program/jose.js',
      'dist/program/jose.js.map',
      'dist/program/machine-worker.js',
      'dist/program/machine-worker.js.map',
      'dist/program/main.js',
      'dist/program/main.js.map',
      'dist/program/openid-client.js',
      'dist/program/openid-client.js.map',
      'dist/program/package.json',
      'dist/program/reading-worker.js',
      'dist/program/reading-worker.js.map',
      'dist/program/serve.js',
      'dist/program/serve.js.map',
      'dist/program/systeminformation.js',
      'dist/program/systeminformation.js.map',
      'dist/program/tags-worker.js',
      'dist/program/tags-worker.js.map',
      'dist/program/yaml.js',
      'dist/program/yaml.js.map',
      'package.json',
      'scripts/capture-host.sh',
    ]);
    expect(paths.filter((path) => path.startsWith('docs/adr/'))).toEqual([]);
  });

  test('needs nothing to be installed with it: every library is in the bundles', () => {
    const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    expect(manifest.dependencies).toBeUndefined();
    expect(bundledPackages().length).toBeGreaterThan(0);
  });

  test('THIRD-PARTY-NOTICES names everything that the bundles contain: `npm run notices` writes it', () => {
    expect(readFileSync(join(ROOT, 'THIRD-PARTY-NOTICES'), 'utf8')).toBe(notices());
  });
});
