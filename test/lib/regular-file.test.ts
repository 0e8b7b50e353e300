import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { readTextFile, readTextFileSync } from '../../src/lib/regular-file.ts';
import { temporaryFolder } from '../support/folder.ts';

async function socketAt(path: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(path, resolve));
  onTestFinished(() => void server.close());
}

const READERS = [
  ['readTextFile()', readTextFile],
  [
    'readTextFileSync()',
    async (path: string, { maxBytes }: { maxBytes?: number } = {}) => readTextFileSync(path, maxBytes),
  ],
] as const;

describe.each(READERS)('%s', (_, read) => {
  test('reads a file, also through links', async () => {
    const folder = temporaryFolder();
    const text = 'é'.repeat(100_000);
    writeFileSync(join(folder, 'file'), text);
    symlinkSync('file', join(folder, 'link'));
    symlinkSync('link', join(folder, 'second'));
    expect(await read(join(folder, 'second'))).toBe(text);
  });

  test('reads a generated file, whose size is 0', async () => {
    expect(await read('/proc/self/status')).toContain('Name:');
  });

  test.each([
    ['a FIFO', (path: string) => void execFileSync('mkfifo', [path])],
    ['a socket', socketAt],
    ['a link to a device', (path: string) => symlinkSync('/dev/zero', path)],
    ['a link to the null device', (path: string) => symlinkSync('/dev/null', path)],
    [
      'a link to a FIFO',
      (path: string) => {
        execFileSync('mkfifo', [`${path}-target`]);
        symlinkSync(`${path}-target`, path);
      },
    ],
  ])('refuses %s at once', async (_what, make) => {
    const path = join(temporaryFolder(), 'file');
    await make(path);
    await expect(read(path)).rejects.toMatchObject({
      code: 'ENOTREG',
      message: `${path} is not a regular file`,
    });
  });

  test('rejects for a directory and a missing file with the usual codes', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'folder'));
    await expect(read(join(folder, 'folder'))).rejects.toMatchObject({ code: 'EISDIR' });
    await expect(read(join(folder, 'none'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('reads exactly the maximum number of bytes, and rejects a larger file', async () => {
    const path = join(temporaryFolder(), 'file');
    writeFileSync(path, 'x'.repeat(100));
    expect(await read(path, { maxBytes: 100 })).toHaveLength(100);
    appendFileSync(path, 'x');
    await expect(read(path, { maxBytes: 100 })).rejects.toMatchObject({ code: 'EFBIG' });
  });
});

test('a file descriptor that a shell passes is read whatever its type', () => {
  const module = new URL('../../src/lib/regular-file.ts', import.meta.url).href;
  const script = `import(${JSON.stringify(module)})
    .then(({ readTextFile }) => readTextFile(process.argv[1]))
    .then((text) => process.stdout.write(text))`;
  const node = [process.execPath, '--import', 'tsx', '--eval', script];
  const words = ['-c', '"$@" <(printf passed)', 'bash', ...node];
  expect(execFileSync('bash', words, { encoding: 'utf8' })).toBe('passed');
});
