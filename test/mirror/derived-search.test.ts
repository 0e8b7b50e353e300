import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { profileOfFeatures } from '../../src/host/assumed-features.ts';
import {
  DerivedSearch,
  type DerivedSearchLimits,
  type ForeignDerived,
} from '../../src/mirror/derived-search.ts';
import { tailored } from '../../src/mirror/tailored.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import type { Tag } from '../../src/oci/reference.ts';
import { RegistryError } from '../../src/oci/registry-error.ts';
import { DEFAULT_POLICY, type SelectionPolicy } from '../../src/selection/policy.ts';
import { createFakeRegistry, type FakeRegistry, unreachable } from '../support/fake-registry.ts';
import { dataDirectory, storeAt } from '../support/store.ts';
import { repository, tagged } from '../support/upstream.ts';

const BENCH = repository('qnib/bench', 'docker.io');
const FEATURES = [undefined, 'cpu:skylake', 'cpu:broadwell', 'cpu:zen3'];

/** An index with an entry for each of these, and one for arm64. */
function putIndex(next: FakeRegistry, tag: string, ...features: readonly (string | undefined)[]): Digest {
  const entry = (architecture: string, feature: string | undefined) => ({
    mediaType: MEDIA_TYPE.ociManifest,
    digest: digestOf(randomBytes(16)),
    size: 7,
    platform: { os: 'linux', architecture, ...(feature ? { features: [feature] } : {}) },
  });
  const manifests = [...features.map((feature) => entry('amd64', feature)), entry('arm64', undefined)];
  return next.putManifest(
    { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests },
    { tag, repository: BENCH },
  );
}

interface MirrorOptions {
  readonly policy?: Partial<SelectionPolicy>;
  readonly served?: readonly string[];
  readonly limits?: Partial<DerivedSearchLimits>;
  readonly now?: () => number;
}

/** A mirror with a store of its own, on a host of this kind. */
async function mirrorOf(next: FakeRegistry, feature: string, options: MirrorOptions = {}) {
  const { policy = {}, served = [], limits, now = () => 0 } = options;
  const whole = { ...DEFAULT_POLICY, ...policy };
  const { store } = await storeAt(await dataDirectory());
  const found: ForeignDerived[] = [];
  const registry = tailored({
    next,
    profile: profileOfFeatures([feature]),
    policyFor: () => whole,
    derived: store.derived,
    decided: () => {},
    now,
    search: new DerivedSearch({ next, tagsOf: async () => served as readonly Tag[], now, limits }),
    foundForeign: (foreign) => found.push(foreign),
  });
  return { registry, found };
}

const byDigest = (digest: Digest) => ({ kind: 'digest', digest }) as const;
const unknown = { status: 404 };

