import { randomBytes } from 'node:crypto';
import type { Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { profileOfFeatures } from '../../src/host/assumed-features.ts';
import { tailored } from '../../src/mirror/tailored.ts';
import { virtual } from '../../src/mirror/virtual.ts';

import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import type { Access, Registry } from '../../src/oci/registry.ts';
import { RegistryError } from '../../src/oci/registry-error.ts';
import { DEFAULT_POLICY, type SelectionPolicy } from '../../src/selection/policy.ts';
import { readList } from '../support/configuration.ts';
import { createFakeRegistry, type FakeCall, type FakeRegistry } from '../support/fake-registry.ts';
import { cacheAt, dataDirectory, storeAt } from '../support/store.ts';
import { readBlob, repository, tagged } from '../support/upstream.ts';

const app = repository('team/app');
const INDEX = { schemaVersion: 2, manifests: [] };

/** Holds every answer of the registry until `open` is called, so that requests are under way together. */
function holdAll(upstream: FakeRegistry) {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const inner = upstream.before;
  upstream.before = async (call: FakeCall) => {
    await opened;
    await inner(call);
  };
  return () => open();
}

/** Something that waits until it is opened. */
function gate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open: () => open(), opened };
}

const PARTITIONS: readonly (Access | undefined)[] = [
  undefined,
  { partition: 'site-lab' },
  { partition: 'site-hall' },
  { partition: 'alice', logins: '/logins/alice' },
];

type Ask = (registry: Registry, upstream: FakeRegistry, access: Access | undefined) => Promise<unknown>;

/** What two partitions may ask for; answers the call that must reach upstream for each of them. */
const REQUESTS: Readonly<Record<string, readonly [method: keyof Registry, ask: Ask]>> = {
  'a tag, by HEAD': ['resolve', (registry, _, access) => registry.resolve(app, tagged('v1'), { access })],
  'a tag, by GET': ['resolve', (registry, _, access) => registry.manifest(app, tagged('v1'), { access })],
  'a manifest by digest': [
    'manifest',
    (registry, upstream, access) => {
      const digest = upstream.putManifest(INDEX);
      return registry.manifest(app, { kind: 'digest', digest }, { access });
    },
  ],
};

