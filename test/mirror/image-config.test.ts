import { beforeEach, describe, expect, test } from 'vitest';
import { readEnvironment, readStatedPlatform } from '../../src/mirror/documents/configuration.ts';
import {
  createEnvironmentReader,
  fetchImageConfig,
  rememberDemands,
} from '../../src/mirror/entry-demands.ts';
import { tailored } from '../../src/mirror/tailored.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { formatDemand } from '../../src/selection/demands.ts';
import { DEFAULT_POLICY } from '../../src/selection/policy.ts';
import { createFakeRegistry, type FakeRegistry, unreachable } from '../support/fake-registry.ts';
import { hostOf } from '../support/host-of.ts';
import { repository, tagged } from '../support/upstream.ts';

const APP = repository('team/app');
const LINUX = { os: 'linux', architecture: 'amd64' };

let next: FakeRegistry;

beforeEach(() => {
  next = createFakeRegistry();
});

/** An image whose configuration is this, as an entry of an index. */
function putImage(config: Buffer | object, architecture = 'amd64') {
  const bytes = Buffer.isBuffer(config) ? config : Buffer.from(JSON.stringify(config));
  const image = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: { mediaType: MEDIA_TYPE.ociConfig, digest: next.putBlob(bytes), size: bytes.length },
    layers: [],
  };
  const digest = next.putManifest(image, { mediaType: MEDIA_TYPE.ociManifest });
  const size = JSON.stringify(image).length;
  return { mediaType: MEDIA_TYPE.ociManifest, digest, size, platform: { os: 'linux', architecture } };
}

function indexOf(...manifests: readonly object[]) {
  return { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests };
}

function documentOf(...manifests: readonly object[]) {
  return { bytes: Buffer.from(JSON.stringify(indexOf(...manifests))), mediaType: MEDIA_TYPE.ociIndex };
}

const GPU = { config: { Env: ['PATH=/bin', 'NVIDIA_REQUIRE_CUDA=cuda>=12.4'] } };

