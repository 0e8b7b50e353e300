import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { virtual } from '../../src/mirror/virtual.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';

import { readDescriptor } from '../../src/oci/manifest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import type { Tag } from '../../src/oci/reference.ts';
import { ClientCredential } from '../../src/oci/registry.ts';
import { RegistryError } from '../../src/oci/registry-error.ts';
import { readList } from '../support/configuration.ts';
import { createFakeRegistry, type FakeRegistry, unreachable } from '../support/fake-registry.ts';
import { dataDirectory, storeAt } from '../support/store.ts';
import { readBlob, repository, tagged } from '../support/upstream.ts';

const AMD64 = { os: 'linux', architecture: 'amd64' };
const BENCH = repository('qnib/bench', 'docker.io');
const PARTS = repository('qnib/plain-featuretest', 'docker.io');

const NONE = new RegistryError('MANIFEST_UNKNOWN', 'none');

const SPEC = readList({
  image: 'docker.io/qnib/bench',
  tags: ['latest', 'v*'],
  manifests: [
    {
      image: 'docker.io/qnib/plain-featuretest:cpu-skylake',
      platform: { ...AMD64, features: ['cpu:skylake'] },
    },
    { image: 'docker.io/qnib/plain-featuretest:generic', platform: AMD64 },
  ],
});

interface Stand {
  readonly next: FakeRegistry;
  readonly registry: ReturnType<typeof virtual>;
  readonly missing: string[];
}

function stand(): Stand {
  const next = createFakeRegistry();
  const missing: string[] = [];
  const registry = virtual({
    next,
    catalog: () => [SPEC],
    now: () => 0,
    onMissing: (_, { image }) => missing.push(image),
  });
  return { next, registry, missing };
}

/** An image with one layer that holds `text`, in one repository only. */
function putImage(
  next: FakeRegistry,
  text: string,
  tag: string,
  mediaType: string = MEDIA_TYPE.dockerManifest,
) {
  const layer = next.putBlob(Buffer.from(text));
  const config = next.putBlob(Buffer.from(`{"text":"${text}"}`));
  const descriptor = (digest: string, type: string) => ({ mediaType: type, digest, size: text.length });
  const document = {
    schemaVersion: 2,
    mediaType,
    config: descriptor(config, MEDIA_TYPE.dockerConfig),
    layers: [descriptor(layer, MEDIA_TYPE.octets)],
  };
  return { image: next.putManifest(document, { mediaType, tag, repository: PARTS }), layer };
}

function tagNamed(name: string): Tag {
  const reference = tagged(name);
  if (reference.kind !== 'tag') throw new Error(name);
  return reference.tag;
}

async function entriesOf(registry: Stand['registry'], tag = 'latest') {
  const { bytes } = await registry.manifest(BENCH, tagged(tag));
  const { manifests } = JSON.parse(bytes.toString()) as { manifests: unknown[] };
  return manifests.map((entry) => readDescriptor(entry));
}

