import { closeSync, openSync } from 'node:fs';
import { chmod, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { BufferPool, hasDigest } from '../../src/store/file-io.ts';
import { layoutOf, prepareLayout } from '../../src/store/layout.ts';
import { OpenFiles } from '../../src/store/open-files.ts';
import { dataDirectory } from '../support/store.ts';
import { asNobody, CAN_BE_UNPRIVILEGED } from '../support/unprivileged.ts';
import { afterTest } from '../support/upstream.ts';

const RIGHT = Buffer.from('what the digest says');
const WRONG = Buffer.from('what someone wrote!!');
const DIGEST = digestOf(RIGHT);

/** Open files of a store that holds this content and can remove nothing, and what they check and report. */
async function unremovable(content: Buffer) {
  const directory = await dataDirectory();
  const layout = layoutOf(directory);
  await prepareLayout(layout);
  const path = layout.blob(DIGEST);
  const folder = dirname(path);
  await writeFile(path, content, { mode: 0o644 });
  const setMode = async (mode: number) => {
    for (const one of [directory, layout.root, dirname(folder)]) await chmod(one, 0o755);
    await chmod(folder, mode);
  };
  await setMode(0o555);
  afterTest(() => setMode(0o755));
  const events: string[] = [];
  const files = new OpenFiles({
    layout,
    pool: new BufferPool(),
    checkFile: async (fd, sizeBytes, digest) => {
      events.push('checked');
      return { hasDigest: await hasDigest(fd, sizeBytes, digest), sums: undefined };
    },
    onCorrupt: (_, why) => events.push(why),
    onMissing: () => events.push('missing'),
  });
  afterTest(() => files.closeIdle());
  return {
    files,
    path,
    events,
    /** Whether it can be opened now. */
    opens: async () => {
      const opened = await files.open(DIGEST);
      opened?.close();
      return opened !== undefined;
    },
    /** Another process puts a file in its place. */
    replaceBy: async (bytes: Buffer) => {
      const written = join(layout.incoming, 'other');
      await writeFile(written, bytes, { mode: 0o644 });
      await setMode(0o755);
      await rename(written, path);
      await setMode(0o555);
    },
  };
}

const REPORTED = ['checked', 'other bytes than its digest says'];

describe.runIf(CAN_BE_UNPRIVILEGED)('corrupt content that cannot be removed', () => {
  test('is read and reported once, and never served', async () => {
    const { opens, events } = await unremovable(WRONG);
    await asNobody(async () => {
      expect([await opens(), await opens(), await opens()]).toEqual([false, false, false]);
    });
    expect(events).toEqual(REPORTED);
  });

  test('is not served again after a reader found wrong bytes, although the file is still open', async () => {
    const { opens, files, events } = await unremovable(RIGHT);
    await asNobody(async () => {
      expect(await opens()).toBe(true);
      await files.drop(DIGEST);
      expect([files.openAgain(DIGEST), await opens(), await opens()]).toEqual([undefined, false, false]);
    });
    expect(events).toEqual(REPORTED);
  });

  test.each([
    ['right', RIGHT, true, [...REPORTED, 'checked']],
    ['other wrong', WRONG, false, [...REPORTED, ...REPORTED]],
  ])(
    'is verified again when another process has put %s bytes in its place',
    async (_, bytes, opened, all) => {
      const { opens, replaceBy, events } = await unremovable(WRONG);
      await asNobody(async () => expect(await opens()).toBe(false));
      await replaceBy(bytes);
      await asNobody(async () => expect([await opens(), await opens()]).toEqual([opened, opened]));
      expect(events).toEqual(all);
    },
  );

  test('is served once this process has verified the file while writing it', async () => {
    const { opens, files, path, events } = await unremovable(WRONG);
    await asNobody(async () => expect(await opens()).toBe(false));
    // In the same place, of the same size and at the same time: its identity cannot tell it apart.
    const fd = openSync(path, 'r');
    afterTest(() => closeSync(fd));
    files.trust(DIGEST, fd);
    await asNobody(async () => expect(await opens()).toBe(true));
    expect(events).toEqual(REPORTED);
  });
});
