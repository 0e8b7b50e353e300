import { describe, expect, test } from 'vitest';
import { profileOfFeatures } from '../../src/host/assumed-features.ts';
import { denyAnnotations } from '../../src/mirror/deny-annotations.ts';
import { tailored } from '../../src/mirror/tailored.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import type { Manifest } from '../../src/oci/registry.ts';
import { readPolicy } from '../support/configuration.ts';
import { createFakeRegistry } from '../support/fake-registry.ts';
import { repository, tagged } from '../support/upstream.ts';

const app = repository('team/app');
const CHECKPOINT = 'io.podman.annotations.checkpoint.runtime.name';
const POLICY = { denyAnnotations: ['io.podman.annotations.checkpoint.', 'x.evil/'] };

function mirrorWith(policy: object = POLICY) {
  const upstream = createFakeRegistry();
  const read = readPolicy(policy);
  const registry = tailored({
    next: denyAnnotations(upstream, () => read),
    profile: profileOfFeatures(['cpu:broadwell']),
    policyFor: () => read,
    derived: { keep: async () => {}, find: async () => undefined },
    decided: () => {},
    now: () => 0,
  });
  return { upstream, registry };
}

const entry = (
  name: string,
  annotations = {},
  platform: object = { os: 'linux', architecture: 'amd64' },
) => ({
  mediaType: MEDIA_TYPE.ociManifest,
  digest: digestOf(Buffer.from(name)),
  size: 1,
  platform,
  annotations,
});
const indexOf = (manifests: readonly object[], annotations?: object) => ({
  schemaVersion: 2,
  mediaType: MEDIA_TYPE.ociIndex,
  manifests,
  ...(annotations ? { annotations } : {}),
});
const digestsIn = ({ bytes }: Manifest) =>
  (JSON.parse(bytes.toString()) as { manifests: { digest: string; platform: { os: string } }[] }).manifests
    .filter(({ platform }) => platform.os !== 'unknown')
    .map(({ digest }) => digest);

describe('CVE-2026-94603 of Podman: an index with an entry whose annotation, which may instruct a runtime, is denied', () => {
  const plain = entry('plain');
  const bad = entry('bad', { [CHECKPOINT]: 'runc' });
  const foreign = entry('foreign', { 'x.evil/hook': '1' }, { os: 'linux', architecture: 'arm64' });
  const index = indexOf([bad, plain, foreign, entry('other', {}, { os: 'linux', architecture: 's390x' })]);

  test('is served without the entry, also for other platforms, although no entry has demands', async () => {
    const { upstream, registry } = mirrorWith();
    upstream.putManifest(index, { tag: 'v1', repository: app });
    const answer = await registry.manifest(app, tagged('v1'));
    expect(digestsIn(answer)).toEqual([plain.digest, digestOf(Buffer.from('other'))]);
    expect(answer.bytes.toString()).not.toContain(CHECKPOINT);
  });

  test('is served unchanged where the operator denies nothing', async () => {
    const { upstream, registry } = mirrorWith({});
    const digest = upstream.putManifest(index, { tag: 'v1', repository: app });
    expect((await registry.manifest(app, tagged('v1'))).digest).toBe(digest);
  });

  test.each([{}, { onNoMatch: 'upstream' }])(
    'stops the runtime when no other entry is left, with %j too',
    async (more) => {
      const { upstream, registry } = mirrorWith({ ...POLICY, ...more });
      upstream.putManifest(indexOf([bad, foreign]), { tag: 'v1', repository: app });
      const answer = await registry.manifest(app, tagged('v1'));
      expect(digestsIn(answer)).toEqual([]);
      expect(answer.bytes.toString()).not.toContain(CHECKPOINT);
      await expect(registry.manifest(app, tagged('v1'), { acceptsIndex: false })).rejects.toThrow(CHECKPOINT);
    },
  );

  test('never gives the entry to a client that accepts no index', async () => {
    const { upstream, registry } = mirrorWith();
    const config = { mediaType: MEDIA_TYPE.ociConfig, digest: upstream.putBlob(Buffer.from('{}')), size: 2 };
    const image = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config, layers: [] };
    const digest = upstream.putManifest(image, { repository: app });
    const good = { ...plain, digest };
    upstream.putManifest(indexOf([bad, good]), { tag: 'v1', repository: app });
    expect((await registry.manifest(app, tagged('v1'), { acceptsIndex: false })).digest).toBe(digest);
  });
});

