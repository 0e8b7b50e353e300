import { beforeEach, describe, expect, test } from 'vitest';
import { profileOfFeatures } from '../../src/host/assumed-features.ts';
import { type TailoringDecision, tailored } from '../../src/mirror/tailored.ts';
import type { DerivedAnswers } from '../../src/oci/content-store.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import type { Manifest } from '../../src/oci/registry.ts';
import { DEFAULT_POLICY, type SelectionPolicy } from '../../src/selection/policy.ts';
import { createFakeRegistry, type FakeRegistry } from '../support/fake-registry.ts';
import { repository, tagged } from '../support/upstream.ts';

const BENCH = repository('qnib/bench', 'docker.io');
const LATEST = tagged('latest');

let next: FakeRegistry;
let decisions: TailoringDecision[];
let kept: Map<string, Manifest>;
let derived: DerivedAnswers;

beforeEach(() => {
  next = createFakeRegistry();
  decisions = [];
  kept = new Map();
  derived = {
    keep: async (_, answer) => void kept.set(answer.digest, answer),
    find: async (_, digest) => kept.get(digest),
  };
});

function mirrorOf(features: readonly string[], policy: Partial<SelectionPolicy> = {}) {
  const whole = { ...DEFAULT_POLICY, ...policy };
  return tailored({
    next,
    profile: profileOfFeatures(features),
    policyFor: () => whole,
    derived,
    decided: (decision) => decisions.push(decision),
    now: () => 0,
  });
}

/** An image of its own for each entry, and the list of them as `latest`. */
function putList(...entries: readonly { features?: string[]; architecture?: string }[]) {
  const images = entries.map(({ features, architecture = 'amd64' }, position) => {
    const image = { schemaVersion: 2, position, config: {}, layers: [] };
    const digest = next.putManifest(image, { mediaType: MEDIA_TYPE.dockerManifest });
    const platform = { os: 'linux', architecture, ...(features ? { features } : {}) };
    return { mediaType: MEDIA_TYPE.dockerManifest, digest, size: JSON.stringify(image).length, platform };
  });
  const list = { schemaVersion: 2, mediaType: MEDIA_TYPE.dockerList, manifests: images };
  const digest = next.putManifest(list, { mediaType: MEDIA_TYPE.dockerList, tag: 'latest' });
  return { digest, images: images.map((image) => image.digest) };
}

const listed = ({ bytes }: Manifest) =>
  (JSON.parse(bytes.toString()) as { manifests: { digest: string }[] }).manifests.map(({ digest }) => digest);

const BROADWELL = { features: ['cpu:broadwell'] };
const SKYLAKE = { features: ['cpu:skylake'] };

