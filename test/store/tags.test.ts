import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { layoutOf, prepareLayout } from '../../src/store/layout.ts';
import { createTagFiles } from '../../src/store/tags.ts';
import { dataDirectory } from '../support/store.ts';
import { repository, tagged } from '../support/upstream.ts';

const app = repository('team/app');
const recordOf = (content: string) => ({
  digest: digestOf(Buffer.from(content)),
  mediaType: MEDIA_TYPE.ociIndex,
  sizeBytes: content.length,
});
const record = recordOf('x');

function tagOf(name: string) {
  const reference = tagged(name);
  if (reference.kind !== 'tag') throw new Error(name);
  return reference.tag;
}

async function layoutHere() {
  const layout = layoutOf(await dataDirectory());
  await prepareLayout(layout);
  return layout;
}

describe('tags on disk', () => {
  test('a tag that comes, moves, is confirmed and goes', async () => {
    const layout = await layoutHere();
    const files = createTagFiles(layout);
    expect(await files.find(app, tagOf('v1'))).toBeUndefined();
    expect(await files.put(app, tagOf('v1'), record)).toBe(true);
    expect(await files.put(app, tagOf('v1'), record)).toBe(false);
    expect(await files.put(app, tagOf('v1'), recordOf('other'))).toBe(true);
    expect(await files.find(app, tagOf('v1'))).toMatchObject(recordOf('other'));
    expect(await files.all()).toEqual([{ name: 'registry.test/team/app:v1', ...recordOf('other') }]);
    expect(await files.put(app, tagOf('v1'), undefined)).toBe(true);
    expect(await files.put(app, tagOf('v1'), undefined)).toBe(false);
    expect(await files.find(app, tagOf('v1'))).toBeUndefined();
    expect(await readdir(layout.tags)).toEqual([]);
  });

  test('two daemons that learn of the same repository at once lose nothing', async () => {
    const layout = await layoutHere();
    const daemons = [createTagFiles(layout), createTagFiles(layout)];
    const names = Array.from({ length: 40 }, (_, at) => tagOf(`v${at}`));
    await Promise.all(
      names.flatMap((tag, at) => daemons.map((files) => files.put(app, tag, recordOf(`image ${at}`)))),
    );
    for (const files of [...daemons, createTagFiles(layout)]) {
      for (const [at, tag] of names.entries()) {
        expect(await files.find(app, tag)).toMatchObject(recordOf(`image ${at}`));
      }
    }
  });

  test('a file that names another tag says nothing', async () => {
    const layout = await layoutHere();
    await createTagFiles(layout).put(app, tagOf('v1'), record);
    const [file = ''] = await readdir(layout.tags);
    const path = join(layout.tags, file);
    await writeFile(path, (await readFile(path, 'utf8')).replace('team/app:v1', 'team/app:v2'));
    expect(await createTagFiles(layout).find(app, tagOf('v1'))).toBeUndefined();
    expect(await createTagFiles(layout).all()).toMatchObject([{ name: 'registry.test/team/app:v2' }]);
  });

  test('include what another daemon has recorded since', async () => {
    const layout = await layoutHere();
    const [one, two] = [createTagFiles(layout), createTagFiles(layout)];
    await one.put(app, tagOf('v1'), record);
    expect(await two.find(app, tagOf('v1'))).toMatchObject(record);
    await one.put(app, tagOf('v1'), recordOf('newer'));
    expect(await two.find(app, tagOf('v1'))).toMatchObject(recordOf('newer'));
  });

  test('beyond the bound, those that came or moved longest ago are forgotten', async () => {
    const layout = await layoutHere();
    const files = createTagFiles(layout, { maxFiles: 20 });
    for (let at = 0; at < 30; at += 1) await files.put(app, tagOf(`build-${at}`), recordOf(String(at)));
    expect((await readdir(layout.tags)).length).toBeLessThanOrEqual(20);
    expect(await files.find(app, tagOf('build-0'))).toBeUndefined();
    expect(await files.find(app, tagOf('build-29'))).toMatchObject(recordOf('29'));
  });

  test('are kept in memory when the disk refuses, and written when it can', async () => {
    const layout = await layoutHere();
    const files = createTagFiles({ ...layout, incoming: `${layout.incoming}/not/there` });
    await expect(files.put(app, tagOf('v1'), record)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await files.find(app, tagOf('v1'))).toEqual(record);
    expect(await createTagFiles(layout).find(app, tagOf('v1'))).toBeUndefined();
    await prepareLayout({ ...layout, incoming: `${layout.incoming}/not/there` });
    expect(await files.put(app, tagOf('v1'), record)).toBe(true);
    expect(await createTagFiles(layout).find(app, tagOf('v1'))).toMatchObject(record);
  });
});