describe('demands in image configurations', () => {
  test('are read for entries of this platform only', async () => {
    const [ours, theirs] = [putImage(GPU), putImage(GPU, 'arm64')];
    const read = createEnvironmentReader(next, LINUX);
    const demands = await read(APP, documentOf(ours, theirs));
    expect([...(demands ?? [])].map(([digest, all]) => [digest, all.map(formatDemand)])).toEqual([
      [ours.digest, ['cuda>=12.4']],
    ]);
  });

  test('are read once, since a configuration never changes', async () => {
    const read = createEnvironmentReader(next, LINUX);
    const document = documentOf(putImage(GPU));
    await read(APP, document);
    const asked = next.count();
    expect(asked).toBe(2);
    await read(APP, document);
    expect(next.count()).toBe(asked);
  });

  test('are empty when upstream does not have the manifest', async () => {
    const gone = { ...putImage(GPU), digest: `sha256:${'0'.repeat(64)}` };
    const demands = await createEnvironmentReader(next, LINUX)(APP, documentOf(gone));
    expect([...(demands?.values() ?? [])]).toEqual([[]]);
  });

  test('fail the request when upstream fails, because the selection would be wrong', async () => {
    const document = documentOf(putImage(GPU));
    next.before = unreachable;
    await expect(createEnvironmentReader(next, LINUX)(APP, document)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
  });

  test('are not read when an index has too many entries', async () => {
    const entries = Array.from({ length: 33 }, (_, place) => putImage({ place }));
    expect(await createEnvironmentReader(next, LINUX)(APP, documentOf(...entries))).toBeUndefined();
    expect(next.count()).toBe(0);
  });

  test('are not read when the manifest is not an index', async () => {
    const image = {
      bytes: Buffer.from(JSON.stringify({ schemaVersion: 2, config: putImage(GPU), layers: [] })),
      mediaType: MEDIA_TYPE.ociManifest,
    };
    expect(await createEnvironmentReader(next, LINUX)(APP, image)).toBeUndefined();
  });
});

describe('readEnvironment()', () => {
  test.each<[string, string, readonly string[]]>([
    ['reads config.Env', '{"config":{"Env":["A=1","B=2"]}}', ['A=1', 'B=2']],
    ['takes strings only', '{"config":{"Env":["A=1",2,null]}}', ['A=1']],
    ['finds nothing in a configuration without it', '{"config":{}}', []],
    ['finds nothing where config is null', '{"config":null}', []],
    ['finds nothing where Env is no list', '{"config":{"Env":"A=1"}}', []],
    ['finds nothing in null', 'null', []],
    ['finds nothing in a number', '7', []],
    ['finds nothing in what is no JSON', 'MZ\u0000', []],
  ])('reads the environment from %s', (_, text, expected) => {
    expect(readEnvironment({ bytes: Buffer.from(text), mediaType: MEDIA_TYPE.ociConfig })).toEqual(expected);
  });
});

describe('a mirror whose policy reads configurations', () => {
  function pull(features: string, readConfig: boolean) {
    const [plain, gpu] = [putImage({ config: {} }), putImage(GPU)];
    next.putManifest(indexOf(gpu, plain), { tag: 'latest' });
    const mirror = tailored({
      next,
      profile: hostOf(features),
      policyFor: () => ({ ...DEFAULT_POLICY, readConfig }),
      derived: { keep: async () => {}, find: async () => undefined },
      decided: () => {},
      now: () => 0,
    });
    return mirror.manifest(APP, tagged('latest')).then(({ bytes }) => ({
      digests: JSON.parse(bytes.toString()).manifests.map(({ digest }: { digest: string }) => digest),
      plain: plain.digest,
      gpu: gpu.digest,
    }));
  }

  test('does not select a GPU image for a CPU host', async () => {
    const { digests, plain } = await pull('cpu:zen4', true);
    expect(digests).toEqual([plain]);
  });

  test('selects it for a GPU host', async () => {
    const { digests, gpu } = await pull('nvcap:9.0 nvdriver:550.54', true);
    expect(digests).toEqual([gpu]);
  });

  test('sends no further requests where no policy needs them: both images count as generic then', async () => {
    const { digests } = await pull('cpu:zen4', false);
    expect(digests).toHaveLength(2);
    expect(next.count('blob')).toBe(0);
  });
});

test('fetchImageConfig() reads at most one MiB of a configuration that exceeds its stated size', async () => {
  const MIB = 1024 * 1024;
  const bytes = Buffer.alloc(3 * MIB, ' ');
  const digest = next.putBlob(bytes);
  const config = { mediaType: MEDIA_TYPE.ociConfig, digest, sizeBytes: 100, annotations: {}, raw: {} };
  await expect(fetchImageConfig(next, APP, config, {})).rejects.toThrow(/larger than its stated size/);
  expect(next.blobBytes()).toBeLessThanOrEqual(MIB + next.chunkBytes);
});

test('demands are kept up to 1 MiB of characters, their keys included; those read longest ago are read again', async () => {
  const read: string[] = [];
  const demandsOf = rememberDemands(async (_, digest) => {
    read.push(digest);
    return [{ key: 'k', anyOf: [{ kind: 'k', value: 'x'.repeat(260_000) }], source: 's' }];
  });
  const of = (at: number) => `sha256:${String(at).repeat(64)}` as Digest;
  for (const at of [1, 2, 3, 4, 1, 5, 1, 3, 4, 5, 2]) await demandsOf(APP, of(at), {});
  expect(read).toEqual([1, 2, 3, 4, 5, 2].map(of));
});

test('an image without demands costs 256 characters and its key', async () => {
  let reads = 0;
  const demandsOf = rememberDemands(async () => {
    reads += 1;
    return [];
  });
  const of = (at: number) => `sha256:${String(at).padStart(64, '0')}` as Digest;
  const most = Math.floor((1024 * 1024) / (256 + ` registry.test/team/app ${of(0)}[]`.length));
  for (let at = 0; at < most; at += 1) await demandsOf(APP, of(at), {});
  await demandsOf(APP, of(0), {});
  expect(reads).toBe(most);
  await demandsOf(APP, of(most), {});
  await demandsOf(APP, of(0), {});
  expect(reads).toBe(most + 1);
  await demandsOf(APP, of(1), {});
  expect(reads).toBe(most + 2);
});

test('a configuration is fetched where its registry redirects to, not left out', async () => {
  const bytes = Buffer.from(JSON.stringify(GPU));
  const digest = next.putBlob(bytes);
  const { blob } = next;
  next.blob = async (...asked) =>
    asked[2]?.follow ? blob(...asked) : { kind: 'redirect', location: 'https://cdn.test/x' };
  const config = { mediaType: MEDIA_TYPE.ociConfig, digest, sizeBytes: bytes.length };
  expect((await fetchImageConfig(next, APP, config, {}))?.bytes).toEqual(bytes);
});

test.each([
  [
    { os: 'linux', architecture: 'arm', variant: 'v7' },
    { os: 'linux', architecture: 'arm', variant: 'v7' },
  ],
  [
    { os: 'linux', architecture: 'arm', variant: '' },
    { os: 'linux', architecture: 'arm' },
  ],
  [
    { os: 'linux', architecture: 'arm', variant: 7 },
    { os: 'linux', architecture: 'arm' },
  ],
  [
    { os: 'linux', architecture: 'arm' },
    { os: 'linux', architecture: 'arm' },
  ],
  [{ os: 'linux' }, undefined],
  [{ os: 7, architecture: 'arm' }, undefined],
])('a configuration with %j states the platform %j', (config, platform) => {
  const source = { bytes: Buffer.from(JSON.stringify(config)), mediaType: MEDIA_TYPE.ociConfig };
  expect(readStatedPlatform(source)).toEqual(platform);
});
