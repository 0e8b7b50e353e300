import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { manualPage } from '../scripts/manual.ts';

const PAGE = fileURLToPath(new URL('../man/metahub.1', import.meta.url));

test('the manual page says what the program can do: `npm run manual` writes it', async () => {
  expect(readFileSync(PAGE, 'utf8')).toBe(await manualPage());
});

test.skipIf(spawnSync('man', ['--version']).error !== undefined)(
  'man reads the page without a warning',
  () => {
    const options = { encoding: 'utf8', env: { ...process.env, MANWIDTH: '80', LC_ALL: 'C.UTF-8' } } as const;
    const text = execFileSync('man', ['--warnings', '--local-file', PAGE], options);
    expect(text).toContain('metahub serve');
    const { stderr } = spawnSync('man', ['--warnings', '--local-file', PAGE], options);
    expect(stderr).toBe('');
  },
);
