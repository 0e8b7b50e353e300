import { rm, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { createBestEffortWrites, createDiskHealth, FreeSpaceFloor } from '../../src/store/disk.ts';
import { layoutOf, prepareLayout } from '../../src/store/layout.ts';
import { dataDirectory } from '../support/store.ts';

const failure = (code: string) => Object.assign(new Error(code), { code });

function healthWithLog() {
  const lines: unknown[] = [];
  const health = createDiskHealth('/data', (level, event, _message, fields) =>
    lines.push([level, event, fields]),
  );
  return { lines, health };
}

const NEXT_STEPS: Readonly<Record<string, string>> = {
  ENOSPC: 'Free space on it',
  EDQUOT: 'Free space on it',
  EACCES: 'Let the user of this process write the directory',
  EPERM: 'Let the user of this process write the directory',
  EROFS: 'Mount it writable',
  EMFILE: 'LimitNOFILE=',
  ENFILE: 'fs.file-max',
  EIO: 'on another disk (--data DIR)',
};

/** What is logged when writes fail with this code, for this reason. */
function refused(code: string, reason: string) {
  const step = NEXT_STEPS[code];
  const nextStep = step === undefined ? {} : { nextStep: expect.stringContaining(step) };
  return ['warning', 'cache-unwritable', { directory: '/data', reason, code, ...nextStep }];
}
const WRITES_AGAIN = ['notice', 'cache-writable', { directory: '/data' }];

test.each([
  ['ENOSPC', 'the disk is full', 1000],
  ['EDQUOT', 'the disk quota is used up', 1000],
  ['EACCES', 'permission is denied', 0],
  ['EPERM', 'permission is denied', 0],
  ['EROFS', 'the disk is read-only', 0],
  ['EMFILE', 'the process has no file handles left', 0],
  ['ENFILE', 'the system has no file handles left', 0],
  ['EIO', 'the disk fails', 0],
  // Any other one speaks for itself.
  ['ESTALE', 'ESTALE', 0],
])(
  'after a write of 1000 bytes fails with %s (%s), the trouble ends with a write of %d bytes',
  (code, why, neededBytes) => {
    const { health, lines } = healthWithLog();
    health.report(failure(code), 1000);
    if (neededBytes > 0) health.over(neededBytes - 1);
    expect(health.trouble()).toBe(why);
    health.over(neededBytes);
    expect(health.trouble()).toBeUndefined();
    health.over(neededBytes);
    expect(lines).toEqual([refused(code, why), WRITES_AGAIN]);
  },
);

test('a different failure is reported again, the same failure is not', () => {
  const { health, lines } = healthWithLog();
  for (const code of ['ENOSPC', 'ENOSPC', 'EIO', 'EIO']) health.report(failure(code), 1000);
  expect(health.trouble()).toBe('the disk fails');
  // What the full disk needed counts no more.
  health.over(0);
  health.report(new TypeError('not one of the disk'));
  expect(lines).toEqual([
    refused('ENOSPC', 'the disk is full'),
    refused('EIO', 'the disk fails'),
    WRITES_AGAIN,
    refused('TypeError', 'not one of the disk'),
  ]);
});

describe('a failed write that must not make the operation fail', () => {
  /** Writes of 1000 bytes to a store of 5000 on disk, of which an eviction frees these. */
  async function writesTo({ freedBytes = 0, freeBytes = 1e9 }) {
    const layout = layoutOf(await dataDirectory());
    await prepareLayout(layout);
    const read = async () => ({ totalBytes: 1e9, freeBytes });
    const floor = new FreeSpaceFloor({ directory: '/', minFreeShare: 0.1, log: () => {}, read });
    const done: string[] = [];
    const inventory = {
      heldBytes: 5000,
      freeUp: async (sizeBytes: number) => {
        done.push(`free ${sizeBytes}`);
        inventory.heldBytes -= freedBytes;
      },
    };
    const { health, lines } = healthWithLog();
    const writes = createBestEffortWrites({ layout, inventory, trouble: health, floor });
    /** Writes, failing with these codes one after another. */
    const attempt = (...codes: readonly string[]) => {
      const left = [...codes];
      return writes.attempt(1000, async () => {
        done.push('write');
        const code = left.shift();
        if (code !== undefined) throw failure(code);
      });
    };
    return { attempt, writes, done, lines, layout };
  }

  test.each([
    ['that works is tried once', [], 0, true, ['write'], []],
    ['is tried again with the room of an eviction', ['ENOSPC'], 1, true, ['write', 'free 1000', 'write'], []],
    [
      'is given up when an eviction frees nothing',
      ...[['ENOSPC'], 0, false, ['write', 'free 1000']],
      [refused('ENOSPC', 'the disk is full')],
    ],
    [
      'is given up when it does not fit again',
      ...[['EDQUOT', 'ENOSPC'], 1, false, ['write', 'free 1000', 'write']],
      [refused('ENOSPC', 'the disk is full')],
    ],
    [
      'evicts nothing for a disk that fails',
      ...[['EIO'], 1, false, ['write']],
      [refused('EIO', 'the disk fails')],
    ],
    // Whatever kept its folder away has been reported.
    ['into a folder that stays away is not reported', ['ENOENT', 'ENOENT'], 1, false, ['write', 'write'], []],
  ] as [string, string[], number, boolean, string[], unknown[]][])(
    '%s',
    async (_, codes, freedBytes, isWritten, steps, reported) => {
      const { attempt, done, lines } = await writesTo({ freedBytes });
      expect(await attempt(...codes)).toBe(isWritten);
      expect(done).toEqual(steps);
      expect(lines).toEqual(reported);
    },
  );

  test('into a directory that was removed creates all its directories again', async () => {
    const { writes, layout, lines } = await writesTo({});
    await rm(layout.root, { recursive: true });
    expect(await writes.attempt(1, () => writeFile(layout.index, ''))).toBe(true);
    expect(lines).toEqual([]);
    await writeFile(`${layout.incoming}/file`, '');
  });

  test('into a directory that cannot be created again reports the reason', async () => {
    const { attempt, layout, done, lines } = await writesTo({});
    await rm(layout.root, { recursive: true });
    await writeFile(layout.root, 'no folder');
    expect(await attempt('ENOENT')).toBe(false);
    expect(done).toEqual(['write']);
    expect(lines).toMatchObject([['warning', 'cache-unwritable', { code: 'ENOTDIR' }]]);
  });

  test('is not started when the disk is almost full', async () => {
    const { attempt, done, lines } = await writesTo({ freeBytes: 1 });
    expect(await attempt()).toBe(false);
    expect(done).toEqual(['free 1000']);
    expect(lines).toEqual([refused('ENOSPC', 'the disk is full')]);
  });
});
