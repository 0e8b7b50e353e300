import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { progressText } from '../../src/cli/commands/warm/command.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { createContent, serveContent, startServer } from '../support/hostile-registry.ts';
import { runCli } from '../support/run-cli.ts';
import { dataDirectory } from '../support/store.ts';
import { closing } from '../support/upstream.ts';

const J = (document: object) => Buffer.from(JSON.stringify(document));

/** A registry with `team/app:v1`, an index of an image for broadwell and one for every host, each of one layer. */
async function registryWithImage() {
  const content = createContent();
  const image = (text: string) => {
    const config = J({ os: 'linux', architecture: 'amd64', config: {}, rootfs: {}, text });
    const layer = Buffer.from(`layer of ${text}`);
    const descriptor = (bytes: Buffer, mediaType: string) => ({
      mediaType,
      digest: content.putBlob(bytes),
      size: bytes.length,
    });
    const manifest = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociManifest,
      config: descriptor(config, 'application/vnd.oci.image.config.v1+json'),
      layers: [descriptor(layer, MEDIA_TYPE.octets)],
    };
    return { digest: content.putManifest(manifest, MEDIA_TYPE.ociManifest), size: J(manifest).length };
  };
  const entry = (text: string, features?: string[]) => ({
    mediaType: MEDIA_TYPE.ociManifest,
    ...image(text),
    platform: { os: 'linux', architecture: 'amd64', ...(features ? { features } : {}) },
  });
  const manifests = [entry('generic'), entry('broadwell', ['cpu:broadwell'])];
  content.putManifest(
    { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests },
    MEDIA_TYPE.ociIndex,
    'v1',
  );
  const server = closing(await startServer(serveContent(content)));
  const data = await dataDirectory();
  const warm = (...words: readonly string[]) =>
    runCli(
      'warm',
      '--data',
      data,
      '--upstream',
      `reg.test=${server.url}`,
      '--set',
      'cpu:broadwell',
      ...words,
    );
  const blobsAsked = () => server.requests.filter(({ target }) => target.includes('/blobs/')).length;
  return { warm, data, server, blobsAsked };
}

describe('metahub warm', () => {
  test('stores what this host would pull: the second time nothing is fetched', async () => {
    const { warm, blobsAsked } = await registryWithImage();
    const first = await warm('reg.test/team/app:v1');
    expect(first).toMatchObject({ status: 0, stderr: '' });
    expect(first.stdout).toMatch(/^reg\.test\/team\/app:v1: 2 blobs, /);
    expect(blobsAsked()).toBe(2);
    await warm('reg.test/team/app:v1');
    expect(blobsAsked()).toBe(2);
  });

  test('reads names from a file, reports a failed image, and continues with the next', async () => {
    const { warm, data } = await registryWithImage();
    const list = join(data, '..', `${data.split('/').at(-1)}.txt`);
    writeFileSync(list, '# ours\nreg.test/team/app:none\n\nreg.test/team/app:v1 # the second\n');
    const { stdout, status } = await warm('--json', '--from-file', list);
    expect(status).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({
      images: [
        { image: 'reg.test/team/app:none', error: expect.stringContaining('404') },
        { image: 'reg.test/team/app:v1', blobs: 2, error: null },
      ],
    });
  });

  test('exits with status 1 when no image is stored', async () => {
    const { warm } = await registryWithImage();
    const { stdout, status } = await warm('reg.test/team/app:none');
    expect(stdout).toMatch(/^failed: reg\.test\/team\/app:none: .*404/);
    expect(status).toBe(1);
  });

  test.each([
    [[], 'warm needs image names'],
    [['not//a name'], 'is not an image name'],
  ])('exits with 2 for %j', async (words, message) => {
    const { warm } = await registryWithImage();
    const { stderr, status } = await warm(...words);
    expect(stderr).toContain(message);
    expect(status).toBe(2);
  });

  test('exits with status 1 when the file of the names is missing', async () => {
    const { warm } = await registryWithImage();
    const { stderr, status } = await warm('--from-file', '/not/there');
    expect(stderr).toContain('--from-file /not/there: there is no such file');
    expect(status).toBe(1);
  });
});

test.each([
  [0, 100, '[--------------------]   0 %'],
  [50, 100, '[##########----------]  50 %'],
  [100, 100, '[####################] 100 %'],
  [0, 0, '[####################] 100 %'],
])('progressText() shows %d of %d bytes', (done, total, bar) => {
  expect(progressText('app', done, total, 80).startsWith(bar)).toBe(true);
  expect(progressText('app'.repeat(50), done, total, 40)).toHaveLength(40);
});
