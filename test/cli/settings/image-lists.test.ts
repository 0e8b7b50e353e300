import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { loadImageCatalog } from '../../../src/cli/settings/image-lists.ts';
import { temporaryFolder } from '../../support/folder.ts';

const MEMBER =
  '  - image: qnib/plain-featuretest:generic\n    platform: { architecture: amd64, os: linux }\n';

let folder: string;
beforeEach(() => {
  folder = temporaryFolder();
});

function load(mayBeAbsent = false) {
  return loadImageCatalog(folder, { mayBeAbsent });
}

test('loadImageCatalog() reads every YAML file of the folder in the order of their names, and nothing else', async () => {
  writeFileSync(join(folder, '20-b.yml'), `image: b/b\nmanifests:\n${MEMBER}`);
  writeFileSync(
    join(folder, '10-a.yaml'),
    `- image: a/a\n  manifests:\n  ${MEMBER.replaceAll('\n', '\n  ')}`,
  );
  writeFileSync(join(folder, '.hidden.yml'), 'not: a list');
  writeFileSync(join(folder, 'README'), 'not a list');
  expect((await load()).map(({ repository }) => repository.name)).toEqual(['a/a', 'b/b']);
});

test('loadImageCatalog() requires that a named folder exists, but not the default one', async () => {
  rmSync(folder, { recursive: true });
  expect(await load(true)).toEqual([]);
  await expect(load()).rejects.toThrow(/cannot read the directory: there is no such directory/);
});

test.each([
  ['image: UPPER\nmanifests: []\n', /bad\.yml:1:8: image: “UPPER” is not an image name/],
  ['image: [', /bad\.yml:1:\d+: .*[^:]$/],
  ['image: a/b\nmanifests: []\n', /bad\.yml:2:12: manifests: the list needs manifests/],
])('loadImageCatalog() names the file with %j', async (text, message) => {
  writeFileSync(join(folder, 'bad.yml'), text);
  await expect(load()).rejects.toMatchObject({
    name: 'ConfigError',
    message: expect.stringMatching(message),
  });
});
