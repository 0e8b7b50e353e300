import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { makeDirectory } from '../../src/lib/atomic-file.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'metahub-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('makeDirectory()', () => {
  test('makes a directory and those above it, also when several do so at once', async () => {
    const path = join(folder, 'a', 'b', 'c');
    await Promise.all([makeDirectory(path, 0o700), makeDirectory(path, 0o700)]);
    await makeDirectory(path, 0o700);
    expect((await stat(path)).mode & 0o777).toBe(0o700);
  });

  test('refuses where a file stands', async () => {
    await writeFile(join(folder, 'file'), '');
    await expect(makeDirectory(join(folder, 'file'), 0o700)).rejects.toMatchObject({ code: 'EEXIST' });
    await expect(makeDirectory(join(folder, 'file', 'a'), 0o700)).rejects.toMatchObject({ code: 'ENOTDIR' });
  });

  test('refuses, instead of trying for ever, in a file system that takes no directories', async () => {
    await expect(makeDirectory('/proc/metahub/v1', 0o700)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
