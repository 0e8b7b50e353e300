import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';
import { FileLockTimeoutError, withFileLock } from '../../src/lib/file-lock.ts';
import { bundled } from '../support/bundled.ts';
import { temporaryFolder } from '../support/folder.ts';
import { afterTest } from '../support/upstream.ts';

const MODULE = pathToFileURL(await bundled(new URL('../../src/lib/file-lock.ts', import.meta.url))).href;

async function lockPath(): Promise<string> {
  const folder = temporaryFolder();
  return join(folder, '.lock');
}

/** A process that takes the lock, says so, and keeps it until it ends. */
async function otherHolder(path: string) {
  const body = `import(${JSON.stringify(MODULE)}).then(({ withFileLock }) =>
    withFileLock(${JSON.stringify(path)}, () => new Promise(() => { console.log('held'); setInterval(() => {}, 1000); })))`;
  const child = spawn(process.execPath, ['--eval', body], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  afterTest(() => void child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return child;
}

describe('withFileLock()', () => {
  test('runs tasks of several processes one after another: no increment is lost', async () => {
    const path = await lockPath();
    const counter = `${path}.count`;
    await writeFile(counter, '0');
    const body = `import(${JSON.stringify(MODULE)}).then(async ({ withFileLock }) => {
      const { readFile, writeFile } = await import('node:fs/promises');
      for (let round = 0; round < 25; round += 1) await withFileLock(${JSON.stringify(path)}, async () => {
        const count = Number(await readFile(${JSON.stringify(counter)}, 'utf8'));
        await new Promise((resolve) => setImmediate(resolve));
        await writeFile(${JSON.stringify(counter)}, String(count + 1));
      });
    })`;
    const children = Array.from({ length: 3 }, () =>
      spawn(process.execPath, ['--eval', body], { stdio: 'inherit' }),
    );
    const codes = await Promise.all(children.map((child) => once(child, 'close').then(([code]) => code)));
    expect(codes).toEqual([0, 0, 0]);
    expect(await readFile(counter, 'utf8')).toBe('75');
    expect(await readdir(join(path, '..'))).toEqual(['.lock.count']);
  });

  test('releases the lock when the task fails', async () => {
    const path = await lockPath();
    await expect(withFileLock(path, () => Promise.reject(new Error('the task failed')))).rejects.toThrow(
      'the task failed',
    );
    expect(await withFileLock(path, async () => 'again')).toBe('again');
  });

  test('waits for a process that holds the lock, and fails after the time limit', async () => {
    const path = await lockPath();
    await otherHolder(path);
    // Old or not: its owner runs.
    await utimes(path, 0, 0);
    await expect(withFileLock(path, async () => {}, { timeoutMs: 100 })).rejects.toThrow(
      FileLockTimeoutError,
    );
  });

  test('takes over the lock of a process that was killed', async () => {
    const path = await lockPath();
    const holder = await otherHolder(path);
    holder.kill('SIGKILL');
    await once(holder, 'close');
    expect(await withFileLock(path, async () => 'taken', { timeoutMs: 1000 })).toBe('taken');
  });

  test('takes over the lock of another host only when it is old', async () => {
    const path = await lockPath();
    await writeFile(path, JSON.stringify({ place: 'another host', pid: 1, token: 'x' }));
    await expect(withFileLock(path, async () => {}, { timeoutMs: 50 })).rejects.toThrow(FileLockTimeoutError);
    const old = Date.now() / 1000 - 120;
    await utimes(path, old, old);
    expect(await withFileLock(path, async () => 'taken', { timeoutMs: 1000 })).toBe('taken');
  });

  test('tells a task that its lock was taken over, and keeps the new owner’s lock', async () => {
    const path = await lockPath();
    const theirs = JSON.stringify({ place: 'another host', pid: 1, token: 'x' });
    await expect(
      withFileLock(path, async (lock) => {
        await lock.assertHeld();
        await writeFile(path, theirs);
        await lock.assertHeld();
      }),
    ).rejects.toThrow('taken over');
    expect(await readFile(path, 'utf8')).toBe(theirs);
  });
});
