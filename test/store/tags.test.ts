import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import type { Tag } from '../../src/oci/reference.ts';
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

/** The file of the tag v1 of that record, or of one that is wrong somewhere. */
const written = (wrong: Readonly<Record<string, unknown>>) =>
  JSON.stringify({ name: 'registry.test/team/app:v1', ...record, ...wrong });

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
  test('a tag is recorded, moved, confirmed and removed', async () => {
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

  test('two daemons that record tags of the same repository at once lose none', async () => {
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

  test('a file whose content names another tag is ignored', async () => {
    const layout = await layoutHere();
    await createTagFiles(layout).put(app, tagOf('v1'), record);
    const [file = ''] = await readdir(layout.tags);
    const path = join(layout.tags, file);
    await writeFile(path, (await readFile(path, 'utf8')).replace('team/app:v1', 'team/app:v2'));
    expect(await createTagFiles(layout).find(app, tagOf('v1'))).toBeUndefined();
    expect(await createTagFiles(layout).all()).toMatchObject([{ name: 'registry.test/team/app:v2' }]);
  });

  test('include the tags that another daemon has recorded since', async () => {
    const layout = await layoutHere();
    const [one, two] = [createTagFiles(layout), createTagFiles(layout)];
    await one.put(app, tagOf('v1'), record);
    expect(await two.find(app, tagOf('v1'))).toMatchObject(record);
    await one.put(app, tagOf('v1'), recordOf('newer'));
    expect(await two.find(app, tagOf('v1'))).toMatchObject(recordOf('newer'));
  });

  test('are kept in memory while writes fail, and written once they succeed', async () => {
    const layout = await layoutHere();
    const files = createTagFiles({ ...layout, incoming: `${layout.incoming}/not/there` });
    await expect(files.put(app, tagOf('v1'), record)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await files.find(app, tagOf('v1'))).toEqual(record);
    expect(await createTagFiles(layout).find(app, tagOf('v1'))).toBeUndefined();
    await prepareLayout({ ...layout, incoming: `${layout.incoming}/not/there` });
    expect(await files.put(app, tagOf('v1'), record)).toBe(true);
    expect(await createTagFiles(layout).find(app, tagOf('v1'))).toMatchObject(record);
  });

  test('above the limit, a tenth is removed at once: the tags recorded or moved longest ago', async () => {
    const layout = await layoutHere();
    const files = createTagFiles(layout, { tagsMax: 20 });
    const counts: number[] = [];
    for (let at = 0; at < 24; at += 1) {
      await files.put(app, tagOf(`build-${at}`), recordOf(String(at)));
      // A tag that moves or is confirmed takes no further file.
      for (const turn of [at, at]) await files.put(app, tagOf('build-0'), recordOf(`moved ${turn}`));
      counts.push((await readdir(layout.tags)).length);
    }
    expect(counts.slice(18)).toEqual([19, 20, 18, 19, 20, 18]);
    const left = (await files.all()).map(({ name }) => Number(name.split('-').at(-1)));
    expect(left.sort((a, b) => a - b)).toEqual([0, ...Array.from({ length: 17 }, (_, at) => at + 7)]);
  });

  test('are kept in memory up to the limit while writes fail, those used longest ago are dropped', async () => {
    const layout = await layoutHere();
    const files = createTagFiles({ ...layout, incoming: `${layout.incoming}/not/there` }, { tagsMax: 20 });
    const names = Array.from({ length: 21 }, (_, at) => tagOf(`v${at}`));
    const put = (tag: Tag) => expect(files.put(app, tag, record)).rejects.toMatchObject({ code: 'ENOENT' });
    for (const tag of names.slice(0, -1)) await put(tag);
    expect(await files.find(app, names[0] as Tag)).toEqual(record);
    await put(names[20] as Tag);
    for (const at of [0, 2, 20]) expect(await files.find(app, names[at] as Tag)).toEqual(record);
    expect(await files.find(app, names[1] as Tag)).toBeUndefined();
  });

  test('are counted together with those of earlier processes', async () => {
    const layout = await layoutHere();
    const earlier = createTagFiles(layout);
    for (let at = 0; at < 20; at += 1) await earlier.put(app, tagOf(`v${at}`), recordOf(String(at)));
    await createTagFiles(layout, { tagsMax: 20 }).put(app, tagOf('new'), record);
    expect(await readdir(layout.tags)).toHaveLength(18);
  });

  test.each([
    ['', 'nothing'],
    ['{"name":"registry.test/team/app:v1"', 'half of it'],
    ['null', 'null'],
    ['7', 'a number'],
    [written({ name: undefined }), 'no name'],
    [written({ name: 7 }), 'a name that is none'],
    [written({ digest: undefined }), 'no digest'],
    [written({ digest: 7 }), 'a number as a digest'],
    [written({ digest: 'sha256:abc' }), 'a digest that is none'],
    [written({ mediaType: undefined }), 'no media type'],
    [written({ sizeBytes: undefined }), 'no size'],
    [written({ sizeBytes: '1' }), 'a size that is none'],
  ])('a file that contains %s is no tag: %s', async (text) => {
    const layout = await layoutHere();
    const files = createTagFiles(layout);
    await files.put(app, tagOf('v1'), record);
    const [file = ''] = await readdir(layout.tags);
    await writeFile(join(layout.tags, file), written({}));
    expect(await files.find(app, tagOf('v1'))).toMatchObject(record);
    await writeFile(join(layout.tags, file), text);
    expect(await files.find(app, tagOf('v1'))).toBeUndefined();
    expect(await files.all()).toEqual([]);
    expect(await files.tagsOf(app)).toEqual([]);
    expect(await files.put(app, tagOf('v1'), record)).toBe(true);
  });

  test('a directory in place of a tag file is ignored', async () => {
    const layout = await layoutHere();
    const files = createTagFiles(layout);
    await files.put(app, tagOf('v1'), record);
    const [file = ''] = await readdir(layout.tags);
    await rm(join(layout.tags, file));
    await mkdir(join(layout.tags, file));
    expect(await files.find(app, tagOf('v1'))).toBeUndefined();
    expect(await files.all()).toEqual([]);
  });
});

describe('tagsOf()', () => {
  test('returns only the tags of the repository, the most recently served first', async () => {
    const layout = await layoutHere();
    const earlier = createTagFiles(layout);
    for (const name of ['v1', 'v2', 'v3']) await earlier.put(app, tagOf(name), recordOf(name));
    await earlier.put(repository('team/other'), tagOf('v4'), record);
    const files = createTagFiles(layout);
    expect((await files.tagsOf(app)).toSorted()).toEqual(['v1', 'v2', 'v3']);
    for (const name of ['v3', 'v1', 'v5', 'v2']) await files.put(app, tagOf(name), recordOf(name));
    expect(await files.tagsOf(app)).toEqual(['v2', 'v5', 'v1', 'v3']);
    // Of one that the registry has no more nothing can be derived. A process that starts now does not know it either.
    await files.put(app, tagOf('v5'), undefined);
    expect(await files.tagsOf(app)).toEqual(['v2', 'v1', 'v3']);
    expect((await createTagFiles(layout).tagsOf(app)).toSorted()).toEqual(['v1', 'v2', 'v3']);
    await files.put(app, tagOf('v5'), recordOf('v5'));
    expect(await files.tagsOf(app)).toEqual(['v5', 'v2', 'v1', 'v3']);
    expect(await files.tagsOf(repository('team/other'))).toEqual(['v4']);
    expect(await files.tagsOf(repository('team/none'))).toEqual([]);
  });
});