describe('fault 81: a digest that another mirror derived', () => {
  test.each(FEATURES.slice(1))('for %s is served byte for byte, and reported', async (feature) => {
    const next = createFakeRegistry();
    const upstreamDigest = putIndex(next, 'latest', ...FEATURES);
    const there = await mirrorOf(next, feature ?? '');
    const announced = await there.registry.manifest(BENCH, tagged('latest'));
    const here = await mirrorOf(next, 'cpu:haswell');
    const head = await here.registry.resolve(BENCH, byDigest(announced.digest));
    expect(head).toMatchObject({ digest: announced.digest, sizeBytes: announced.bytes.length });
    const delivered = await here.registry.manifest(BENCH, byDigest(announced.digest));
    expect(delivered.bytes.equals(announced.bytes)).toBe(true);
    expect(here.found).toMatchObject([
      {
        tag: 'latest',
        upstreamDigest,
        platform: 'linux/amd64',
        demands: feature,
        runsHere: false,
        isDelivered: true,
      },
    ]);
  });

  test('to refuse an image on hosts of another kind is served byte for byte', async () => {
    const next = createFakeRegistry();
    const manifests = ['cpu:zen5', 'cpu:skylake'].map((feature) => ({
      mediaType: MEDIA_TYPE.ociManifest,
      digest: digestOf(randomBytes(16)),
      size: 7,
      platform: { os: 'linux', architecture: 'amd64', features: [feature] },
    }));
    const document = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests };
    next.putManifest(document, { tag: 'latest', repository: BENCH });
    const there = await mirrorOf(next, 'cpu:haswell');
    const refusal = await there.registry.manifest(BENCH, tagged('latest'));
    expect(refusal.bytes.toString()).toContain('io.metahub.refused');
    const here = await mirrorOf(next, 'cpu:skylake');
    expect((await here.registry.manifest(BENCH, byDigest(refusal.digest))).bytes).toEqual(refusal.bytes);
    expect(here.found).toMatchObject([{ demands: undefined, runsHere: false, isDelivered: true }]);
  });

  test('on a host of the same kind is served, and not reported as foreign', async () => {
    const next = createFakeRegistry();
    putIndex(next, 'latest', ...FEATURES);
    const { digest } = await (await mirrorOf(next, 'cpu:zen3')).registry.manifest(BENCH, tagged('latest'));
    for (const foreignDerived of ['deliver', 'refuse'] as const) {
      const here = await mirrorOf(next, 'cpu:zen3', { policy: { foreignDerived } });
      expect((await here.registry.manifest(BENCH, byDigest(digest))).digest).toBe(digest);
      expect(here.found).toEqual([]);
    }
  });

  test.each([true, false])(
    'on a host of the same kind is this mirror’s own, whether or not a client with its digest accepts indexes: %s',
    async (acceptsIndex) => {
      const next = createFakeRegistry();
      putIndex(next, 'latest', ...FEATURES);
      const there = await mirrorOf(next, 'cpu:zen3');
      const { digest } = await there.registry.manifest(BENCH, tagged('latest'));
      const here = await mirrorOf(next, 'cpu:zen3', { policy: { foreignDerived: 'refuse' } });
      for (const ask of [here.registry.resolve, here.registry.manifest]) {
        expect(await ask(BENCH, byDigest(digest), { acceptsIndex })).toMatchObject({ digest });
      }
      expect(here.found).toEqual([]);
    },
  );

  test('that this host can run is reported as such', async () => {
    const next = createFakeRegistry();
    putIndex(next, 'latest', ...FEATURES);
    const { digest } = await (await mirrorOf(next, 'cpu:broadwell')).registry.manifest(
      BENCH,
      tagged('latest'),
    );
    const here = await mirrorOf(next, 'cpu:skylake');
    await here.registry.manifest(BENCH, byDigest(digest));
    expect(here.found).toMatchObject([{ demands: 'cpu:broadwell', runsHere: true }]);
  });

  test('is refused where the policy refuses it, with the reason', async () => {
    const next = createFakeRegistry();
    putIndex(next, 'latest', ...FEATURES);
    const { digest } = await (await mirrorOf(next, 'cpu:zen3')).registry.manifest(BENCH, tagged('latest'));
    const here = await mirrorOf(next, 'cpu:haswell', { policy: { foreignDerived: 'refuse' } });
    for (const ask of [here.registry.manifest, here.registry.resolve]) {
      await expect(ask(BENCH, byDigest(digest))).rejects.toMatchObject({
        status: 404,
        message: expect.stringMatching(/derived from :latest for cpu:zen3; this host is haswell/),
      });
    }
    expect(here.found).toMatchObject([{ isDelivered: false }, { isDelivered: false }]);
  });

  test('for hosts that run no entry of their platform is served as well', async () => {
    const next = createFakeRegistry();
    putIndex(next, 'latest', 'cpu:zen3');
    const { digest } = await (await mirrorOf(next, 'cpu:haswell')).registry.manifest(BENCH, tagged('latest'));
    const here = await mirrorOf(next, 'cpu:zen3');
    expect((await here.registry.manifest(BENCH, byDigest(digest))).digest).toBe(digest);
    expect(here.found).toMatchObject([{ demands: undefined, runsHere: false }]);
  });

  test('of a tag that this mirror has served is found although the registry lists no tags', async () => {
    const next = createFakeRegistry();
    putIndex(next, 'v1', ...FEATURES);
    const { digest } = await (await mirrorOf(next, 'cpu:zen3')).registry.manifest(BENCH, tagged('v1'));
    next.before = ({ method }) => {
      if (method === 'tags') unreachable();
    };
    const without = await mirrorOf(next, 'cpu:haswell');
    await expect(without.registry.manifest(BENCH, byDigest(digest))).rejects.toMatchObject(unknown);
    const here = await mirrorOf(next, 'cpu:haswell', { served: ['v1'] });
    expect((await here.registry.manifest(BENCH, byDigest(digest))).digest).toBe(digest);
  });

  test('is found although other tags cannot be fetched', async () => {
    const next = createFakeRegistry();
    putIndex(next, 'v1', ...FEATURES);
    next.putManifest(Buffer.from('no JSON'), { tag: 'v0', repository: BENCH });
    next.tag('v2', digestOf(randomBytes(8)), BENCH);
    const { digest } = await (await mirrorOf(next, 'cpu:zen3')).registry.manifest(BENCH, tagged('v1'));
    const here = await mirrorOf(next, 'cpu:haswell');
    expect((await here.registry.manifest(BENCH, byDigest(digest))).digest).toBe(digest);
  });
});