describe('two partitions that request at the same time, or one shortly after the other', () => {
  test.each(Object.entries(REQUESTS))('never share the response to %s', async (_, [method, ask]) => {
    for (const at of ['together', 'in turn'] as const) {
      const { upstream, cache } = await cacheAt(await dataDirectory(), { tagMaxAgeMs: 60_000 });
      upstream.putManifest(INDEX, { tag: 'v1' });
      const open = at === 'together' ? holdAll(upstream) : () => {};
      const asked = [];
      for (const access of PARTITIONS) {
        const answer = ask(cache, upstream, access);
        asked.push(answer);
        if (at === 'in turn') await answer;
      }
      if (at === 'together') await expect.poll(() => upstream.calls.length).toBe(PARTITIONS.length);
      open();
      await Promise.all(asked);
      const partitions = upstream.calls
        .filter((call) => call.method === method || call.method === 'resolve')
        .map(({ options }) => options.access?.partition);
      expect(new Set(partitions)).toEqual(new Set(PARTITIONS.map((access) => access?.partition)));
    }
  });

  test('never share a download that only one of them may see', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const digest = upstream.putBlob(randomBytes(3_000_000));
    const open = holdAll(upstream);
    const asked = PARTITIONS.map((access) => cache.blob(app, digest, { access }).then(readBlob));
    await expect.poll(() => upstream.calls.length).toBe(PARTITIONS.length);
    open();
    await Promise.all(asked);
    const vouched = upstream.calls.map(({ options }) => options.access?.partition);
    expect(new Set(vouched)).toEqual(new Set(PARTITIONS.map((access) => access?.partition)));
  });

  test('leave the download of the other when their own ends: later requests join it', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const bytes = randomBytes(3_000_000);
    const digest = upstream.putBlob(bytes);
    const { blob } = upstream;
    const gates = Object.fromEntries(
      ['site-lab', 'site-hall', 'lab breaks off', 'hall sends'].map((name) => [name, gate()]),
    );
    const passed = (name: string) => gates[name]?.opened;
    const asked: string[] = [];
    upstream.blob = async (from, of, options) => {
      const partition = options?.access?.partition ?? '';
      asked.push(partition);
      await passed(partition);
      const content = await blob(from, of, options);
      if (content.kind !== 'content') return content;
      const writeTo = async (sink: Writable) => {
        if (partition === 'site-hall') return passed('hall sends')?.then(() => content.writeTo(sink));
        await passed('lab breaks off');
        throw new RegistryError('UNAVAILABLE', 'broke off');
      };
      return { ...content, writeTo };
    };
    const open = (partition: string) => cache.blob(app, digest, { access: { partition } });
    const openings = [open('site-lab'), open('site-hall')] as const;
    await expect.poll(() => asked).toHaveLength(2);
    gates['site-lab']?.open();
    const lab = readBlob(await openings[0]);
    gates['site-hall']?.open();
    const hall = readBlob(await openings[1]);
    gates['lab breaks off']?.open();
    await expect(lab).rejects.toThrow('broke off');
    const later = readBlob(await open('site-hall'));
    gates['hall sends']?.open();
    for (const read of [hall, later]) expect((await read).equals(bytes)).toBe(true);
    expect(asked.toSorted()).toEqual(['site-hall', 'site-lab']);
  });

  test('never share an assembled list', async () => {
    const next = createFakeRegistry();
    const parts = repository('qnib/parts', 'docker.io');
    next.putManifest({ ...INDEX, config: {}, layers: [] }, { tag: 'one', repository: parts });
    const spec = readList({
      image: 'docker.io/qnib/bench',
      manifests: [{ image: 'docker.io/qnib/parts:one', platform: { os: 'linux', architecture: 'amd64' } }],
    });
    next.putManifest(
      { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config: descriptor(), layers: [] },
      { mediaType: MEDIA_TYPE.ociManifest, tag: 'one', repository: parts },
    );
    const open = holdAll(next);
    const registry = virtual({ next, catalog: () => [spec], now: () => 0, onMissing: () => {} });
    const asked = PARTITIONS.map((access) =>
      registry.manifest(repository('qnib/bench', 'docker.io'), tagged('latest'), { access }),
    );
    await expect.poll(() => next.calls.length).toBe(PARTITIONS.length);
    open();
    await Promise.all(asked);
    expect(next.calls.map(({ options }) => options.access?.partition)).toEqual(
      PARTITIONS.map((access) => access?.partition),
    );
  });
});

function descriptor() {
  return { mediaType: MEDIA_TYPE.dockerConfig, digest: `sha256:${'c'.repeat(64)}`, size: 2 };
}

describe('two registries with the same blob', () => {
  test('never share a download: one that stalls does not delay the other, nor spoil it by wrong bytes', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const bytes = randomBytes(3_000_000);
    const digest = upstream.putBlob(bytes);
    const { blob } = upstream;
    const bad = createFakeRegistry();
    bad.putBlob(bytes);
    bad.tamper = (right) => Buffer.concat([right.subarray(0, -1), Buffer.from([0xff ^ (right.at(-1) ?? 0)])]);
    let stand = () => {};
    const standing = new Promise<void>((resolve) => {
      stand = resolve;
    });
    bad.beforeChunk = (offset) => (offset > 1_000_000 ? standing : undefined);
    upstream.blob = (from, ...rest) => (from.host === 'bad.test' ? bad : { blob }).blob(from, ...rest);
    const slow = cache.blob(repository('team/app', 'bad.test'), digest).then(readBlob);
    slow.catch(() => {});
    await expect.poll(() => bad.blobBytes()).toBeGreaterThan(900_000);
    const good = await readBlob(await cache.blob(repository('team/app', 'good.test'), digest));
    expect(good.equals(bytes)).toBe(true);
    stand();
    await expect(slow).rejects.toThrow(/do not have that digest|not those of/);
  });
});

