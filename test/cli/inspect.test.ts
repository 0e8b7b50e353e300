import { beforeEach, describe, expect, test } from 'vitest';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { type Content, createContent, serveContent, startServer } from '../support/hostile-registry.ts';
import { runCli } from '../support/run-cli.ts';
import { closing } from '../support/upstream.ts';

let content: Content;
let upstream: string;

beforeEach(async () => {
  content = createContent();
  upstream = `hub.test=${closing(await startServer(serveContent(content))).url}`;
});

function putImage(text: string, platform: object, annotations?: object) {
  const [config, layer] = [Buffer.from(`{"of":"${text}"}`), Buffer.from(text.repeat(500))];
  const image = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: { mediaType: MEDIA_TYPE.ociConfig, digest: content.putBlob(config), size: config.length },
    layers: [{ mediaType: 'application/x-layer', digest: content.putBlob(layer), size: layer.length }],
  };
  const digest = content.putManifest(image, MEDIA_TYPE.ociManifest);
  return {
    mediaType: MEDIA_TYPE.ociManifest,
    digest,
    size: JSON.stringify(image).length,
    platform,
    ...(annotations ? { annotations } : {}),
  };
}

function putIndex(...manifests: readonly object[]) {
  const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests };
  return content.putManifest(index, MEDIA_TYPE.ociIndex, 'v1');
}

const inspect = (...words: readonly string[]) => runCli('inspect', '--upstream', upstream, ...words);

describe('metahub inspect', () => {
  test('prints each entry with platform, features, annotations, demands and layers', async () => {
    const fast = putImage(
      'fast',
      { os: 'linux', architecture: 'amd64', features: ['cpu:skylake'] },
      { 'io.metahub.features': 'cpu:skylake', 'com.example.note': 'hello' },
    );
    const digest = putIndex(fast, putImage('arm', { os: 'linux', architecture: 'arm64', variant: 'v8' }));
    const { stdout, stderr, status } = await inspect('hub.test/team/app:v1');
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    expect(stdout).toMatch(/^name {6}hub\.test\/team\/app:v1$/m);
    expect(stdout).toContain(`digest    ${digest}`);
    expect(stdout).toContain('\n1  linux/amd64\n');
    expect(stdout).toContain(`\n   digest    ${fast.digest}`);
    expect(stdout).toContain('\n   features  cpu:skylake\n');
    expect(stdout).toContain('\n   demands   cpu:skylake (platform.features)\n');
    expect(stdout).toContain('com.example.note = hello\n');
    expect(stdout).toContain('\n   layers    1 layer, 2.0 KiB\n');
    expect(stdout).toContain('\n2  linux/arm64/v8\n');
  });

  test('prints an image that is not an index', async () => {
    const { digest } = putImage('one', { os: 'linux', architecture: 'amd64' });
    const { stdout } = await inspect(`hub.test/team/app@${digest}`);
    expect(stdout).toContain(`type      ${MEDIA_TYPE.ociManifest}\n`);
    expect(stdout).toContain('layers    1 layer, 1.5 KiB\n');
  });

  test('continues when the manifest of an entry is missing, and reports it', async () => {
    const there = putImage('there', { os: 'linux', architecture: 'amd64' });
    putIndex({ ...there, digest: `sha256:${'0'.repeat(64)}` }, there);
    const { stdout, status } = await inspect('hub.test/team/app:v1');
    expect(stdout).toMatch(/^ {3}problem {3}.*sha256:0+/m);
    expect(stdout).toContain('1 layer');
    expect(status).toBe(0);
  });

  test('--json has all of it for programs', async () => {
    const fast = putImage('fast', { os: 'linux', architecture: 'amd64', features: ['cpu:skylake'] });
    const digest = putIndex(fast);
    const told = JSON.parse((await inspect('--json', 'hub.test/team/app:v1')).stdout);
    expect(told).toMatchObject({
      image: 'hub.test/team/app:v1',
      digest,
      mediaType: MEDIA_TYPE.ociIndex,
      entries: [
        {
          digest: fast.digest,
          platform: { os: 'linux', architecture: 'amd64', features: ['cpu:skylake'] },
          demands: [{ demand: 'cpu:skylake', source: 'platform.features' }],
          layers: [{ sizeBytes: 2000 }],
        },
      ],
    });
  });

  test('--raw and --json exclude each other', async () => {
    const { stderr, status } = await runCli('inspect', '--raw', '--json', 'alpine');
    expect(stderr).toContain("option '--raw' cannot be used with option '--json'");
    expect(status).toBe(2);
  });

  test('--raw prints the bytes that the registry sent', async () => {
    putIndex();
    const { stdout } = await inspect('--raw', 'hub.test/team/app:v1');
    expect(stdout).toBe(content.manifests.get('v1')?.bytes.toString());
  });

  test('an image that does not exist is one line and the next step', async () => {
    const { stdout, stderr, status } = await inspect('hub.test/team/app:v2');
    expect(stdout).toBe('');
    expect(stderr).toMatch(
      /^metahub: hub\.test\/team\/app:v2: .*\n {2}Check the image name and the tag\.\n$/,
    );
    expect(status).toBe(1);
  });

  test('without an image says what is missing', async () => {
    const { stderr, status } = await inspect();
    expect(stderr).toContain("missing required argument 'image'");
    expect(status).toBe(2);
  });
});

test('an error quotes only the beginning of a very long operand', async () => {
  const { status, stderr } = await runCli('inspect', `${'a'.repeat(100_000)} b`);
  expect(status).toBe(2);
  expect(stderr.length).toBeLessThan(5000);
  expect(stderr).toMatch(/a…\n {2}Write it as/);
});