describe('requests for digests that no mirror derived', () => {
  test('cause one search of a repository, however many come at once or later', async () => {
    const next = createFakeRegistry();
    putIndex(next, 'latest', ...FEATURES);
    let now = 0;
    const { registry } = await mirrorOf(next, 'cpu:haswell', { now: () => now });
    const askForRandom = () =>
      expect(registry.manifest(BENCH, byDigest(digestOf(randomBytes(32))))).rejects.toMatchObject(unknown);
    await Promise.all(Array.from({ length: 50 }, askForRandom));
    await askForRandom();
    expect(next.count('tags')).toBe(1);
    now = 14_999;
    await askForRandom();
    expect(next.count('tags')).toBe(1);
    now = 15_000;
    await askForRandom();
    expect(next.count('tags')).toBe(2);
  });

  test('cause at most the number of requests per minute for new repositories', async () => {
    const next = createFakeRegistry();
    let now = 0;
    const { registry } = await mirrorOf(next, 'cpu:haswell', { now: () => now, limits: { perMinute: 10 } });
    const askIn = (name: string) =>
      expect(registry.manifest(repository(name), byDigest(digestOf(randomBytes(32))))).rejects.toMatchObject(
        unknown,
      );
    for (let count = 0; count < 30; count += 1) await askIn(`team/app${count}`);
    expect(next.count('tags')).toBe(5);
    now = 60_000;
    await askIn('team/other');
    expect(next.count('tags')).toBe(6);
  });

  test('are remembered for a hundred repositories, by the tags served there and by those listed', async () => {
    const next = createFakeRegistry();
    const { registry } = await mirrorOf(next, 'cpu:haswell', { limits: { perMinute: 1000 } });
    const askIn = (at: number) =>
      expect(
        registry.manifest(repository(`team/app${at}`), byDigest(digestOf(randomBytes(32)))),
      ).rejects.toMatchObject(unknown);
    for (let at = 0; at < 100; at += 1) await askIn(at);
    await askIn(0);
    expect(next.count('tags')).toBe(100);
    await askIn(100);
    await askIn(0);
    expect(next.count('tags')).toBe(101);
    await askIn(1);
    expect(next.count('tags')).toBe(102);
  });

  test('request at most 64 of the tags served there, and 64 of those listed', async () => {
    const next = createFakeRegistry();
    const digest = putIndex(next, 'latest', ...FEATURES);
    for (let count = 0; count < 70; count += 1) next.tag(`v${count}`, digest, BENCH);
    const served = Array.from({ length: 70 }, (_, at) => `s${at}`);
    const { registry } = await mirrorOf(next, 'cpu:haswell', { served });
    await expect(registry.manifest(BENCH, byDigest(digestOf(randomBytes(32))))).rejects.toMatchObject(
      unknown,
    );
    const asked = (name: RegExp) => next.calls.filter(({ reference }) => name.test(reference)).length;
    expect([asked(/^s\d+$/), asked(/^(?:latest|v\d+)$/)]).toEqual([64, 64]);
  });

  test('request four tags at once', async () => {
    const next = createFakeRegistry();
    const digest = putIndex(next, 'latest', ...FEATURES);
    for (let count = 0; count < 20; count += 1) next.tag(`v${count}`, digest, BENCH);
    let [running, most] = [0, 0];
    next.before = async ({ reference }) => {
      if (reference === '' || reference.includes(':')) return;
      running += 1;
      most = Math.max(most, running);
      await new Promise(setImmediate);
      running -= 1;
    };
    const { registry } = await mirrorOf(next, 'cpu:haswell');
    await expect(registry.manifest(BENCH, byDigest(digestOf(randomBytes(32))))).rejects.toMatchObject(
      unknown,
    );
    expect([most, running]).toEqual([4, 0]);
  });

  test('cause a limited number of requests in a repository of a thousand tags', async () => {
    const next = createFakeRegistry();
    const digest = putIndex(next, 'latest', ...FEATURES);
    for (let count = 0; count < 1000; count += 1) next.tag(`v${count}`, digest, BENCH);
    const { registry } = await mirrorOf(next, 'cpu:haswell', { limits: { tags: 8 } });
    await expect(registry.manifest(BENCH, byDigest(digestOf(randomBytes(32))))).rejects.toMatchObject(
      unknown,
    );
    const tags = next.calls.filter(
      ({ method, reference }) => method === 'manifest' && !reference.includes(':'),
    );
    expect(tags).toHaveLength(8);
    expect(tags[0]?.reference).toBe('latest');
  });

  test('cost one request for each tag, those that were served first', async () => {
    const next = createFakeRegistry();
    const digest = putIndex(next, 'latest', ...FEATURES);
    for (const tag of ['v1', 'v2', 'v3']) next.tag(tag, digest, BENCH);
    const limits = { tags: 2 };
    const { registry } = await mirrorOf(next, 'cpu:haswell', { served: ['v2', 'v3', 'v1'], limits });
    await expect(registry.manifest(BENCH, byDigest(digestOf(randomBytes(32))))).rejects.toMatchObject(
      unknown,
    );
    const asked = next.calls
      .filter(({ reference }) => !reference.includes(':'))
      .map((call) => call.reference);
    expect(asked).toEqual(['v2', 'v3', '', 'latest']);
    expect(next.calls.find(({ method }) => method === 'tags')?.options).toMatchObject({ last: 5 });
  });

  test('end within the time limit when the registry is slow', async () => {
    const next = createFakeRegistry();
    putIndex(next, 'latest', ...FEATURES);
    next.before = ({ method, options }) =>
      method !== 'tags'
        ? undefined
        : new Promise((_, reject) => {
            options.signal?.addEventListener('abort', () => reject(options.signal?.reason));
          });
    const { registry } = await mirrorOf(next, 'cpu:haswell', { limits: { timeMs: 50 } });
    await expect(registry.manifest(BENCH, byDigest(digestOf(randomBytes(32))))).rejects.toMatchObject(
      unknown,
    );
  });

  test('cause no search when upstream fails instead of answering', async () => {
    const next = createFakeRegistry();
    next.before = unreachable;
    const { registry } = await mirrorOf(next, 'cpu:haswell');
    await expect(registry.manifest(BENCH, byDigest(digestOf(randomBytes(32))))).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    expect(next.count()).toBe(1);
  });
});

