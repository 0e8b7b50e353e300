import { beforeEach, describe, expect, test } from 'vitest';
import { createCompatibilityReader } from '../../src/mirror/entry-demands.ts';
import { tailored } from '../../src/mirror/tailored.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import type { Repository } from '../../src/oci/reference.ts';
import { RegistryError } from '../../src/oci/registry-error.ts';
import { formatDemand } from '../../src/selection/demands.ts';
import { DEFAULT_POLICY } from '../../src/selection/policy.ts';
import { createFakeRegistry, type FakeRegistry, unreachable } from '../support/fake-registry.ts';
import { hostOf } from '../support/host-of.ts';
import { repository, tagged } from '../support/upstream.ts';

const APP = repository('team/app');
const LINUX = { os: 'linux', architecture: 'amd64' };
const TYPE = 'application/vnd.nfd.image-compatibility.v1alpha1';
const YAML = 'application/vnd.nfd.image-compatibility.spec.v1alpha1+yaml';

let next: FakeRegistry;

beforeEach(() => {
  next = createFakeRegistry();
});

let images = 0;

/** An image of its own, as an entry of an index. */
function putImage() {
  const bytes = Buffer.from(JSON.stringify({ number: ++images }));
  const image = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: { mediaType: MEDIA_TYPE.ociConfig, digest: next.putBlob(bytes), size: bytes.length },
    layers: [],
  };
  const digest = next.putManifest(image, { mediaType: MEDIA_TYPE.ociManifest });
  return {
    mediaType: MEDIA_TYPE.ociManifest,
    digest,
    size: JSON.stringify(image).length,
    platform: { os: 'linux', architecture: 'amd64' },
  };
}

interface Attached {
  readonly spec: string;
  readonly artifactType?: string;
  readonly mediaType?: string;
  readonly created?: string;
  readonly size?: number;
  readonly repository?: Repository;
}

/** What `oras attach --artifact-type … IMAGE SPEC.yaml:TYPE` pushes, and `nfd compat attach-spec` from 0.20 on. */
function attach(digest: string, attached: Attached) {
  const { spec, artifactType = TYPE, mediaType = YAML, created, size, repository } = attached;
  const bytes = Buffer.from(spec);
  const empty = Buffer.from('{}');
  next.putManifest(
    {
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociManifest,
      artifactType,
      config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: next.putBlob(empty), size: 2 },
      layers: [{ mediaType, digest: next.putBlob(bytes), size: size ?? bytes.length }],
      subject: { mediaType: MEDIA_TYPE.ociManifest, digest, size: 1 },
      annotations: created === undefined ? {} : { 'org.opencontainers.image.created': created },
    },
    { mediaType: MEDIA_TYPE.ociManifest, ...(repository ? { repository } : {}) },
  );
}

/** A specification in YAML, as the documentation of node-feature-discovery writes it. */
function specOf(flag: string): string {
  return [
    'version: v1alpha1',
    'compatibilities:',
    '- description: "what this build was made for"',
    '  rules:',
    `  - name: "cpu with ${flag}"`,
    '    matchFeatures:',
    '    - feature: cpu.cpuid',
    '      matchExpressions:',
    `        ${flag}: {op: Exists}`,
  ].join('\n');
}

function indexOf(...manifests: readonly object[]) {
  return { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests };
}

/** What an index of these entries demands, beside what is written in it. */
async function demandsOf(...manifests: readonly { readonly digest: string }[]) {
  const bytes = Buffer.from(JSON.stringify(indexOf(...manifests)));
  const read = createCompatibilityReader(next, LINUX, () => 0);
  const demands = await read(APP, { bytes, mediaType: MEDIA_TYPE.ociIndex }, digestOf(bytes));
  return manifests.map(({ digest }) => (demands?.get(digest) ?? []).map(formatDemand));
}

