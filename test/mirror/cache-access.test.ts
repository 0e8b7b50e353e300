import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { cached, revokeRefused } from '../../src/mirror/cache.ts';
import type { ContentStore } from '../../src/oci/content-store.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { DOCKER_HUB } from '../../src/oci/reference.ts';
import { type Access, ClientCredential, type Registry, type RequestOptions } from '../../src/oci/registry.ts';
import { HostNotAllowedError, RegistryError } from '../../src/oci/registry-error.ts';
import {
  createFakeRegistry,
  type FakeCall,
  type FakeRegistry,
  unreachable,
} from '../support/fake-registry.ts';
import { cacheAt, dataDirectory } from '../support/store.ts';
import { closing, readBlob, repository, tagged } from '../support/upstream.ts';

const app = repository('team/app');
const INDEX = { schemaVersion: 2, manifests: [] };
const alice: Access = { partition: 'alice', credential: new ClientCredential(DOCKER_HUB, 'Basic YTph') };
const bob: Access = { partition: 'bob', credential: new ClientCredential(DOCKER_HUB, 'Basic Yjpi') };

/** Lets only these see anything. */
function admitOnly(upstream: FakeRegistry, ...admitted: readonly Access[]): void {
  upstream.before = ({ options }: FakeCall) => {
    if (!admitted.some(({ partition }) => partition === options.access?.partition)) {
      throw new RegistryError('DENIED', 'not for you');
    }
  };
}

describe('content fetched with one credential', () => {
  test('is not served with another one that upstream refuses: manifest, tag, blob', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const digest = upstream.putManifest(INDEX, { tag: 'v1' });
    const blob = upstream.putBlob(randomBytes(5000));
    admitOnly(upstream, alice);
    await cache.manifest(app, tagged('v1'), { access: alice });
    await readBlob(await cache.blob(app, blob, { access: alice }));
    await cache.close();
    for (const access of [bob, undefined]) {
      const denied = { code: 'DENIED' };
      await expect(cache.manifest(app, { kind: 'digest', digest }, { access })).rejects.toMatchObject(denied);
      await expect(cache.manifest(app, tagged('v1'), { access })).rejects.toMatchObject(denied);
      await expect(cache.resolve(app, { kind: 'digest', digest }, { access })).rejects.toMatchObject(denied);
      await expect(cache.blob(app, blob, { access })).rejects.toMatchObject(denied);
      await expect(cache.statBlob(app, blob, { access })).rejects.toMatchObject(denied);
    }
  });

  test('is served with another one once upstream authorizes it by a HEAD, without a second fetch; after a restart by another HEAD', async () => {
    const directory = await dataDirectory();
    const { upstream, cache } = await cacheAt(directory);
    const blob = upstream.putBlob(randomBytes(5000));
    admitOnly(upstream, alice, bob);
    await readBlob(await cache.blob(app, blob, { access: alice }));
    await cache.close();
    await readBlob(await cache.blob(app, blob, { access: bob }));
    expect(upstream.count('statBlob')).toBe(1);
    expect(upstream.count('blob')).toBe(1);
    const again = await cacheAt(directory, { upstream });
    await readBlob(await again.cache.blob(app, blob, { access: bob }));
    expect(upstream.count('statBlob')).toBe(2);
    expect(upstream.count('blob')).toBe(1);
  });

  test('is not served with another one while it is being fetched either', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const bytes = randomBytes(500_000);
    const digest = upstream.putBlob(bytes);
    admitOnly(upstream, alice);
    const first = await cache.blob(app, digest, { access: alice });
    await expect(cache.blob(app, digest, { access: bob })).rejects.toMatchObject({ code: 'DENIED' });
    expect((await readBlob(first)).equals(bytes)).toBe(true);
  });

  test.each([
    ['just before five minutes are over', 5 * 60_000 - 1, undefined],
    ['five minutes after it was let in', 5 * 60_000, 'DENIED'],
  ])('that is revoked joins its own download %s: %j ms, %s', async (_, laterMs, code) => {
    const clock = { nowMs: 1000 };
    const { upstream, cache } = await cacheAt(await dataDirectory(), { now: () => clock.nowMs });
    const bytes = randomBytes(500_000);
    const digest = upstream.putBlob(bytes);
    const first = await cache.blob(app, digest, { access: alice });
    admitOnly(upstream, bob);
    clock.nowMs += laterMs;
    const joined = cache.blob(app, digest, { access: alice });
    if (code === undefined) expect((await readBlob(await joined)).equals(bytes)).toBe(true);
    else await expect(joined).rejects.toMatchObject({ code });
    expect((await readBlob(first)).equals(bytes)).toBe(true);
  });

  test('is not served stale with another one', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const digest = upstream.putManifest(INDEX, { tag: 'v1' });
    await cache.manifest(app, tagged('v1'), { access: alice });
    upstream.before = unreachable;
    expect((await cache.manifest(app, tagged('v1'), { access: alice })).digest).toBe(digest);
    await expect(cache.manifest(app, tagged('v1'), { access: bob })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
  });

  test.each(['UNAUTHORIZED', 'DENIED'] as const)(
    'is not served stale with the same one when upstream now answers %s',
    async (code) => {
      const { upstream, cache } = await cacheAt(await dataDirectory());
      upstream.putManifest(INDEX, { tag: 'v1' });
      await cache.manifest(app, tagged('v1'), { access: alice });
      upstream.before = () => {
        throw new RegistryError(code, 'no more');
      };
      await expect(cache.manifest(app, tagged('v1'), { access: alice })).rejects.toMatchObject({ code });
    },
  );
});

