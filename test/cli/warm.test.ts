import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { progressText } from '../../src/cli/commands/warm/command.ts';
import { fetchBlobs } from '../../src/cli/commands/warm/image.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import type { Registry } from '../../src/oci/registry.ts';
import { RegistryError } from '../../src/oci/registry-error.ts';
import { metahub } from '../support/cli.ts';
import { createFakeRegistry } from '../support/fake-registry.ts';
import { temporaryFolder } from '../support/folder.ts';
import { createContent, type Handler, serveContent, startServer } from '../support/hostile-registry.ts';
import { runCliWith } from '../support/run-cli.ts';
import { dataDirectory } from '../support/store.ts';
import { closing, repository } from '../support/upstream.ts';

const MIB = 1024 * 1024;

const J = (document: object) => Buffer.from(JSON.stringify(document));

interface RegistryOptions {
  readonly layerBytes?: number;
  /** Answers in place of the registry when it returns true. */
  readonly misdeed?: (...exchange: Parameters<Handler>) => boolean;
}

/** A registry with `team/app:v1`, an index of an image for broadwell and one for every host, each of one layer. */
async function registryWithImage({ layerBytes = 32, misdeed = () => false }: RegistryOptions = {}) {
  const content = createContent();
  const image = (text: string) => {
    const config = J({ os: 'linux', architecture: 'amd64', config: {}, rootfs: {}, text });
    const layer = Buffer.alloc(layerBytes, `layer of ${text} `);
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
  const serve = serveContent(content);
  const server = closing(
    await startServer((request, response) => {
      if (!misdeed(request, response)) serve(request, response);
    }),
  );
  const data = await dataDirectory();
  const upstream = `reg.test=${server.url}`;
  const warmWith = (env: Readonly<Record<string, string>>, ...words: readonly string[]) =>
    runCliWith({ env }, 'warm', '--data', data, '--upstream', upstream, '--set', 'cpu:broadwell', ...words);
  const warm = (...words: readonly string[]) => warmWith({}, ...words);
  const blobsAsked = () => server.requests.filter(({ target }) => target.includes('/blobs/')).length;
  return { warm, warmWith, data, server, blobsAsked };
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

  test('reads names from stdin, which may be a socket', async () => {
    const { data, server } = await registryWithImage();
    const words = [
      'warm',
      '--json',
      '--from-file',
      '-',
      '--data',
      data,
      '--upstream',
      `reg.test=${server.url}`,
    ];
    // Node.js gives the programs that it starts a socket.
    const input = '# ours\nreg.test/team/app:v1\n';
    const { stdout, stderr } = await metahub([...words, '--set', 'cpu:broadwell'], { input });
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toMatchObject({ images: [{ image: 'reg.test/team/app:v1', error: null }] });
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

  test('reads a file with the line ends of Windows, and fetches an image once that is named several times', async () => {
    const { warm } = await registryWithImage();
    const list = join(temporaryFolder(), 'images.txt');
    writeFileSync(list, '# ours\r\nreg.test/team/app:v1 # first\r\n\r\nreg.test/team/app:v1\r\n');
    const { stdout, status } = await warm('--json', '--from-file', list, 'reg.test/team/app:v1');
    expect(status).toBe(0);
    expect(JSON.parse(stdout).images).toHaveLength(1);
  });

  test('fails for an image that the cache has no room for', async () => {
    const { warmWith, blobsAsked } = await registryWithImage({ layerBytes: 2 * MIB });
    const small = { METAHUB_CACHE_SIZE: '1MiB' };
    const { stdout, status } = await warmWith(small, 'reg.test/team/app:v1');
    expect(blobsAsked()).toBeGreaterThan(1);
    expect(status).toBe(1);
    expect(stdout).toContain('failed: reg.test/team/app:v1: the cache has no room for 1 of its 2 blobs');
    const inJson = await warmWith(small, '--json', 'reg.test/team/app:v1');
    expect(JSON.parse(inJson.stdout).images[0].error).toContain('no room for 1 of its 2 blobs');
  });

  test('leaves nothing half-fetched behind when it is interrupted', async () => {
    let halfWay = () => {};
    const isHalfWay = new Promise<void>((resolve) => {
      halfWay = resolve;
    });
    const { warm, data } = await registryWithImage({
      layerBytes: 2 * MIB,
      misdeed: ({ url = '' }, response) => {
        if (!url.includes('/blobs/')) return false;
        response.writeHead(200, { 'content-length': 2 * MIB });
        response.write(Buffer.alloc(MIB), halfWay);
        return true;
      },
    });
    const incoming = join(data, 'v1', 'incoming');
    const listeners = process.listenerCount('SIGINT');
    const running = warm('reg.test/team/app:v1', 'reg.test/team/app:none');
    await isHalfWay;
    await expect.poll(() => readdirSync(incoming).length).toBeGreaterThan(0);
    process.emit('SIGINT');
    const { stdout, stderr, status } = await running;
    expect({ stdout, status }).toEqual({ stdout: '', status: 1 });
    expect(stderr).toContain('interrupted');
    expect(readdirSync(incoming)).toEqual([]);
    expect(process.listenerCount('SIGINT')).toBe(listeners);
  });
});

test('fetchBlobs() ends the other fetches when one fails, before it rejects', async () => {
  const [absent, slow] = [digestOf(Buffer.from('absent')), digestOf(Buffer.from('slow'))];
  const registry = createFakeRegistry();
  const ended: string[] = [];
  const failing: Registry = {
    ...registry,
    blob: async (_, digest) => {
      if (digest === absent) throw new RegistryError('BLOB_UNKNOWN', 'it is absent');
      const writeTo = (sink: Writable) =>
        new Promise<void>((_resolve, reject) => {
          sink.once('error', (error) => {
            ended.push(digest);
            reject(error);
          });
        });
      return { kind: 'content', digest, sizeBytes: 9, range: undefined, writeTo, cancel: () => {} };
    },
  };
  const blobs = [slow, absent, slow].map((digest) => ({
    digest,
    mediaType: MEDIA_TYPE.octets,
    sizeBytes: 9,
    annotations: {},
    raw: {},
  }));
  const signal = new AbortController().signal;
  const fetching = fetchBlobs(failing, repository('team/app'), blobs, { onBytes: () => {}, signal });
  await expect(fetching).rejects.toThrow('it is absent');
  expect(ended).toEqual([slow, slow]);
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
