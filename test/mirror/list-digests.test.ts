import { describe, expect, test } from 'vitest';
import { profileOfFeatures } from '../../src/host/assumed-features.ts';
import { DerivedSearch } from '../../src/mirror/derived-search.ts';
import { tailored } from '../../src/mirror/tailored.ts';
import { virtual } from '../../src/mirror/virtual.ts';
import type { ListSpec } from '../../src/oci/image-list.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { DEFAULT_POLICY } from '../../src/selection/policy.ts';
import { readList } from '../support/configuration.ts';
import { createFakeRegistry, type FakeRegistry } from '../support/fake-registry.ts';
import { dataDirectory, storeAt } from '../support/store.ts';
import { repository, tagged } from '../support/upstream.ts';

const BENCH = repository('qnib/bench', 'docker.io');
const PARTS = repository('qnib/parts', 'docker.io');
const SKYLAKE = { os: 'linux', architecture: 'amd64', features: ['cpu:skylake'] };
const PLAIN = { os: 'linux', architecture: 'amd64' };
const ARM = { os: 'linux', architecture: 'arm64' };

function listOf(...platforms: readonly object[]): ListSpec {
  const manifests = platforms.map((platform, at) => ({ image: `docker.io/qnib/parts:${at}`, platform }));
  return readList({ image: 'docker.io/qnib/bench', manifests });
}

/** Moves the tag of a member to another image. */
function putMember(next: FakeRegistry, tag: string, text: string): void {
  const descriptor = (mediaType: string, content: string) => {
    const bytes = Buffer.from(content);
    return { mediaType, digest: next.putBlob(bytes), size: bytes.length };
  };
  const document = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: descriptor(MEDIA_TYPE.ociConfig, JSON.stringify({ text })),
    layers: [descriptor(MEDIA_TYPE.octets, text)],
  };
  next.putManifest(document, { mediaType: MEDIA_TYPE.ociManifest, tag, repository: PARTS });
}

/** A mirror of a Skylake that has this list; `directory` is what it remembers. */
async function mirrorOf(next: FakeRegistry, spec: ListSpec, directory?: string) {
  const { store } = await storeAt(directory ?? (await dataDirectory()));
  const now = () => 0;
  const images = virtual({ next, catalog: () => [spec], history: store, now, onMissing: () => {} });
  return tailored({
    next: images,
    profile: profileOfFeatures(['cpu:skylake']),
    policyFor: () => DEFAULT_POLICY,
    derived: store.derived,
    decided: () => {},
    now,
    search: new DerivedSearch({ next: images, tagsOf: (asked) => store.tagsOf(asked), now }),
  });
}

describe('the digest in the response to a HEAD of a list', () => {
  test.each([
    ['of one image', [SKYLAKE]],
    ['of one image of each platform', [PLAIN, ARM]],
    ['that is tailored', [SKYLAKE, PLAIN]],
  ])('can be pulled for a list %s, after a restart and from another mirror too', async (_, platforms) => {
    const next = createFakeRegistry();
    platforms.forEach((__, at) => void putMember(next, String(at), `member ${at}`));
    const spec = listOf(...platforms);
    const directory = await dataDirectory();
    const mirror = await mirrorOf(next, spec, directory);
    const { digest, sizeBytes } = await mirror.resolve(BENCH, tagged('latest'));
    const byDigest = { kind: 'digest', digest } as const;
    const restarted = await mirrorOf(next, spec, directory);
    const other = await mirrorOf(next, spec);
    for (const registry of [mirror, restarted, other]) {
      const { bytes, digest: delivered } = await registry.manifest(BENCH, byDigest);
      expect([delivered, bytes.length]).toEqual([digest, sizeBytes]);
      expect(await registry.resolve(BENCH, byDigest)).toMatchObject({ digest, sizeBytes });
    }
  });

  test('can be pulled although a member has moved since', async () => {
    const next = createFakeRegistry();
    putMember(next, '0', 'old');
    const directory = await dataDirectory();
    const mirror = await mirrorOf(next, listOf(SKYLAKE), directory);
    const { digest } = await mirror.resolve(BENCH, tagged('latest'));
    putMember(next, '0', 'new');
    const restarted = await mirrorOf(next, listOf(SKYLAKE), directory);
    expect((await restarted.resolve(BENCH, tagged('latest'))).digest).not.toBe(digest);
    expect((await restarted.manifest(BENCH, { kind: 'digest', digest })).digest).toBe(digest);
  });
});