describe('two concurrent requests for the same blob', () => {
  test('never share an upstream request across repositories: a 404 for one is not an answer for the other', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const bytes = randomBytes(1000);
    const digest = upstream.putBlob(bytes);
    upstream.before = ({ repository: of }) => {
      if (of === 'registry.test/team/app') throw new RegistryError('BLOB_UNKNOWN', 'not here');
    };
    const open = holdAll(upstream);
    const asked = [app, repository('team/other')].map((of) => cache.blob(of, digest).then(readBlob));
    await expect.poll(() => upstream.count('blob')).toBe(2);
    open();
    const [lacking, having] = await Promise.allSettled(asked);
    expect(lacking).toMatchObject({ status: 'rejected', reason: { status: 404 } });
    expect(having).toMatchObject({ status: 'fulfilled', value: bytes });
  });

  test('never share an upstream request when one wants a redirect followed and the other does not', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const bytes = randomBytes(1000);
    const digest = upstream.putBlob(bytes);
    const { blob } = upstream;
    const open = holdAll(upstream);
    upstream.blob = async (...asked) => {
      const content = await blob(...asked);
      return asked[2]?.follow ? content : { kind: 'redirect', location: 'https://cdn.test/x', headers: {} };
    };
    const asked = [{}, { follow: true }].map((options) => cache.blob(app, digest, options));
    await expect.poll(() => upstream.count('blob')).toBe(2);
    open();
    const [redirect, content] = await Promise.all(asked);
    expect(redirect?.kind).toBe('redirect');
    expect(content && (await readBlob(content)).equals(bytes)).toBe(true);
  });
});

describe('two repositories, or two registries, with the same manifest', () => {
  test.each([
    ['repositories', repository('team/other')],
    ['registries', repository('team/app', 'other.test')],
  ])('never share a request: a 404 for one of two %s is not an answer for the other', async (_, other) => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const digest = upstream.putManifest(INDEX, { repository: other });
    const reference = { kind: 'digest', digest } as const;
    const open = holdAll(upstream);
    const answers = [cache.manifest(app, reference), cache.manifest(other, reference)];
    await expect.poll(() => upstream.count('manifest')).toBe(2);
    open();
    const [lacking, having] = await Promise.allSettled(answers);
    expect(lacking).toMatchObject({ status: 'rejected', reason: { status: 404 } });
    expect(having).toMatchObject({ status: 'fulfilled', value: { digest } });
  });
});

describe('one registry view', () => {
  /** A view on an index whose broadwell entry demands that CPU, with a policy that can be put in its place. */
  async function view() {
    const next = createFakeRegistry();
    const entry = (architecture: string, features?: string[]) => ({
      mediaType: MEDIA_TYPE.ociManifest,
      digest: next.putManifest(
        {
          schemaVersion: 2,
          mediaType: MEDIA_TYPE.ociManifest,
          config: descriptor(),
          layers: [],
          architecture,
          features,
        },
        { mediaType: MEDIA_TYPE.ociManifest },
      ),
      size: 7,
      platform: { os: 'linux', architecture, ...(features ? { features } : {}) },
    });
    const manifests = [entry('amd64'), entry('amd64', ['cpu:broadwell']), entry('arm64')];
    next.putManifest({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests }, { tag: 'latest' });
    let policy: SelectionPolicy = DEFAULT_POLICY;
    const { store } = await storeAt(await dataDirectory());
    const registry = tailored({
      next,
      profile: profileOfFeatures(['cpu:broadwell']),
      policyFor: () => policy,
      derived: store.derived,
      decided: () => {},
      now: () => 0,
    });
    const ask = async (acceptsIndex: boolean) =>
      (await registry.manifest(app, tagged('latest'), { acceptsIndex })).mediaType;
    return { ask, setPolicy: (next: SelectionPolicy) => (policy = next), manifests, registry };
  }

  test.each([true, false])(
    'never serves a client of one kind the response for the other, index first: %s',
    async (first) => {
      const { ask } = await view();
      const expected = (acceptsIndex: boolean) =>
        acceptsIndex ? MEDIA_TYPE.ociIndex : MEDIA_TYPE.ociManifest;
      for (const acceptsIndex of [first, !first, first])
        expect(await ask(acceptsIndex)).toBe(expected(acceptsIndex));
    },
  );

  test('selects again under another policy', async () => {
    const { registry, setPolicy, manifests } = await view();
    const served = async () => {
      const { bytes } = await registry.manifest(app, tagged('latest'));
      return (JSON.parse(bytes.toString()) as { manifests: { digest: string }[] }).manifests[0]?.digest;
    };
    expect(await served()).toBe(manifests[1]?.digest);
    setPolicy({ ...DEFAULT_POLICY, pin: manifests[0]?.digest });
    expect(await served()).toBe(manifests[0]?.digest);
  });
});