describe('a document that itself carries a denied annotation', () => {
  const config = entry('config');
  test.each([
    [
      'an image',
      {
        schemaVersion: 2,
        mediaType: MEDIA_TYPE.ociManifest,
        config,
        layers: [],
        annotations: { [CHECKPOINT]: 'x' },
      },
    ],
    ['an index', indexOf([entry('plain')], { 'x.evil/hook': '1' })],
    [
      'an index that cannot be read',
      {
        schemaVersion: 2,
        mediaType: MEDIA_TYPE.ociIndex,
        manifests: [{}],
        annotations: { 'x.evil/hook': '1' },
      },
    ],
  ])('%s: is refused by tag and by digest, for HEAD as for GET', async (_, document) => {
    const { upstream, registry } = mirrorWith();
    const digest = upstream.putManifest(document, { tag: 'v1', repository: app });
    const refusal = { code: 'DENIED', status: 403 };
    await expect(registry.manifest(app, tagged('v1'))).rejects.toMatchObject(refusal);
    await expect(registry.manifest(app, { kind: 'digest', digest })).rejects.toMatchObject(refusal);
    await expect(registry.resolve(app, tagged('v1'))).rejects.toMatchObject(refusal);
  });

  test('is served when its annotation only has a similar prefix', async () => {
    const { upstream, registry } = mirrorWith();
    const document = indexOf([entry('plain')], { 'org.example.io.podman.annotations.checkpoint.x': '1' });
    const digest = upstream.putManifest(document, { tag: 'v1', repository: app });
    expect((await registry.manifest(app, tagged('v1'))).digest).toBe(digest);
  });
});

describe('CVE-2026-53488 of containerd: labels in an image’s configuration that instruct a runtime', () => {
  const RESTART = { denyAnnotations: ['containerd.io/restart.'] };
  const LABELS = { 'containerd.io/restart.loguri': 'binary:///bin/sh?-c=id' };

  /** Puts an image with this configuration behind `v1`. */
  function put(
    { upstream }: ReturnType<typeof mirrorWith>,
    bytes: Buffer,
    mediaType: string = MEDIA_TYPE.ociConfig,
  ) {
    const config = { mediaType, digest: upstream.putBlob(bytes), size: bytes.length };
    const image = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config, layers: [] };
    return upstream.putManifest(image, { tag: 'v1', repository: app });
  }
  const configWith = (labels: unknown) =>
    Buffer.from(JSON.stringify({ os: 'linux', config: { Labels: labels } }));

  test('the image is refused by tag and by digest, for HEAD as for GET, and the label is named', async () => {
    const mirror = mirrorWith(RESTART);
    const digest = put(mirror, configWith(LABELS));
    const refusal = { code: 'DENIED', message: expect.stringContaining('containerd.io/restart.loguri') };
    const { registry } = mirror;
    await expect(registry.manifest(app, tagged('v1'))).rejects.toMatchObject(refusal);
    await expect(registry.manifest(app, { kind: 'digest', digest })).rejects.toMatchObject(refusal);
    await expect(registry.resolve(app, tagged('v1'))).rejects.toMatchObject(refusal);
  });

  test('a configuration that hides them from a parser is refused as well', async () => {
    const padded = Buffer.from(
      JSON.stringify({ os: 'linux', pad: 'x'.repeat(2 ** 20), config: { Labels: LABELS } }),
    );
    for (const bytes of [padded, Buffer.from(`${configWith(LABELS)}x`)]) {
      const mirror = mirrorWith(RESTART);
      put(mirror, bytes);
      await expect(mirror.registry.manifest(app, tagged('v1'))).rejects.toMatchObject({ code: 'DENIED' });
    }
  });

  test.each([
    ['other labels', configWith({ 'org.example.containerd.io/restart.x': '1' }), MEDIA_TYPE.ociConfig],
    ['labels that are none', configWith(7), MEDIA_TYPE.ociConfig],
    ['no labels', Buffer.from('{"os":"linux","config":null}'), MEDIA_TYPE.ociConfig],
    ['an artifact’s configuration', Buffer.from('no JSON'), 'application/vnd.example.config'],
  ])('an image with %s is served', async (_, bytes, mediaType) => {
    const mirror = mirrorWith(RESTART);
    const digest = put(mirror, bytes, mediaType);
    expect((await mirror.registry.manifest(app, tagged('v1'))).digest).toBe(digest);
  });

  test('an image without its configuration is not served, because its labels are unknown', async () => {
    const { upstream, registry } = mirrorWith(RESTART);
    const config = { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(Buffer.from('gone')), size: 4 };
    const image = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config, layers: [] };
    upstream.putManifest(image, { tag: 'v1', repository: app });
    await expect(registry.manifest(app, tagged('v1'))).rejects.toMatchObject({ code: 'BLOB_UNKNOWN' });
  });

  test('no configuration is read without a denied prefix', async () => {
    const mirror = mirrorWith({});
    const digest = put(mirror, configWith(LABELS));
    expect((await mirror.registry.manifest(app, tagged('v1'))).digest).toBe(digest);
    expect(mirror.upstream.calls.filter(({ method }) => method === 'blob')).toEqual([]);
  });
});
