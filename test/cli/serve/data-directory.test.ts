import { spawnSync } from 'node:child_process';
import { stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeDataDirectory } from '../../../src/cli/serve/data-directory.ts';
import { openGapRecord } from '../../../src/cli/serve/gap-record.ts';
import { createMetrics } from '../../../src/server/metrics.ts';
import { metahubProgram } from '../../support/metahub.ts';
import { dataDirectory } from '../../support/store.ts';

test('makeDataDirectory() creates a directory with its parents, for its user only, and accepts an existing one', async () => {
  const path = join(await dataDirectory(), 'a/b/c');
  await makeDataDirectory(path);
  await makeDataDirectory(path);
  expect((await stat(path)).mode & 0o777).toBe(0o700);
});

const REFUSED: readonly (readonly [what: string, pathOf: (folder: string) => string, why: string])[] = [
  ['a file', (folder) => `${folder}/file`, 'FOLDER/file is a file'],
  ['a path below a file', (folder) => `${folder}/file/data`, 'FOLDER/file is a file'],
  ['a link to nothing', (folder) => `${folder}/link`, 'FOLDER/link is a link to none, which is no directory'],
  ['a path below a link to nothing', (folder) => `${folder}/link/data`, 'FOLDER/link is a link to none'],
  ['a link to a file', (folder) => `${folder}/to-file`, 'FOLDER/to-file is a file'],
  ['a circle of links', (folder) => `${folder}/circle`, 'FOLDER/circle is a link to circle'],
  ['a path where the kernel makes no directories', () => '/proc/metahub/data', 'its parent can have no'],
  ['a name too long', (folder) => join(folder, 'x'.repeat(300)), 'the name is too long'],
];

async function folderOfObstacles(): Promise<string> {
  const folder = await dataDirectory();
  await writeFile(join(folder, 'file'), '');
  await symlink('none', join(folder, 'link'));
  await symlink('file', join(folder, 'to-file'));
  await symlink('circle', join(folder, 'circle'));
  return folder;
}

test.each(REFUSED)(
  'makeDataDirectory() refuses %s, names what is in the way, and says the next step',
  async (_, pathOf, why) => {
    const folder = await folderOfObstacles();
    const path = pathOf(folder);
    await expect(makeDataDirectory(path)).rejects.toMatchObject({
      message: expect.stringContaining(
        `cannot create the directory ${path}: ${why.replace('FOLDER', () => folder)}`,
      ),
      nextStep: expect.stringContaining('--data DIR'),
      exitStatus: 2,
    });
  },
);

test('metahub serve says once why a file can be no data directory', async () => {
  const path = join(await folderOfObstacles(), 'file');
  const words = ['serve', '--listen', '127.0.0.1:0', '--data', path];
  const env = { ...process.env, XDG_CONFIG_HOME: '/nonexistent' };
  const { status, stderr } = spawnSync(process.execPath, [metahubProgram, ...words], {
    env,
    encoding: 'utf8',
  });
  expect(status).toBe(2);
  expect(stderr).toBe(
    `metahub: cannot create the directory ${path}: ${path} is a file\n` +
      '  Name a directory that this user can create: --data DIR.\n',
  );
});

test('the record of gaps leaves it to the store to report a data directory that cannot be entered', async () => {
  const lines: string[] = [];
  const openIn = async (data: string) =>
    openGapRecord({
      data,
      metrics: createMetrics(),
      log: (_level, event) => lines.push(event),
      now: () => new Date(),
    });
  const folder = await folderOfObstacles();
  await openIn(join(folder, 'file'));
  expect(lines).toEqual([]);
  await writeFile(join(folder, 'gaps.json'), 'no JSON');
  await openIn(folder);
  expect(lines).toEqual(['gaps-unreadable']);
});
