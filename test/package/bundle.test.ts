import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { bundledPackages, notices } from '../../scripts/notices.ts';
import { attempt, run } from '../support/processes.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const BUNDLES = ['main', 'detect'] as const;

describe('the bundles', () => {
  let workplace: Workplace;
  let copy: string;
  const file = (name: string) => join(copy, 'dist/program', name);

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
      const { exports, script } = require(${JSON.stringify(join(copy, 'bin/load.js'))}).load('${name}');
      console.log(JSON.stringify({ exports: Object.keys(exports), rejected: script?.cachedDataRejected }));
    `;
    return JSON.parse(await run(process.execPath, [...options, '--eval', script]));
  }

  test.each(BUNDLES)('%s runs with the code cache that the build made', async (name) => {
    // Again, with the Node.js that runs this test: the build may have been another's.
    await run(process.execPath, [join(copy, 'scripts/code-cache.cjs'), name]);
    expect(await load(name)).toMatchObject({ rejected: false });
  });

  test.each(BUNDLES)('%s runs when its code cache is of another V8', async (name) => {
    const cache = readFileSync(file(`${name}.cache`));
    cache.fill(0, 0, 16);
    writeFileSync(file(`${name}.cache`), cache);
    const { exports, rejected } = await load(name);
    expect(rejected).toBe(true);
    expect(exports).toContain(name === 'main' ? 'main' : 'quickDetect');
  });

  test.each(BUNDLES)('%s runs without a code cache', async (name) => {
    rmSync(file(`${name}.cache`));
    expect((await load(name)).exports).toContain(name === 'main' ? 'main' : 'quickDetect');
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
      require(${JSON.stringify(join(copy, 'bin/load.js'))}).load('main').exports.main(['', '', '--help']);
    `;
    const { stderr } = await attempt(process.execPath, ['--enable-source-maps', '--eval', script], {
      env: { METAHUB_DEBUG: '1' },
    });
    expect(stderr).toMatch(/src\/cli\/main\.ts:\d+/);
  });
});

describe('the package', () => {
  test('ships what bin/metahub.js needs, its documents, and neither sources nor tests', async () => {
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
      'bin/load.js',
      'bin/metahub.js',
      'bin/node-version.js',
      'bin/package.json',
      'dist/program/detect.js',
      'dist/program/detect.js.map',
      'dist/program/hash-worker.js',
      'dist/program/hash-worker.js.map',
      'dist/program/judge-worker.js',
      'dist/program/judge-worker.js.map',
      'dist/program/machine-worker.js',
      'dist/program/machine-worker.js.map',
      'dist/program/main.js',
      'dist/program/main.js.map',
      'dist/program/package.json',
      'dist/program/tags-worker.js',
      'dist/program/tags-worker.js.map',
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
