import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { attempt } from '../support/processes.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const { isSupported } = createRequire(import.meta.url)('../../bin/metahub.js') as {
  readonly isSupported: (version: string) => boolean;
};

describe('the Node.js versions that MetaHub runs on', () => {
  test.each([
    ['16.20.2', false],
    ['18.20.8', false],
    ['20.18.9', false],
    ['20.19.0', false],
    ['20.19.1', false],
    ['20.19.2', true],
    ['20.20.0', true],
    ['20.20.2', true],
    ['21.7.3', false],
    ['22.11.0', false],
    ['22.12.0', true],
    ['23.0.0', true],
    ['24.9.0', true],
  ])('%s: %s', (version, expected) => {
    expect(isSupported(version)).toBe(expected);
  });

  test('package.json states the same versions in `engines`', () => {
    const { engines } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    expect(engines).toEqual({ node: '^20.19.2 || >=22.12.0' });
  });
});

describe('metahub on Node.js 18', () => {
  let workplace: Workplace;
  let pretend: string;

  beforeAll(() => {
    workplace = openWorkplace();
    pretend = join(workplace.directory, 'node-18.cjs');
    writeFileSync(
      pretend,
      "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '18.20.8' } });",
    );
  });
  afterAll(() => workplace.close());

  test.each([['detect'], ['serve'], ['explain', 'busybox'], ['--version'], ['--help'], []])(
    'metahub %s says which Node.js it needs, and exits with status 1',
    async (...words) => {
      const program = join(ROOT, 'bin/metahub.js');
      const { status, stdout, stderr } = await attempt(process.execPath, [
        ...['--require', pretend, program],
        ...words.filter((word) => word !== undefined),
      ]);
      expect(stderr).toMatch(
        /^metahub: needs Node\.js 20\.19\.2 or a later 20, or 22\.12 or newer; this is 18\.20\.8 \(\/.*\)\n {2}Install .*\n$/,
      );
      expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    },
  );
});
