import { chown, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { incomingPath, makeDirectory, removeLeftovers, replaceFile } from '../../src/lib/atomic-file.ts';
import { temporaryFolder } from '../support/folder.ts';

let folder: string;
beforeEach(() => {
  folder = temporaryFolder();
});

describe('makeDirectory()', () => {
  test('creates a directory and its parents, also when several calls do so at once', async () => {
    const path = join(folder, 'a', 'b', 'c');
    await Promise.all([makeDirectory(path, 0o700), makeDirectory(path, 0o700)]);
    await makeDirectory(path, 0o700);
    expect((await stat(path)).mode & 0o777).toBe(0o700);
  });

  test('fails where a file exists', async () => {
    await writeFile(join(folder, 'file'), '');
    await expect(makeDirectory(join(folder, 'file'), 0o700)).rejects.toMatchObject({ code: 'EEXIST' });
    await expect(makeDirectory(join(folder, 'file', 'a'), 0o700)).rejects.toMatchObject({ code: 'ENOTDIR' });
  });

  test('fails, instead of retrying without end, in a file system that accepts no directories', async () => {
    await expect(makeDirectory('/proc/metahub/v1', 0o700)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe.runIf(process.getuid?.() === 0)('a file in a directory of another user', () => {
  const OTHER = { uid: 12_345, gid: 12_346 };

  test('that root creates belongs to the directory’s owner, who could not read it otherwise', async () => {
    await chown(folder, OTHER.uid, OTHER.gid);
    await makeDirectory(join(folder, 'a', 'b'), 0o700);
    await replaceFile(join(folder, 'a', 'file'), Buffer.from('new'));
    for (const path of ['a', 'a/b', 'a/file']) expect(await stat(join(folder, path))).toMatchObject(OTHER);
  });
});

describe('replaceFile()', () => {
  const text = (path: string) => readFile(path, 'utf8');

  test('writes the new bytes with mode 0600 and leaves no other file', async () => {
    const path = join(folder, 'file');
    expect(await replaceFile(path, Buffer.from('new'))).toBe(true);
    expect(await text(path)).toBe('new');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(folder)).toEqual(['file']);
  });

  test('gives the file exactly the requested mode, whatever the umask', async () => {
    const path = join(folder, 'file');
    const former = process.umask(0o077);
    try {
      await replaceFile(path, Buffer.from('new'), { mode: 0o664 });
    } finally {
      process.umask(former);
    }
    expect((await stat(path)).mode & 0o777).toBe(0o664);
  });

  test('keeps an existing file with onlyIfAbsent, and returns false', async () => {
    const path = join(folder, 'file');
    await writeFile(path, 'old');
    expect(await replaceFile(path, Buffer.from('new'), { onlyIfAbsent: true })).toBe(false);
    expect(await text(path)).toBe('old');
    expect(await readdir(folder)).toEqual(['file']);
  });

  test('lets exactly one of many concurrent writers succeed with onlyIfAbsent', async () => {
    const path = join(folder, 'file');
    const outcomes = await Promise.all(
      ['a', 'b', 'c', 'd'].map((name) => replaceFile(path, Buffer.from(name), { onlyIfAbsent: true })),
    );
    expect(outcomes.filter((isWritten) => isWritten)).toHaveLength(1);
    expect(await text(path)).toBe(['a', 'b', 'c', 'd'][outcomes.indexOf(true)]);
  });

  test('keeps the old file and no temporary one when the new file cannot be renamed', async () => {
    const path = join(folder, 'folder');
    await makeDirectory(path, 0o700);
    await writeFile(join(path, 'inside'), '');
    await expect(replaceFile(path, Buffer.from('new'))).rejects.toMatchObject({ code: 'EISDIR' });
    expect(await readdir(folder)).toEqual(['folder']);
  });

  test.runIf(process.getuid?.() === 0)('gives the file to the requested owner', async () => {
    const path = join(folder, 'file');
    await replaceFile(path, Buffer.from('new'), { owner: { uid: 1234, gid: 2345 } });
    expect(await stat(path)).toMatchObject({ uid: 1234, gid: 2345 });
  });
});

describe('removeLeftovers()', () => {
  const NOW_MS = 1_700_000_000_000;
  const DAY_MS = 24 * 60 * 60 * 1000;
  const ofThis = () => basename(incomingPath({ incoming: folder }));

  test.each([
    ['keeps', 'a file of this process', ofThis, 0],
    ['keeps', 'one of this process of almost a day ago', ofThis, DAY_MS - 1],
    ['removes', 'one of this process of a day ago', ofThis, DAY_MS],
    ['keeps', 'one of another process that runs', () => `${process.ppid}-x-1`, DAY_MS - 1],
    ['removes', 'one of such a process of a day ago', () => `${process.ppid}-x-1`, DAY_MS],
    ['removes', 'one of an earlier process with the same id', () => `${process.pid}-x-1`, 0],
    // No process has an id this high.
    ['removes', 'one of a process that has ended', () => '4194305-x-1', 0],
    ['removes', 'one that names no process', () => 'x-1', 0],
  ])('%s %s', async (what, _, nameOf, ageMs) => {
    const name = nameOf();
    await writeFile(join(folder, name), 'half');
    const written = new Date(NOW_MS - ageMs);
    await utimes(join(folder, name), written, written);
    const isRemoved = what === 'removes';
    expect(await removeLeftovers({ incoming: folder }, NOW_MS)).toBe(isRemoved ? 1 : 0);
    expect(await readdir(folder)).toEqual(isRemoved ? [] : [name]);
  });
});