describe('the compatibility artifact of an entry', () => {
  test('requires what its rules say', async () => {
    const [plain, avx] = [putImage(), putImage()];
    attach(avx.digest, { spec: specOf('AVX512F') });
    expect(await demandsOf(plain, avx)).toEqual([[], ['nfd:“cpu with AVX512F”']]);
  });

  test('counts when it is the newest; one without a creation time is the oldest', async () => {
    const image = putImage();
    attach(image.digest, { spec: specOf('AVX2'), created: '2026-03-01T00:00:00Z' });
    attach(image.digest, { spec: specOf('AVX512F'), created: '2026-02-01T00:00:00Z' });
    attach(image.digest, { spec: specOf('TBM') });
    expect(await demandsOf(image)).toEqual([['nfd:“cpu with AVX2”']]);
  });

  test('is not any other artifact: a signature requires nothing', async () => {
    const image = putImage();
    attach(image.digest, {
      spec: specOf('AVX2'),
      artifactType: 'application/vnd.dev.cosign.artifact.sig.v1+json',
    });
    expect(await demandsOf(image)).toEqual([[]]);
  });

  test('may have its rules in JSON', async () => {
    const image = putImage();
    const spec = JSON.stringify({
      version: 'v1alpha1',
      compatibilities: [{ rules: [{ name: 'json', matchFeatures: [] }] }],
    });
    attach(image.digest, { spec, mediaType: YAML.replace('yaml', 'json') });
    expect(await demandsOf(image)).toEqual([['nfd:“json”']]);
  });

  test('of the index applies to the entries that have none of their own', async () => {
    const [plain, own] = [putImage(), putImage()];
    attach(own.digest, { spec: specOf('AVX512F') });
    attach(digestOf(Buffer.from(JSON.stringify(indexOf(plain, own)))), { spec: specOf('AVX2') });
    expect(await demandsOf(plain, own)).toEqual([['nfd:“cpu with AVX2”'], ['nfd:“cpu with AVX512F”']]);
  });
});

describe('the demands read for an entry', () => {
  const askers = {
    'two repositories': [
      [APP, undefined],
      [repository('team/other'), undefined],
    ],
    'two registries': [
      [APP, undefined],
      [repository('team/app', 'other.test'), undefined],
    ],
    'two partitions': [
      [APP, undefined],
      [APP, { partition: 'lab' }],
    ],
  } as const;

  test.each(Object.entries(askers))('are never shared by %s', async (_, [[one], [other, access]]) => {
    const image = putImage();
    const bytes = Buffer.from(JSON.stringify(indexOf(image)));
    const read = createCompatibilityReader(next, LINUX, () => 0);
    const demandsIn = async (repository: Repository, options = {}) =>
      (await read(repository, { bytes, mediaType: MEDIA_TYPE.ociIndex }, digestOf(bytes), options))?.get(
        image.digest,
      );
    expect(await demandsIn(one)).toEqual([]);
    attach(image.digest, { spec: specOf('AVX512F'), repository: other });
    expect(await demandsIn(one)).toEqual([]);
    expect(await demandsIn(other, { access })).toHaveLength(1);
  });
});

