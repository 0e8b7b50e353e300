import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeDataDirectory } from '../../../src/cli/serve/compose.ts';
import { dataDirectory } from '../../support/store.ts';

test('makeDataDirectory() creates a directory with its parents, for its user only, and accepts an existing one', async () => {
  const path = join(await dataDirectory(), 'a/b/c');
  await makeDataDirectory(path);
  await makeDataDirectory(path);
  expect((await stat(path)).mode & 0o777).toBe(0o700);
});

test.each([
  ['a file', async () => (await fileIn(await dataDirectory())).path],
  ['below a file', async () => join((await fileIn(await dataDirectory())).path, 'data')],
  ['where the kernel makes no directories', async () => '/proc/metahub/data'],
  ['a name too long', async () => join(await dataDirectory(), 'x'.repeat(300))],
])('makeDataDirectory() refuses %s at once, with the next step', async (_, pathOf) => {
  const path = await pathOf();
  await expect(makeDataDirectory(path)).rejects.toMatchObject({
    message: expect.stringContaining(`cannot create the directory ${path}`),
    nextStep: expect.stringContaining('--data DIR'),
    exitStatus: 2,
  });
});

async function fileIn(folder: string) {
  const path = join(folder, 'file');
  await writeFile(path, '');
  return { path };
}