describe('a tag whose lookup upstream fails', () => {
  test.each(['UNAVAILABLE', 'TOOMANYREQUESTS', 'UNKNOWN', 'UNAUTHORIZED', 'DENIED'] as const)(
    'is served stale after %s',
    async (code) => {
      const { upstream, cache, lines } = await cacheAt(await dataDirectory());
      const digest = upstream.putManifest(INDEX, { tag: 'v1' });
      await cache.manifest(app, tagged('v1'));
      upstream.before = () => {
        throw new RegistryError(code, 'no');
      };
      expect(await cache.manifest(app, tagged('v1'))).toMatchObject({ digest });
      expect(await cache.resolve(app, tagged('v1'))).toMatchObject({ digest });
      expect(lines.map(({ event }) => event)).toContain('served-stale');
    },
  );

  test('of a registry that this mirror may not contact is refused, cached or not', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    upstream.putManifest(INDEX, { tag: 'v1' });
    await cache.manifest(app, tagged('v1'));
    upstream.before = () => {
      throw new HostNotAllowedError('registry.test');
    };
    await expect(cache.manifest(app, tagged('v1'))).rejects.toMatchObject({ code: 'DENIED' });
  });

  test('that is not in the cache is an error at once', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    upstream.before = unreachable;
    await expect(cache.manifest(app, tagged('v1'))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(upstream.count()).toBe(1);
  });

  test('is served with its previous digest when the new manifest cannot be fetched', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const old = upstream.putManifest(INDEX, { tag: 'v1' });
    await cache.manifest(app, tagged('v1'));
    upstream.putManifest({ ...INDEX, annotations: {} }, { tag: 'v1' });
    upstream.before = ({ method }) => {
      if (method === 'manifest') unreachable();
    };
    expect((await cache.manifest(app, tagged('v1'))).digest).toBe(old);
    upstream.before = unreachable;
    expect((await cache.manifest(app, tagged('v1'))).digest).toBe(old);
  });

  test('and is evicted before it could be served as it was, fails as upstream did', async () => {
    const { upstream, store } = await cacheAt(await dataDirectory());
    let held = Number.POSITIVE_INFINITY;
    const evicting: ContentStore = {
      ...store,
      manifest: async (digest) => {
        held -= 1;
        return held >= 0 ? store.manifest(digest) : undefined;
      },
    };
    const options = { next: upstream, store: evicting, log: () => {}, now: () => 0, tagMaxAgeMs: 0 };
    const cache = closing(cached(options));
    upstream.putManifest(INDEX, { tag: 'v1' });
    await cache.manifest(app, tagged('v1'));
    upstream.putManifest({ ...INDEX, annotations: { moved: 'yes' } }, { tag: 'v1' });
    upstream.before = ({ method }) => (method === 'manifest' ? unreachable() : undefined);
    // What the tag points to now is not held; what it pointed to is, when it is looked up and not when it is read.
    held = 2;
    await expect(cache.manifest(app, tagged('v1'))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(held).toBe(-1);
  });

  test('is served with its previous digest, without a second wait, when the new manifest does not arrive in time', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const old = upstream.putManifest(INDEX, { tag: 'v1' });
    await cache.manifest(app, tagged('v1'));
    upstream.putManifest({ ...INDEX, annotations: {} }, { tag: 'v1' });
    upstream.forgetCalls();
    upstream.before = ({ method }) => {
      if (method === 'manifest') throw new RegistryError('UNAVAILABLE', 'too late', { status: 504 });
    };
    expect((await cache.manifest(app, tagged('v1'))).digest).toBe(old);
    expect(upstream.count('manifest')).toBe(1);
  });

  test('is not looked up again for a while after a failure of upstream', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory(), { retryMs: 60_000 });
    upstream.putManifest(INDEX, { tag: 'v1' });
    await cache.manifest(app, tagged('v1'));
    upstream.forgetCalls();
    upstream.before = unreachable;
    await cache.manifest(app, tagged('v1'));
    expect(await cache.manifest(app, tagged('v1'))).toHaveProperty('notices.warning');
    expect(upstream.count()).toBe(1);
  });
});