describe('a compatibility artifact that cannot be read', () => {
  test.each<[string, Attached, RegExp]>([
    ['no YAML', { spec: 'version: [' }, /cannot be read/],
    ['YAML that nests too deep for a stack', { spec: '['.repeat(30_000) }, /cannot be read/],
    ['another version', { spec: 'version: v2\ncompatibilities: []' }, /version/],
    ['an alias that multiplies', { spec: `a: &a [x]\nb: [*a, *a]\n${specOf('AVX2')}` }, /cannot be read/],
    ['another type of layer', { spec: specOf('AVX2'), mediaType: 'text/plain' }, /no specification/],
    ['a layer that is too large', { spec: specOf('AVX2'), size: 70_000 }, /larger than/],
    [
      'a rule that asks for more than can be read',
      { spec: specOf('AVX2').replace('matchFeatures', 'matchEverything') },
      /matchEverything/,
    ],
  ])('because it is %s makes the entry match no host', async (_, attached, why) => {
    const image = putImage();
    attach(image.digest, attached);
    const [[demand] = []] = await demandsOf(image);
    expect(demand).toMatch(why);
    expect(await pull('cpu:zen5', { readCompatibility: true }, [image])).toEqual([]);
  });

  test('fails the pull when the registry fails, because the selection must not change later', async () => {
    const image = putImage();
    next.before = unreachable;
    await expect(demandsOf(image)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('because the index has too many entries makes the entry match no host', async () => {
    const entries = Array.from({ length: 33 }, putImage);
    const [[demand] = []] = await demandsOf(...entries);
    expect(demand).toMatch(/more than 32/);
  });
});

interface Entry {
  readonly digest: string;
  readonly platform: { readonly os: string; readonly architecture: string };
}

let nowMs = 1;

/** Which entries for linux/amd64 are left of an index, for a host. */
async function pull(
  features: string,
  policy: object,
  entries: readonly object[],
  mirror = mirrorOf(features, policy),
  from = APP,
) {
  next.putManifest(indexOf(...entries), { tag: 'latest' });
  const { bytes } = await mirror.manifest(from, tagged('latest'));
  const { manifests } = JSON.parse(bytes.toString()) as { manifests: readonly Entry[] };
  return manifests
    .filter(({ platform }) => platform.os === 'linux' && platform.architecture === 'amd64')
    .map(({ digest }) => digest);
}

function mirrorOf(features: string, policy: object) {
  const whole = { ...DEFAULT_POLICY, ...policy };
  return tailored({
    next,
    profile: hostOf(features),
    policyFor: () => whole,
    derived: { keep: async () => {}, find: async () => undefined },
    decided: () => {},
    now: () => nowMs,
  });
}

describe('a mirror whose policy reads compatibility artifacts', () => {
  test('selects the entry whose rules match for the hosts that they match, and the plain entry for the others', async () => {
    const [plain, avx] = [putImage(), putImage()];
    attach(avx.digest, { spec: specOf('AVX512F') });
    expect(await pull('cpu:zen4', { readCompatibility: true }, [plain, avx])).toEqual([avx.digest]);
    expect(await pull('cpu:zen3', { readCompatibility: true }, [plain, avx])).toEqual([plain.digest]);
  });

  test('reads the artifacts of each repository separately, also for the same index', async () => {
    const [plain, avx] = [putImage(), putImage()];
    const policy = { ...DEFAULT_POLICY, readCompatibility: true };
    const other = repository('team/other');
    attach(avx.digest, { spec: specOf('AVX512F'), repository: other });
    const mirror = mirrorOf('cpu:zen3', policy);
    expect(await pull('', policy, [avx, plain], mirror)).toHaveLength(2);
    expect(await pull('', policy, [avx, plain], mirror, other)).toEqual([plain.digest]);
    expect(await pull('', policy, [avx, plain], mirror)).toHaveLength(2);
  });

  test.each(['alice', 'bob'])(
    'selects for each login by the artifacts that it may see, first for %s',
    async (first) => {
      const [plain, avx] = [putImage(), putImage()];
      attach(avx.digest, { spec: specOf('AVX512F') });
      next.before = ({ method, options }) => {
        if (method === 'referrers' && options.access?.partition === 'bob') {
          throw new RegistryError('NAME_UNKNOWN', 'hidden');
        }
      };
      next.putManifest(indexOf(avx, plain), { tag: 'latest' });
      const mirror = mirrorOf('cpu:zen3', { readCompatibility: true });
      const left = async (partition: string) => {
        const { bytes } = await mirror.manifest(APP, tagged('latest'), { access: { partition } });
        return (JSON.parse(bytes.toString()) as { manifests: unknown[] }).manifests.length;
      };
      const expected: Readonly<Record<string, number>> = { alice: 1, bob: 2 };
      for (const partition of [first, 'alice', 'bob', first]) {
        expect([partition, await left(partition)]).toEqual([partition, expected[partition]]);
      }
    },
  );

  test('sends no requests where the policy does not read them', async () => {
    const avx = putImage();
    attach(avx.digest, { spec: specOf('AVX512F') });
    await pull('cpu:zen3', {}, [putImage(), avx]);
    expect(next.count('referrers')).toBe(0);
  });

  test('finds after ten minutes an artifact that was attached to an index in the cache', async () => {
    const [plain, avx] = [putImage(), putImage()];
    const policy = { ...DEFAULT_POLICY, readCompatibility: true };
    const mirror = mirrorOf('cpu:zen3', policy);
    expect(await pull('', policy, [avx, plain], mirror)).toHaveLength(2);
    attach(avx.digest, { spec: specOf('AVX512F') });
    expect(await pull('', policy, [avx, plain], mirror)).toHaveLength(2);
    nowMs += 10 * 60_000;
    expect(await pull('', policy, [avx, plain], mirror)).toHaveLength(2);
    nowMs += 1;
    expect(await pull('', policy, [avx, plain], mirror)).toEqual([plain.digest]);
  });
});