test('a derived digest that one login may not see is found at once for a login that may see it', async () => {
  const next = createFakeRegistry();
  putIndex(next, 'latest', ...FEATURES);
  const { digest } = await (await mirrorOf(next, 'cpu:zen3')).registry.manifest(BENCH, tagged('latest'));
  next.before = ({ options }) => {
    if (options.access?.partition === 'bob') throw new RegistryError('MANIFEST_UNKNOWN', 'hidden');
  };
  const { registry } = await mirrorOf(next, 'cpu:haswell');
  const ask = (partition: string) => registry.manifest(BENCH, byDigest(digest), { access: { partition } });
  await expect(ask('bob')).rejects.toMatchObject(unknown);
  expect((await ask('alice')).digest).toBe(digest);
});

test('a search for one login never returns what only another may see', async () => {
  const next = createFakeRegistry();
  putIndex(next, 'latest', ...FEATURES);
  const { digest } = await (await mirrorOf(next, 'cpu:zen3')).registry.manifest(BENCH, tagged('latest'));
  const here = await mirrorOf(next, 'cpu:haswell');
  const alice = { access: { partition: 'alice', logins: '/alice' } };
  const bob = { access: { partition: 'bob', logins: '/bob' } };
  expect((await here.registry.manifest(BENCH, byDigest(digest), alice)).digest).toBe(digest);
  const { manifest } = next;
  next.manifest = (of, reference, options) => {
    if (options?.access?.partition !== 'alice') unreachable();
    return manifest(of, reference, options);
  };
  next.before = ({ options }) => {
    if (options.access?.partition !== 'alice') unreachable();
  };
  await expect(here.registry.manifest(BENCH, byDigest(digest), bob)).rejects.toMatchObject({
    code: 'UNAVAILABLE',
  });
});
