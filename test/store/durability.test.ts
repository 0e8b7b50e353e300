import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import { readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { layoutOf } from '../../src/store/layout.ts';
import { bundled } from '../support/bundled.ts';
import { temporaryFolder } from '../support/folder.ts';
import { describeWith } from '../support/required-programs.ts';
import { cacheAt, dataDirectory, storeAt } from '../support/store.ts';
import { readBlob, repository } from '../support/upstream.ts';

const CHILD = await bundled(new URL('../support/store-child.ts', import.meta.url));
const provenance = { repository: repository('team/app'), access: undefined };

/** One system call of the trace: `fsync` of the file that a descriptor is open on, or `rename` to a path. */
interface Step {
  readonly call: 'fsync' | 'rename';
  readonly path: string;
  /** What is renamed. */
  readonly from?: string | undefined;
}

/** What a process that stores content once syncs and renames, in order, below the data directory. */
async function trace(
  what: 'blob' | 'manifest' | 'derived',
): Promise<{ steps: readonly Step[]; data: string }> {
  const folder = temporaryFolder();
  const [data, log] = [join(folder, 'data'), join(folder, 'trace')];
  const traced = ['strace', '-f', '-y', '-o', log, '-e', 'trace=fsync,fdatasync,rename,renameat,renameat2'];
  const [program = '', ...args] = [...traced, process.execPath, CHILD, 'once', data, what];
  await promisify(execFile)(program, args, { env: { ...process.env, UV_USE_IO_URING: '0' } });
  const lines = (await readFile(log, 'utf8')).split('\n');
  const steps = lines.flatMap((line): Step[] => {
    const synced = /f(?:data)?sync\(\d+<([^>]+)>/.exec(line)?.[1];
    if (synced !== undefined) return [{ call: 'fsync', path: synced }];
    // Another thread's call may cut the line off behind the second path.
    const [, from, path] = /rename\w*\([^"]*"([^"]+)"[^"]*"([^"]+)"/.exec(line) ?? [];
    return path === undefined ? [] : [{ call: 'rename', path, from }];
  });
  return { steps: steps.filter(({ path }) => path.startsWith(data)), data };
}

/**
 * What happens to the content that gets its name in one folder of the layout: syncs of its own file, which is on its way in,
 * its rename, and syncs of the folder. Other files that are synced on their way in do not count.
 */
function around(steps: readonly Step[], folder: string): readonly string[] {
  const named = steps.find(({ call, path }) => call === 'rename' && path.includes(`${folder}/`));
  return steps.flatMap((step) => {
    if (step === named) return ['rename'];
    if (step.call === 'fsync' && step.path === named?.from) return ['fsync file'];
    return step.call === 'fsync' && step.path.endsWith(folder) ? ['fsync folder'] : [];
  });
}

describeWith(['strace'], 'what a power cut must not take', () => {
  test('a blob is synced to disk before it is renamed to its digest', async () => {
    const { steps } = await trace('blob');
    const order = around(steps, 'blobs/sha256');
    expect(order.slice(0, 2)).toEqual(['fsync file', 'rename']);
  });

  test('a record is synced to disk before it is renamed to its final name', async () => {
    const { steps } = await trace('manifest');
    const order = around(steps, 'records');
    expect(order[order.indexOf('rename') - 1]).toBe('fsync file');
  });

  test.each(['records', 'blobs/sha256'])(
    'a derived index is synced to disk and renamed in %s, and the rename is synced',
    async (folder) => {
      const order = around((await trace('derived')).steps, folder);
      const renamed = order.indexOf('rename');
      expect(order.slice(renamed - 1, renamed + 2)).toEqual(['fsync file', 'rename', 'fsync folder']);
    },
  );
});

describe('the data directory', () => {
  test('has mode 0700, like every directory in it', async () => {
    const directory = await dataDirectory();
    await storeAt(directory);
    const layout = layoutOf(directory);
    const folders = [layout.root, layout.incoming, layout.records, layout.checksums, layout.tags];
    for (const folder of [...folders, ...layout.blobDirectories]) {
      expect([folder, (await stat(folder)).mode & 0o777]).toEqual([folder, 0o700]);
    }
  });

  test('has mode 0600 for every file in it', async () => {
    const directory = await dataDirectory();
    const { cache, upstream } = await cacheAt(directory);
    await readBlob(await cache.blob(repository('team/app'), upstream.putBlob(randomBytes(2e6))));
    await cache.close();
    const { root } = layoutOf(directory);
    const names = await readdir(root, { recursive: true });
    const paths = names.map((name) => join(root, name));
    const files = paths.filter((path) => statSync(path).isFile());
    expect(files).toContainEqual(expect.stringContaining('/blobs/sha256/'));
    for (const file of files) expect([file, (await stat(file)).mode & 0o777]).toEqual([file, 0o600]);
  });

  test('loses the record and checksums of absent content only when the record is more than a minute old', async () => {
    const directory = await dataDirectory();
    const writtenMs = 1_700_000_000_000;
    let now = writtenMs + 60_000;
    const { store } = await storeAt(directory, { now: () => now });
    const layout = layoutOf(directory);
    const digest = digestOf(randomBytes(8));
    const record = layout.record(digest);
    const sums = layout.sums(digest);
    await writeFile(record, '{}');
    await writeFile(sums, 'checksums');
    await utimes(record, new Date(writtenMs), new Date(writtenMs));
    expect(await store.stock.removeOrphans()).toBe(0);
    await stat(record);
    now += 1;
    expect(await store.stock.removeOrphans()).toBe(1);
    for (const path of [record, sums]) await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

test.each([
  [100_000, true],
  [100_001, false],
])(
  'of a blob of unknown size in a store limited to 100,000 bytes, %d bytes are stored: %s',
  async (sizeBytes, isStored) => {
    const { store } = await storeAt(await dataDirectory(), { maxBytes: 100_000 });
    const bytes = randomBytes(sizeBytes);
    const ingest = await store.ingest(digestOf(bytes), undefined, provenance);
    const written = [
      await ingest.write(bytes.subarray(0, 60_000)),
      await ingest.write(bytes.subarray(60_000)),
    ];
    expect(written).toEqual([true, isStored]);
    expect(await ingest.verify()).toBe(true);
    await ingest.close();
  },
);
