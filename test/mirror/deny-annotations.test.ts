import { describe, expect, test } from 'vitest';
import { profileOfFeatures } from '../../src/host/assumed-features.ts';
import { denyAnnotations } from '../../src/mirror/deny-annotations.ts';
import { tailored } from '../../src/mirror/tailored.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import type { Manifest } from '../../src/oci/registry.ts';
import { parsePolicy } from '../../src/selection/policy-schema.ts';
import { createFakeRegistry } from '../support/fake-registry.ts';
import { repository, tagged } from '../support/upstream.ts';

// The lesson of CVE-2026-94603 of Podman, and of CVE-2026-53488 of containerd: what an image says of itself may instruct a runtime.

const app = repository('team/app');
const CHECKPOINT = 'io.podman.annotations.checkpoint.runtime.name';
const POLICY = { denyAnnotations: ['io.podman.annotations.checkpoint.', 'x.evil/'] };

function mirrorWith(policy: object = POLICY) {
  const upstream = createFakeRegistry();
  const read = parsePolicy(policy);
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

describe('an index with an entry whose annotation is denied', () => {
  const plain = entry('plain');
  const bad = entry('bad', { [CHECKPOINT]: 'runc' });
  const foreign = entry('foreign', { 'x.evil/hook': '1' }, { os: 'linux', architecture: 'arm64' });
  const index = indexOf([bad, plain, foreign, entry('other', {}, { os: 'linux', architecture: 's390x' })]);

  test('is answered without it, for other platforms as well, although nothing else demands anything', async () => {
    const { upstream, registry } = mirrorWith();
    upstream.putManifest(index, { tag: 'v1', repository: app });
    const answer = await registry.manifest(app, tagged('v1'));
    expect(digestsIn(answer)).toEqual([plain.digest, digestOf(Buffer.from('other'))]);
    expect(answer.bytes.toString()).not.toContain(CHECKPOINT);
  });

  test('is the original where the operator denies nothing', async () => {
    const { upstream, registry } = mirrorWith({});
    const digest = upstream.putManifest(index, { tag: 'v1', repository: app });
    expect((await registry.manifest(app, tagged('v1'))).digest).toBe(digest);
  });

  test.each([{}, { onNoMatch: 'upstream' }])(
    'stops the runtime when nothing else is left, with %j too',
    async (more) => {
      const { upstream, registry } = mirrorWith({ ...POLICY, ...more });
      upstream.putManifest(indexOf([bad, foreign]), { tag: 'v1', repository: app });
      const answer = await registry.manifest(app, tagged('v1'));
      expect(digestsIn(answer)).toEqual([]);
      expect(answer.bytes.toString()).not.toContain(CHECKPOINT);
      await expect(registry.manifest(app, tagged('v1'), { acceptsIndex: false })).rejects.toThrow(CHECKPOINT);
    },
  );

  test('is never chosen for a client that takes no index', async () => {
    const { upstream, registry } = mirrorWith();
    const image = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config: plain, layers: [] };
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

  test('is delivered when its annotation only begins as a denied one does not', async () => {
    const { upstream, registry } = mirrorWith();
    const document = indexOf([entry('plain')], { 'org.example.io.podman.annotations.checkpoint.x': '1' });
    const digest = upstream.putManifest(document, { tag: 'v1', repository: app });
    expect((await registry.manifest(app, tagged('v1'))).digest).toBe(digest);
  });
});
