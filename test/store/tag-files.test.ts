import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { layoutOf, prepareLayout } from '../../src/store/layout.ts';
import { createTagFiles } from '../../src/store/tag-files.ts';
import { dataDirectory } from '../support/store.ts';
import { repository, tagged } from '../support/upstream.ts';

const app = repository('team/app');
const record = { digest: digestOf(Buffer.from('x')), mediaType: MEDIA_TYPE.ociIndex, sizeBytes: 1 };

function tagOf(name: string) {
  const reference = tagged(name);
  if (reference.kind !== 'tag') throw new Error(name);
  return reference.tag;
}

test('of a repository with tags without end, the last thousand are remembered: each rewrites them all', async () => {
  const layout = layoutOf(await dataDirectory());
  await prepareLayout(layout);
  const files = createTagFiles(layout);
  await Promise.all(Array.from({ length: 1010 }, (_, at) => files.put(app, tagOf(`build-${at}`), record)));
  const [name = ''] = await readdir(layout.tags);
  const { tags } = JSON.parse(await readFile(join(layout.tags, name), 'utf8')) as { tags: object };
  expect(Object.keys(tags)).toHaveLength(1000);
  expect(await files.find(app, tagOf('build-9'))).toBeUndefined();
  expect(await files.find(app, tagOf('build-1009'))).toEqual(record);
});