describe('a tag, where no other times are set,', () => {
  /** A cache with the default times, and a clock. */
  async function withDefaults() {
    const clock = { nowMs: 1000 };
    const { upstream, store } = await cacheAt(await dataDirectory());
    const cache = closing(cached({ next: upstream, store, log: () => {}, now: () => clock.nowMs }));
    upstream.putManifest(INDEX, { tag: 'v1' });
    await cache.manifest(app, tagged('v1'));
    const lookups = async () => {
      await cache.manifest(app, tagged('v1'));
      return upstream.count('resolve');
    };
    return { clock, upstream, cache, lookups };
  }

  test('is looked up again after a second', async () => {
    const { clock, lookups } = await withDefaults();
    clock.nowMs += 999;
    expect(await lookups()).toBe(1);
    clock.nowMs += 1;
    expect(await lookups()).toBe(2);
  });

  test('is looked up again five seconds after a failure, and is stale until then', async () => {
    const { clock, upstream, cache, lookups } = await withDefaults();
    upstream.before = unreachable;
    clock.nowMs += 1000;
    expect(await lookups()).toBe(2);
    upstream.before = () => {};
    clock.nowMs += 4999;
    expect(await lookups()).toBe(2);
    expect(await cache.manifest(app, tagged('v1'))).toMatchObject({
      maxAgeMs: 1,
      notices: { warning: '110 - "Response is Stale"' },
    });
    clock.nowMs += 1;
    expect(await lookups()).toBe(3);
    expect(await cache.manifest(app, tagged('v1'))).not.toHaveProperty('notices');
  });
});

describe('revokeRefused()', () => {
  const digest = digestOf(randomBytes(8));
  const reference = { kind: 'digest', digest } as const;
  const asks: [string, (registry: Registry, options: RequestOptions) => Promise<unknown>][] = [
    ['resolve', (registry, options) => registry.resolve(app, reference, options)],
    ['manifest', (registry, options) => registry.manifest(app, reference, options)],
    ['statBlob', (registry, options) => registry.statBlob(app, digest, options)],
    ['blob', (registry, options) => registry.blob(app, digest, options)],
    ['tags', (registry, options) => registry.tags(app, options)],
    ['referrers', (registry, options) => registry.referrers(app, digest, options)],
  ];

  test.each([
    ['UNAUTHORIZED', new RegistryError('UNAUTHORIZED', ''), {}, true],
    ['DENIED', new RegistryError('DENIED', ''), {}, true],
    ['what it does not have', new RegistryError('BLOB_UNKNOWN', ''), {}, true],
    [
      'what it does not have yet, before a push',
      new RegistryError('BLOB_UNKNOWN', ''),
      { beforePush: true },
      false,
    ],
    ['DENIED before a push', new RegistryError('DENIED', ''), { beforePush: true }, true],
    ['UNAVAILABLE', new RegistryError('UNAVAILABLE', ''), {}, false],
    ['an error that is no answer', Object.assign(new Error(), { code: 'DENIED', status: 404 }), {}, false],
  ] as const)(
    'takes back what a login was granted when the registry answers %s',
    async (_, error, more, isTaken) => {
      const upstream = createFakeRegistry();
      upstream.before = () => {
        throw error;
      };
      const revoked: unknown[] = [];
      const registry = revokeRefused(upstream, { revoke: (provenance) => void revoked.push(provenance) });
      for (const [, ask] of asks) await expect(ask(registry, { access: alice, ...more })).rejects.toBe(error);
      expect(revoked).toEqual(isTaken ? asks.map(() => ({ repository: app, access: alice })) : []);
      expect(upstream.calls.map(({ method }) => method)).toEqual(asks.map(([method]) => method));
    },
  );
});

test('a manifest whose announced digest is not that of its bytes is cached under the digest of its bytes', async () => {
  const { upstream, cache } = await cacheAt(await dataDirectory());
  const digest = upstream.putManifest(INDEX, { tag: 'v1' });
  const { resolve } = upstream;
  const other = upstream.putBlob(randomBytes(10));
  upstream.resolve = async (...asked) => ({ ...(await resolve(...asked)), digest: other });
  expect((await cache.manifest(app, tagged('v1'))).digest).toBe(digest);
  upstream.before = unreachable;
  expect((await cache.manifest(app, tagged('v1'))).digest).toBe(digest);
});