describe('virtual()', () => {
  test('a list that no registry has is assembled from its members, with their features', async () => {
    const { next, registry } = stand();
    const skylake = putImage(next, 'skylake', 'cpu-skylake');
    const generic = putImage(next, 'generic', 'generic');
    const manifest = await registry.manifest(BENCH, tagged('latest'));
    expect(manifest.mediaType).toBe(MEDIA_TYPE.dockerList);
    const entries = await entriesOf(registry);
    expect(entries.map((entry) => [entry?.digest, entry?.platform?.features])).toEqual([
      [skylake.image, ['cpu:skylake']],
      [generic.image, []],
    ]);
    expect(await registry.resolve(BENCH, tagged('latest'))).toEqual({
      digest: manifest.digest,
      mediaType: manifest.mediaType,
      sizeBytes: manifest.bytes.length,
    });
  });

  test('members with OCI media types make an OCI index that repeats features as an annotation', async () => {
    const { next, registry } = stand();
    putImage(next, 'skylake', 'cpu-skylake', MEDIA_TYPE.ociManifest);
    putImage(next, 'generic', 'generic');
    const [first] = await entriesOf(registry);
    expect(first?.annotations).toEqual({ 'io.metahub.features': 'cpu:skylake' });
  });

  test('the manifests of a list are found in the members’ own repositories, also by a mirror that has restarted', async () => {
    const { next, registry } = stand();
    const { image, layer } = putImage(next, 'skylake', 'cpu-skylake');
    putImage(next, 'generic', 'generic');
    await registry.manifest(BENCH, tagged('latest'));
    const restarted = virtual({ next, catalog: () => [SPEC], now: () => 0, onMissing: () => {} });
    for (const one of [registry, restarted]) {
      expect((await one.manifest(BENCH, { kind: 'digest', digest: image })).digest).toBe(image);
      expect((await one.resolve(BENCH, { kind: 'digest', digest: image })).digest).toBe(image);
      expect(await readBlob(await one.blob(BENCH, layer))).toEqual(Buffer.from('skylake'));
    }
  });

  test('a missing member is reported once, and again only after it was present', async () => {
    const { next, registry, missing } = stand();
    const skylake = 'docker.io/qnib/plain-featuretest:cpu-skylake';
    putImage(next, 'generic', 'generic');
    await entriesOf(registry);
    await entriesOf(registry);
    expect(missing).toEqual([skylake]);
    putImage(next, 'skylake', 'cpu-skylake');
    expect(await entriesOf(registry)).toHaveLength(2);
    next.tag('cpu-skylake', undefined, PARTS);
    await entriesOf(registry);
    await entriesOf(registry);
    // The list answers to other tags as well, with the same member.
    await entriesOf(registry, 'v1');
    expect(missing).toEqual([skylake, skylake]);
  });

  test('ten thousand missing members are known to be reported; with one more, the first are reported again', async () => {
    for (const [count, again] of [
      [10_000, 0],
      [10_001, 10_001],
    ] as const) {
      const member = SPEC.members[0];
      if (member === undefined) throw new Error('the list has members');
      const image = (at: number) => `docker.io/qnib/plain-featuretest:none-${at}`;
      const members = Array.from({ length: count }, (_, at) => ({ ...member, image: image(at) }));
      let reported = 0;
      const next = createFakeRegistry();
      next.manifest = () => Promise.reject(NONE);
      const registry = virtual({
        next,
        catalog: () => [{ ...SPEC, members }],
        now: () => 0,
        onMissing: () => {
          reported += 1;
        },
      });
      for (const before of [0, count]) {
        expect(reported).toBe(before);
        await expect(registry.manifest(BENCH, tagged('latest'))).rejects.toMatchObject({ status: 404 });
      }
      expect(reported).toBe(count + again);
    }
  });

  test('a missing member is reported and left out', async () => {
    const { next, registry, missing } = stand();
    const generic = putImage(next, 'generic', 'generic');
    expect((await entriesOf(registry)).map((entry) => entry?.digest)).toEqual([generic.image]);
    expect(missing).toEqual(['docker.io/qnib/plain-featuretest:cpu-skylake']);
  });

  test('without any member the tag is unknown; with an upstream that fails it is unavailable', async () => {
    const { next, registry } = stand();
    await expect(registry.manifest(BENCH, tagged('latest'))).rejects.toMatchObject({
      code: 'MANIFEST_UNKNOWN',
    });
    next.before = unreachable;
    await expect(registry.manifest(BENCH, tagged('v1'))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('a list with one stale member is marked as stale', async () => {
    const { next } = stand();
    const notices = { warning: '110 - "Response is Stale"' };
    putImage(next, 'skylake', 'cpu-skylake');
    putImage(next, 'generic', 'generic');
    const half = {
      ...next,
      manifest: async (...asked: Parameters<FakeRegistry['manifest']>) => {
        const manifest = await next.manifest(...asked);
        const [, reference] = asked;
        return reference.kind === 'tag' && reference.tag === 'generic' ? { ...manifest, notices } : manifest;
      },
    };
    const registry = virtual({ next: half, catalog: () => [SPEC], now: () => 0, onMissing: () => {} });
    expect(await registry.manifest(BENCH, tagged('latest'))).toMatchObject({ notices });
    expect(await registry.resolve(BENCH, tagged('latest'))).toMatchObject({ notices });
  });

  test('a hundred concurrent clients cause one request for each member', async () => {
    const { next, registry } = stand();
    putImage(next, 'skylake', 'cpu-skylake');
    putImage(next, 'generic', 'generic');
    const all = Array.from({ length: 100 }, () => registry.manifest(BENCH, tagged('latest')));
    expect(new Set((await Promise.all(all)).map(({ digest }) => digest)).size).toBe(1);
    expect(next.count('manifest')).toBe(2);
  });

  test('a list is cached as long as its members’ tags are, and no longer', async () => {
    const { next } = stand();
    putImage(next, 'skylake', 'cpu-skylake');
    putImage(next, 'generic', 'generic');
    let now = 0;
    const aged = {
      ...next,
      manifest: async (...of: Parameters<typeof next.manifest>) => ({
        ...(await next.manifest(...of)),
        maxAgeMs: 5000,
      }),
    };
    const registry = virtual({ next: aged, catalog: () => [SPEC], now: () => now, onMissing: () => {} });
    expect((await registry.manifest(BENCH, tagged('latest'))).maxAgeMs).toBe(5000);
    now = 4000;
    expect((await registry.manifest(BENCH, tagged('latest'))).maxAgeMs).toBe(1000);
    expect(next.count('manifest')).toBe(2);
    now = 5000;
    await registry.manifest(BENCH, tagged('latest'));
    expect(next.count('manifest')).toBe(4);
  });

  test('a reloaded list is served at once, also while its previous form is being assembled', async () => {
    const next = createFakeRegistry();
    const { image: generic } = putImage(next, 'generic', 'generic');
    const { image: skylake } = putImage(next, 'skylake', 'cpu-skylake');
    const aged = {
      ...next,
      manifest: async (...of: Parameters<typeof next.manifest>) => ({
        ...(await next.manifest(...of)),
        maxAgeMs: 5000,
      }),
    };
    const only = (position: number) => ({ ...SPEC, members: SPEC.members.slice(position, position + 1) });
    let list = only(0);
    const registry = virtual({ next: aged, catalog: () => [list], now: () => 0, onMissing: () => {} });
    const digests = async () => (await entriesOf(registry)).map((entry) => entry?.digest);
    const former = digests();
    list = only(1);
    expect(await digests()).toEqual([generic]);
    expect(await former).toEqual([skylake]);
    list = only(0);
    expect(await digests()).toEqual([skylake]);
  });

  test('a member that is an index is represented by its image of that platform', async () => {
    const { next, registry } = stand();
    const generic = putImage(next, 'generic', 'generic');
    const entry = (architecture: string, digest: string) => ({
      mediaType: MEDIA_TYPE.dockerManifest,
      digest,
      size: 7,
      platform: { os: 'linux', architecture },
    });
    next.putManifest(
      {
        schemaVersion: 2,
        mediaType: MEDIA_TYPE.ociIndex,
        manifests: [entry('arm64', `sha256:${'a'.repeat(64)}`), entry('amd64', generic.image)],
      },
      { tag: 'cpu-skylake', repository: PARTS },
    );
    expect((await entriesOf(registry)).map((one) => one?.digest)).toEqual([generic.image, generic.image]);
  });

  test('a member without a platform gets it from its configuration, or from its entries', async () => {
    const { next } = stand();
    const image = (text: string, tag: string) => {
      const config = next.putBlob(Buffer.from(JSON.stringify({ os: 'linux', architecture: text })));
      const descriptor = { mediaType: MEDIA_TYPE.dockerConfig, digest: config, size: 40 };
      const document = {
        schemaVersion: 2,
        mediaType: MEDIA_TYPE.dockerManifest,
        config: descriptor,
        layers: [],
      };
      return next.putManifest(document, { mediaType: MEDIA_TYPE.dockerManifest, tag, repository: PARTS });
    };
    const alone = image('riscv64', 'alone');
    const listed = ['amd64', 'arm64'].map((architecture) => ({
      mediaType: MEDIA_TYPE.dockerManifest,
      digest: image(architecture, architecture),
      size: 7,
      platform: { os: 'linux', architecture },
    }));
    const attestation = { ...listed[0], platform: { os: 'unknown', architecture: 'unknown' } };
    const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [...listed, attestation] };
    next.putManifest(index, { tag: 'several', repository: PARTS });
    const spec = readList({
      image: 'docker.io/qnib/bench',
      manifests: ['several', 'alone', 'none'].map((tag) => ({
        image: `docker.io/qnib/plain-featuretest:${tag}`,
      })),
    });
    const missing: string[] = [];
    const registry = virtual({
      next,
      catalog: () => [spec],
      now: () => 0,
      onMissing: (_, one) => missing.push(one.image),
    });
    expect(
      (await entriesOf(registry)).map((entry) => [entry?.digest, entry?.platform?.architecture]),
    ).toEqual([
      [listed[0]?.digest, 'amd64'],
      [listed[1]?.digest, 'arm64'],
      [alone, 'riscv64'],
    ]);
    expect(missing).toEqual(['docker.io/qnib/plain-featuretest:none']);
  });

  test('other tags and other repositories are served unchanged', async () => {
    const { next, registry } = stand();
    const digest = next.putManifest({ any: 1 }, { tag: 'other' });
    expect((await registry.manifest(BENCH, tagged('other'))).digest).toBe(digest);
    await expect(registry.resolve(PARTS, tagged('none'))).rejects.toBeInstanceOf(RegistryError);
  });

  test('tags/list has the list’s own tags together with upstream’s', async () => {
    const { next, registry } = stand();
    next.putManifest({ any: 1 }, { tag: 'aaa', repository: BENCH });
    next.putManifest({ any: 1 }, { tag: 'zzz', repository: BENCH });
    for (const [asked, page] of [
      [{}, { tags: ['aaa', 'latest', 'zzz'] }],
      [{ limit: 3 }, { tags: ['aaa', 'latest', 'zzz'] }],
      // Upstream's own page ends before the list's tag.
      [{ limit: 1 }, { tags: ['aaa'], next: 'aaa' }],
      [{ limit: 2 }, { tags: ['aaa', 'latest'], next: 'latest' }],
      [{ first: 2 }, { tags: ['aaa', 'latest'], next: 'latest' }],
      [{ after: 'aaa' }, { tags: ['latest', 'zzz'] }],
      [{ after: 'latest' }, { tags: ['zzz'] }],
      [{ last: 2 }, { tags: ['latest', 'zzz'] }],
    ] as const) {
      expect([asked, await registry.tags(BENCH, asked)]).toEqual([asked, page]);
    }
    expect((await registry.tags(PARTS)).tags).toEqual([]);
  });

  test('tags/list of a repository that upstream does not have names the list’s tags; when it fails, so does that', async () => {
    const { next, registry } = stand();
    next.before = () => {
      throw new RegistryError('NAME_UNKNOWN', 'no such repository');
    };
    expect(await registry.tags(BENCH)).toEqual({ tags: ['latest'] });
    await expect(registry.tags(PARTS)).rejects.toMatchObject({ code: 'NAME_UNKNOWN' });
    next.before = unreachable;
    await expect(registry.tags(BENCH)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('a list’s index is there by its digest too, with each request for it', async () => {
    const { next, registry } = stand();
    putImage(next, 'generic', 'generic');
    const { digest, mediaType, bytes } = await registry.manifest(BENCH, tagged('latest'));
    const reference = { kind: 'digest', digest } as const;
    expect(await registry.manifest(BENCH, reference)).toMatchObject({ digest, mediaType, bytes });
    expect(await registry.resolve(BENCH, reference)).toEqual({ digest, mediaType, sizeBytes: bytes.length });
    // Before a push its registry alone says whether it has it.
    await expect(registry.resolve(BENCH, reference, { beforePush: true })).rejects.toMatchObject({
      status: 404,
    });
  });

  test('a list’s index by its digest is not given to a client’s own login that the registry refuses meanwhile', async () => {
    const { next, registry } = stand();
    putImage(next, 'generic', 'generic');
    const own = { partition: 'ann', credential: new ClientCredential(BENCH.host, 'Basic YTph') };
    const accesses = [own, { partition: 'site' }, undefined];
    const digests = [];
    for (const access of accesses) {
      digests.push((await registry.manifest(BENCH, tagged('latest'), { access })).digest);
    }
    next.before = ({ options: { access } }) => {
      if (access?.partition === 'ann') throw new RegistryError('DENIED', 'revoked');
    };
    const [digest] = digests as [Digest];
    const asked = accesses.map((access) => registry.manifest(BENCH, { kind: 'digest', digest }, { access }));
    expect((await Promise.allSettled(asked)).map(({ status }) => status)).toEqual([
      'rejected',
      'fulfilled',
      'fulfilled',
    ]);
  });

  test('a member whose name the tag makes invalid is reported and left out', async () => {
    const { next } = stand();
    putImage(next, 'generic', 'generic');
    const spec = readList({
      image: 'docker.io/qnib/bench',
      tags: ['*'],
      manifests: [
        { image: 'docker.io/qnib/plain-featuretest:x{tag}', platform: AMD64 },
        { image: 'docker.io/qnib/plain-featuretest:generic', platform: AMD64 },
      ],
    });
    const missing: unknown[] = [];
    const onMissing = (_: string, one: unknown) => void missing.push(one);
    const registry = virtual({ next, catalog: () => [spec], now: () => 0, onMissing });
    const longest = 'v'.repeat(128);
    expect(await entriesOf(registry, longest)).toHaveLength(1);
    const image = `docker.io/qnib/plain-featuretest:x${longest}`;
    expect(missing).toEqual([{ image, reason: 'is not an image name', isUnknown: true }]);
  });

  test('what a list is now is written down for the next process', async () => {
    const { next } = stand();
    putImage(next, 'generic', 'generic');
    const kept: unknown[] = [];
    const history = { tagsOf: async () => [], keepTag: async (...tag: unknown[]) => void kept.push(tag) };
    const registry = virtual({ next, catalog: () => [SPEC], history, now: () => 0, onMissing: () => {} });
    const { digest, mediaType, bytes } = await registry.manifest(BENCH, tagged('v3'));
    expect(kept).toEqual([[SPEC.repository, 'v3', { digest, mediaType, sizeBytes: bytes.length }]]);
  });
});

describe('a digest requested under a list’s name', () => {
  test('that does not belong to the list is not fetched from a member’s repository', async () => {
    const { next, registry } = stand();
    putImage(next, 'skylake', 'cpu-skylake');
    putImage(next, 'generic', 'generic');
    const secret = putImage(next, 'unreleased', 'next');
    await registry.manifest(BENCH, tagged('latest'));
    next.forgetCalls();
    const unknown = { status: 404 };
    await expect(registry.manifest(BENCH, { kind: 'digest', digest: secret.image })).rejects.toMatchObject(
      unknown,
    );
    await expect(registry.resolve(BENCH, { kind: 'digest', digest: secret.image })).rejects.toMatchObject(
      unknown,
    );
    await registry.blob(BENCH, secret.layer);
    await registry.statBlob(BENCH, secret.layer);
    const asked = next.calls.filter(({ reference }) =>
      [secret.image, secret.layer].some((one) => one === reference),
    );
    expect(asked.map(({ repository: of }) => of)).toEqual(Array(4).fill('docker.io/qnib/bench'));
  });

  test('that belongs to another list is not fetched from that list’s members', async () => {
    const { next } = stand();
    const { image } = putImage(next, 'skylake', 'cpu-skylake');
    const other = readList({
      image: 'docker.io/qnib/other',
      manifests: [{ image: 'docker.io/qnib/public:v1', platform: AMD64 }],
    });
    const registry = virtual({ next, catalog: () => [SPEC, other], now: () => 0, onMissing: () => {} });
    const reference = { kind: 'digest', digest: image } as const;
    await registry.manifest(BENCH, tagged('latest'));
    expect((await registry.manifest(BENCH, reference)).digest).toBe(image);
    next.forgetCalls();
    const { repository: named } = other;
    await expect(registry.manifest(named, reference)).rejects.toMatchObject({ status: 404 });
    const asked = next.calls.filter((call) => call.reference === image);
    expect(asked.map((call) => call.repository)).toEqual(['docker.io/qnib/other']);
  });

  test('that is the index of another list is unknown', async () => {
    const { next } = stand();
    putImage(next, 'skylake', 'cpu-skylake');
    const other = readList({
      image: 'docker.io/qnib/other',
      manifests: [{ image: 'docker.io/qnib/public:v1', platform: AMD64 }],
    });
    const registry = virtual({ next, catalog: () => [SPEC, other], now: () => 0, onMissing: () => {} });
    const reference = {
      kind: 'digest',
      digest: (await registry.manifest(BENCH, tagged('latest'))).digest,
    } as const;
    expect((await registry.manifest(BENCH, reference)).digest).toBe(reference.digest);
    await expect(registry.manifest(other.repository, reference)).rejects.toMatchObject({ status: 404 });
  });

  test('is searched with each login, even after another login was refused', async () => {
    const { next, registry } = stand();
    const { image } = putImage(next, 'skylake', 'cpu-skylake');
    next.before = ({ repository: of, options }) => {
      if (of === 'docker.io/qnib/plain-featuretest' && options.access?.partition === 'bob') {
        throw new RegistryError('MANIFEST_UNKNOWN', 'hidden');
      }
    };
    const ask = (partition: string) =>
      registry.manifest(BENCH, { kind: 'digest', digest: image }, { access: { partition } });
    await expect(ask('bob')).rejects.toMatchObject({ status: 404 });
    expect((await ask('alice')).digest).toBe(image);
  });

  test('of a pattern’s tag that was served before a restart is found again', async () => {
    const { next, store } = { next: createFakeRegistry(), ...(await storeAt(await dataDirectory())) };
    const { image, layer } = putImage(next, 'skylake', 'cpu-skylake');
    const options = { next, catalog: () => [SPEC], history: store, now: () => 0, onMissing: () => {} };
    await virtual(options).manifest(BENCH, tagged('v7'));
    const restarted = virtual(options);
    expect((await restarted.manifest(BENCH, { kind: 'digest', digest: image })).digest).toBe(image);
    await restarted.blob(BENCH, layer);
    const last = next.calls.at(-1);
    expect(last).toMatchObject({ method: 'blob', repository: 'docker.io/qnib/plain-featuretest' });
  });

  test('is searched in the 32 tags of the list that were served last, those that it names included', async () => {
    const { next } = stand();
    putImage(next, 'skylake', 'cpu-skylake');
    putImage(next, 'generic', 'generic');
    const served = ['other', ...Array.from({ length: 40 }, (_, at) => `v${at}`)];
    const history = {
      tagsOf: async () => served.map(tagNamed),
      keepTag: async (_: unknown, tag: Tag) => void assembled.push(tag),
    };
    const assembled: Tag[] = [];
    const registry = virtual({ next, catalog: () => [SPEC], history, now: () => 0, onMissing: () => {} });
    await expect(
      registry.manifest(BENCH, { kind: 'digest', digest: digestOf(randomBytes(32)) }),
    ).rejects.toMatchObject({ status: 404 });
    expect(assembled).toEqual(['latest', ...served.slice(1, 32)]);
  });

  test('that no registry has causes one search in five seconds, however many are requested', async () => {
    const { next } = stand();
    putImage(next, 'skylake', 'cpu-skylake');
    putImage(next, 'generic', 'generic');
    let now = 0;
    const registry = virtual({ next, catalog: () => [SPEC], now: () => now, onMissing: () => {} });
    const askForRandom = () =>
      registry.manifest(BENCH, { kind: 'digest', digest: digestOf(randomBytes(32)) }).then(
        () => 'found',
        () => 'unknown',
      );
    for (let count = 0; count < 20; count += 1) expect(await askForRandom()).toBe('unknown');
    const explored = () => next.calls.filter(({ repository: of }) => of.endsWith('plain-featuretest')).length;
    const once = explored();
    expect(once).toBe(4);
    now = 4999;
    await askForRandom();
    expect(explored()).toBe(once);
    now = 5000;
    await askForRandom();
    expect(explored()).toBeGreaterThan(once);
  });

  test('gets the error of its own repository when that fails: no other repository is asked', async () => {
    const { next, registry } = stand();
    const { image } = putImage(next, 'skylake', 'cpu-skylake');
    putImage(next, 'generic', 'generic');
    await registry.manifest(BENCH, tagged('latest'));
    next.forgetCalls();
    next.before = unreachable;
    await expect(registry.manifest(BENCH, { kind: 'digest', digest: image })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    expect(next.count()).toBe(1);
  });

  test('fails when no member can be asked, and is searched again: a failure is no absence', async () => {
    const { next, registry } = stand();
    const { image } = putImage(next, 'skylake', 'cpu-skylake');
    const reference = { kind: 'digest', digest: image } as const;
    next.before = ({ repository: of }) => {
      if (of === 'docker.io/qnib/plain-featuretest') unreachable();
    };
    await expect(registry.manifest(BENCH, reference)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    next.before = () => {};
    expect((await registry.manifest(BENCH, reference)).digest).toBe(image);
  });

  test('that a manifest below the list’s name refers to is reached without another exploration', async () => {
    const { next, registry } = stand();
    putImage(next, 'skylake', 'cpu-skylake');
    putImage(next, 'generic', 'generic');
    const unknown = { kind: 'digest', digest: digestOf(randomBytes(32)) } as const;
    await expect(registry.manifest(BENCH, unknown)).rejects.toMatchObject({ status: 404 });
    // A member moves right after the exploration.
    const { image, layer } = putImage(next, 'newer', 'generic');
    await registry.manifest(BENCH, tagged('latest'));
    await registry.manifest(BENCH, { kind: 'digest', digest: image });
    await registry.blob(BENCH, layer);
    expect(next.calls.at(-1)).toMatchObject({
      method: 'blob',
      repository: 'docker.io/qnib/plain-featuretest',
    });
  });

  test('in an index within a member is found, and so is the content that it refers to', async () => {
    const { next, registry } = stand();
    const inner = putImage(next, 'inner', 'inner', MEDIA_TYPE.ociManifest);
    const entry = {
      mediaType: MEDIA_TYPE.ociManifest,
      digest: inner.image,
      size: 7,
      platform: AMD64,
    };
    next.putManifest(
      { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [entry] },
      { tag: 'generic', repository: PARTS },
    );
    await registry.blob(BENCH, inner.layer);
    expect(next.calls.at(-1)).toMatchObject({ repository: 'docker.io/qnib/plain-featuretest' });
  });
});

test('a list whose member failed is assembled again at once; one whose member is unknown is cached', async () => {
  const { next } = stand();
  putImage(next, 'generic', 'generic');
  const aged = {
    ...next,
    manifest: async (...of: Parameters<FakeRegistry['manifest']>) => {
      const [, reference] = of;
      if (reference.kind === 'tag' && reference.tag === 'cpu-skylake' && isDown) unreachable();
      return { ...(await next.manifest(...of)), maxAgeMs: 5000 };
    },
  };
  let isDown = true;
  const registry = virtual({ next: aged, catalog: () => [SPEC], now: () => 0, onMissing: () => {} });
  expect((await registry.manifest(BENCH, tagged('latest'))).maxAgeMs).toBe(0);
  isDown = false;
  expect((await registry.manifest(BENCH, tagged('latest'))).maxAgeMs).toBe(5000);
});

test('a thousand assembled lists are kept while they are fresh, the most recently requested ones', async () => {
  const { next } = stand();
  putImage(next, 'generic', 'generic');
  const { manifest } = next;
  const spec = readList({
    image: 'docker.io/qnib/bench',
    tags: ['v*'],
    manifests: [{ image: 'docker.io/qnib/plain-featuretest:{tag}', platform: AMD64 }],
  });
  next.manifest = async (of, _, options) => ({
    ...(await manifest(of, tagged('generic'), options)),
    maxAgeMs: 5000,
  });
  const registry = virtual({ next, catalog: () => [spec], now: () => 0, onMissing: () => {} });
  const get = (at: number) => registry.manifest(BENCH, tagged(`v${at}`));
  for (let at = 0; at < 1000; at += 1) await get(at);
  const assemblies = () => next.count('manifest');
  await get(0);
  expect(assemblies()).toBe(1000);
  await get(1000);
  await get(0);
  expect(assemblies()).toBe(1001);
  await get(1);
  expect(assemblies()).toBe(1002);
});

describe('the assembly of a list', () => {
  /** A list whose members are asked for and not answered until `answer` is called. */
  function pending() {
    const { next, registry, missing } = stand();
    for (const tag of ['cpu-skylake', 'generic']) putImage(next, tag, tag);
    let answer = () => {};
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const signals: (AbortSignal | undefined)[] = [];
    next.before = async ({ options: { signal } }) => {
      signals.push(signal);
      await new Promise<void>((resolve, reject) => {
        void answered.then(resolve);
        const onAbort = () => reject(new RegistryError('UNAVAILABLE', 'the request was aborted'));
        signal?.addEventListener('abort', onAbort);
      });
    };
    return { registry, missing, signals, answer: () => answer() };
  }

  test('continues for the other clients when the client that started it leaves', async () => {
    const { registry, missing, answer } = pending();
    const leaving = new AbortController();
    const first = registry.manifest(BENCH, tagged('latest'), { signal: leaving.signal });
    const second = registry.manifest(BENCH, tagged('latest'), { signal: new AbortController().signal });
    leaving.abort(new Error('left'));
    await expect(first).rejects.toThrow('left');
    answer();
    expect(JSON.parse((await second).bytes.toString()).manifests).toHaveLength(2);
    expect(missing).toEqual([]);
  });

  test('that is in progress is not joined by a client that requests revalidation', async () => {
    const { registry, signals, answer } = pending();
    const ask = (revalidate: boolean) => registry.manifest(BENCH, tagged('latest'), { revalidate });
    const first = ask(false);
    const later = [ask(false), ask(true), ask(true)];
    answer();
    await Promise.all([first, ...later]);
    // Two members for those who take what is under way, and two for those who do not.
    expect(signals).toHaveLength(4);
  });

  test.each([
    ['another partition', { access: { partition: 'b' } }, 'latest'],
    ['another tag', { access: { partition: 'a' } }, 'v1'],
  ])(
    'is never joined by a client of %s, whether or not both want what is there now',
    async (_, other, tag) => {
      for (const revalidate of [false, true]) {
        const { registry, signals, answer } = pending();
        const both = [
          registry.manifest(BENCH, tagged('latest'), { access: { partition: 'a' }, revalidate }),
          registry.manifest(BENCH, tagged(tag), { ...other, revalidate }),
        ];
        answer();
        await Promise.all(both);
        expect(signals).toHaveLength(4);
      }
    },
  );

  test('ends when its last client leaves, and reports no member as missing', async () => {
    const { registry, missing, signals } = pending();
    const leaving = new AbortController();
    const only = registry.manifest(BENCH, tagged('latest'), { signal: leaving.signal });
    leaving.abort(new Error('left'));
    await expect(only).rejects.toThrow('left');
    expect(signals.map((signal) => signal?.aborted)).toEqual([true, true]);
    await new Promise(setImmediate);
    expect(missing).toEqual([]);
  });
});