describe('tailored()', () => {
  test('a tag of an index is served with the matching entry, and foreign platforms unchanged', async () => {
    const { images } = putList({}, SKYLAKE, BROADWELL, { architecture: 'arm64' });
    const answer = await mirrorOf(['cpu:broadwell']).manifest(BENCH, LATEST);
    expect(listed(answer)).toEqual([images[2], images[3]]);
    expect(answer.digest).toBe(digestOf(answer.bytes));
  });

  test('a derived index is stored before its digest is sent, and is served by its digest', async () => {
    putList({}, BROADWELL);
    const registry = mirrorOf(['cpu:broadwell']);
    const { digest, sizeBytes } = await registry.resolve(BENCH, LATEST);
    expect(kept.has(digest)).toBe(true);
    next.before = () => {
      throw new Error('upstream must not be asked for a digest of ours');
    };
    const delivered = await mirrorOf(['cpu:skylake']).manifest(BENCH, { kind: 'digest', digest });
    expect(delivered.bytes).toHaveLength(sizeBytes);
    expect(await registry.resolve(BENCH, { kind: 'digest', digest })).toMatchObject({ digest, sizeBytes });
  });

  test('a derived index that cannot be stored is not sent', async () => {
    putList({}, BROADWELL);
    derived = { ...derived, keep: () => Promise.reject(new Error('no room')) };
    await expect(mirrorOf(['cpu:broadwell']).resolve(BENCH, LATEST)).rejects.toThrow('no room');
  });

  test('an index requested by its own digest is served byte for byte', async () => {
    const { digest } = putList({}, BROADWELL);
    const answer = await mirrorOf(['cpu:broadwell']).manifest(BENCH, { kind: 'digest', digest });
    expect(digestOf(answer.bytes)).toBe(digest);
    expect(decisions).toEqual([]);
  });

  test('where nothing is to be selected the original is served', async () => {
    const { digest } = putList({}, { architecture: 'arm64' });
    expect((await mirrorOf(['cpu:broadwell']).manifest(BENCH, LATEST)).digest).toBe(digest);
    expect(decisions).toMatchObject([{ answer: 'original', servedDigest: digest, upstreamDigest: digest }]);
  });

  test('a client that accepts no index gets the entry’s own manifest', async () => {
    const { images } = putList({}, BROADWELL);
    const answer = await mirrorOf(['cpu:broadwell']).manifest(BENCH, LATEST, { acceptsIndex: false });
    expect(answer).toMatchObject({ digest: images[1], mediaType: MEDIA_TYPE.dockerManifest, maxAgeMs: 0 });
  });

  test('`answer: manifest` keeps upstream’s digest for every client', async () => {
    const { images } = putList({}, BROADWELL);
    const { digest } = await mirrorOf(['cpu:broadwell'], { answer: 'manifest' }).resolve(BENCH, LATEST);
    expect(digest).toBe(images[1]);
  });

  test('when no entry runs on the host, HEAD and GET give an index that states why, stored by its digest', async () => {
    putList(SKYLAKE);
    const mirror = mirrorOf(['cpu:broadwell']);
    const head = await mirror.resolve(BENCH, LATEST);
    const { bytes, digest } = await mirror.manifest(BENCH, LATEST);
    expect(head.digest).toBe(digest);
    const [entry] = JSON.parse(bytes.toString('utf8')).manifests;
    expect(entry.platform).toEqual({ architecture: 'unknown', os: 'unknown' });
    expect(entry.annotations['io.metahub.refused']).toMatch(/skylake/);
    expect((await mirror.manifest(BENCH, { kind: 'digest', digest })).bytes).toEqual(bytes);
    expect(decisions).toMatchObject([
      { answer: 'refused', servedDigest: digest, chosen: undefined },
      { answer: 'refused', servedDigest: digest, chosen: undefined },
    ]);
  });

  test('when no entry runs on the host, a client that accepts no index gets an error that names the demands', async () => {
    putList(SKYLAKE);
    const failing = mirrorOf(['cpu:broadwell']).manifest(BENCH, LATEST, { acceptsIndex: false });
    await expect(failing).rejects.toMatchObject({ code: 'MANIFEST_UNKNOWN', status: 404 });
    await expect(failing).rejects.toThrow(/docker\.io\/qnib\/bench:latest.*skylake/);
    expect(decisions).toMatchObject([{ answer: 'refused', servedDigest: undefined }]);
  });

  test('one upstream digest is processed once for each kind of client', async () => {
    const { images } = putList({}, BROADWELL);
    const registry = mirrorOf(['cpu:broadwell']);
    const asked = async (acceptsIndex: boolean) => registry.manifest(BENCH, LATEST, { acceptsIndex });
    const [first, without, second, again] = [
      await asked(true),
      await asked(false),
      await asked(true),
      await asked(false),
    ];
    expect(second.bytes).toBe(first.bytes);
    expect(JSON.parse(first.bytes.toString('utf8')).manifests).toHaveLength(1);
    expect([without.digest, again.digest]).toEqual([images[1], images[1]]);
  });

  test('a document that is both an image and an index is refused (CVE-2021-41190)', async () => {
    next.putManifest({ schemaVersion: 2, manifests: [], layers: [] }, { tag: 'latest' });
    await expect(mirrorOf([]).manifest(BENCH, LATEST)).rejects.toMatchObject({ code: 'MANIFEST_INVALID' });
  });
});
