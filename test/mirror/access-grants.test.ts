import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { CachedRegistry } from '../../src/mirror/cache.ts';
import type { Digest } from '../../src/oci/digest.ts';
import type { Repository } from '../../src/oci/reference.ts';
import { type Access, ClientCredential } from '../../src/oci/registry.ts';
import { RegistryError } from '../../src/oci/registry-error.ts';
import {
  createFakeRegistry,
  type FakeCall,
  type FakeRegistry,
  unreachable,
} from '../support/fake-registry.ts';
import { cacheAt, dataDirectory } from '../support/store.ts';
import { readBlob, repository, tagged } from '../support/upstream.ts';

const secret = repository('team/secret', 'secret.test');
const INDEX = { schemaVersion: 2, manifests: [] };
const alice: Access = { partition: 'alice', credential: new ClientCredential(secret.host, 'Basic YTph') };
/** A site's account: it sees what its patterns allow, by the mirror's own logins. */
const lab: Access = { partition: 'site-lab' };

const KINDS = ['manifest', 'blob'] as const;
type Kind = (typeof KINDS)[number];

function put(upstream: FakeRegistry, kind: Kind): Digest {
  return kind === 'manifest'
    ? upstream.putManifest({ ...INDEX, annotations: { random: randomBytes(8).toString('hex') } })
    : upstream.putBlob(randomBytes(5000));
}

/** Reads it whole, as a client does. */
async function read(cache: CachedRegistry, kind: Kind, from: Repository, digest: Digest, access?: Access) {
  if (kind === 'manifest') return (await cache.manifest(from, { kind: 'digest', digest }, { access })).bytes;
  return readBlob(await cache.blob(from, digest, { access }));
}

/** Answers every HEAD in these repositories, and has none of the bytes. */
function claimEverythingIn(upstream: FakeRegistry, claimed: readonly string[]): void {
  const { resolve, statBlob } = upstream;
  upstream.resolve = async (from, reference, options) =>
    reference.kind === 'digest' && claimed.includes(from.name)
      ? { digest: reference.digest, mediaType: 'application/vnd.oci.image.index.v1+json', sizeBytes: 10 }
      : resolve(from, reference, options);
  upstream.statBlob = async (from, digest, options) =>
    claimed.includes(from.name) ? { digest, sizeBytes: 10 } : statBlob(from, digest, options);
  upstream.before = ({ repository: name, method }: FakeCall) => {
    const isClaimed = claimed.some((one) => name.endsWith(`/${one}`));
    if (isClaimed && (method === 'manifest' || method === 'blob')) {
      throw new RegistryError('MANIFEST_UNKNOWN', 'it has no bytes');
    }
  };
}

describe.each(KINDS)('access to a stored %s', (kind) => {
  test.each([
    ['another registry', repository('x', 'evil.test'), 'just read'],
    ['another registry', repository('x', 'evil.test'), 'stored'],
    ['another repository of the same registry', repository('x', 'secret.test'), 'just read'],
    ['another repository of the same registry', repository('x', 'secret.test'), 'stored'],
  ])('%s does not grant access to it by answering a HEAD: %j, %s', async (_, claimant, state) => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const digest = put(upstream, kind);
    await read(cache, kind, secret, digest, alice);
    // Until its download has ended, a blob is in no store.
    if (state === 'stored') await cache.close();
    claimEverythingIn(upstream, ['x']);
    for (const access of [undefined, lab, { partition: 'bob', authorization: 'Basic Yjpi' }]) {
      await expect(read(cache, kind, claimant, digest, access)).rejects.toMatchObject({ status: 404 });
    }
  });

  test('another repository grants access to it by delivering the bytes, and later for itself', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const digest = put(upstream, kind);
    const other = repository('other/app', 'other.test');
    const bytes = await read(cache, kind, secret, digest, alice);
    await cache.close();
    expect(await read(cache, kind, other, digest, lab)).toEqual(bytes);
    await cache.close();
    expect(upstream.count(kind)).toBe(2);
    expect(await read(cache, kind, other, digest, { partition: 'site-hall' })).toEqual(bytes);
    expect(upstream.count(kind)).toBe(2);
  });

  test('a login is authorized by the registry again after five minutes, and not before', async () => {
    let wallMs = 1_000_000;
    const { upstream, cache } = await cacheAt(await dataDirectory(), { wallClock: () => wallMs });
    const digest = put(upstream, kind);
    await read(cache, kind, secret, digest, alice);
    await cache.close();
    upstream.forgetCalls();
    wallMs += 5 * 60_000 - 1;
    await read(cache, kind, secret, digest, alice);
    expect(upstream.count()).toBe(0);
    wallMs += 1;
    await read(cache, kind, secret, digest, alice);
    expect(upstream.count(kind === 'manifest' ? 'resolve' : 'statBlob')).toBe(1);
    expect(upstream.count()).toBe(1);
    wallMs += 5 * 60_000 - 1;
    await read(cache, kind, secret, digest, alice);
    expect(upstream.count()).toBe(1);
    wallMs += 1;
    await read(cache, kind, secret, digest, alice);
    expect(upstream.count()).toBe(2);
  });

  test('an account that the repository has authorized by a HEAD keeps its access, also after a restart', async () => {
    const directory = await dataDirectory();
    const { upstream, cache } = await cacheAt(directory);
    const digest = put(upstream, kind);
    const bytes = await read(cache, kind, secret, digest, alice);
    await cache.close();
    upstream.forgetCalls();
    expect(await read(cache, kind, secret, digest, lab)).toEqual(bytes);
    expect(upstream.count()).toBe(1);
    upstream.before = unreachable;
    const again = await cacheAt(directory, { upstream });
    for (const { cache: one } of [{ cache }, again]) {
      expect(await read(one, kind, secret, digest, lab)).toEqual(bytes);
    }
  });

  test('a clock that is set back ends the access that a login was granted', async () => {
    let wallMs = 1_000_000;
    const { upstream, cache } = await cacheAt(await dataDirectory(), { wallClock: () => wallMs });
    const digest = put(upstream, kind);
    await read(cache, kind, secret, digest, alice);
    await cache.close();
    upstream.forgetCalls();
    wallMs -= 1;
    await read(cache, kind, secret, digest, alice);
    expect(upstream.count()).toBe(1);
  });

  test.each(['UNAUTHORIZED', 'DENIED'] as const)(
    'a login that the registry has answered %s has no access any more, even when the registry is down or the mirror restarts',
    async (code) => {
      const directory = await dataDirectory();
      let wallMs = 1_000_000;
      const { upstream, cache } = await cacheAt(directory, { wallClock: () => wallMs });
      const digest = put(upstream, kind);
      await read(cache, kind, secret, digest, alice);
      await cache.close();
      upstream.before = () => {
        throw new RegistryError(code, 'revoked');
      };
      wallMs += 1;
      // Any request of this login to this registry tells.
      await expect(cache.tags(secret, { access: alice })).rejects.toMatchObject({ code });
      await expect(read(cache, kind, secret, digest, alice)).rejects.toMatchObject({ code });
      upstream.before = unreachable;
      await expect(read(cache, kind, secret, digest, alice)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      const again = await cacheAt(directory, { upstream });
      await expect(read(again.cache, kind, secret, digest, alice)).rejects.toMatchObject({
        code: 'UNAVAILABLE',
      });
    },
  );

  test('CVE-2026-35172: content removed from a repository is not served there again because another repository has it', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const digest = put(upstream, kind);
    const other = repository('team/other', 'secret.test');
    await read(cache, kind, secret, digest, alice);
    // Downloads are finished.
    await cache.close();
    upstream.before = ({ repository: name }: FakeCall) => {
      if (name.endsWith('/team/secret')) throw new RegistryError('BLOB_UNKNOWN', 'deleted');
    };
    // Anything that the repository does not know any more tells.
    await expect(cache.resolve(secret, tagged('v1'), { access: alice })).rejects.toMatchObject({
      code: 'BLOB_UNKNOWN',
    });
    await read(cache, kind, other, digest, alice);
    await expect(read(cache, kind, secret, digest, alice)).rejects.toMatchObject({ status: 404 });
    await read(cache, kind, other, digest, alice);
  });

  test.each(['just read', 'stored'])(
    'a grant by one repository gives a client’s own login no access through another repository: %s',
    async (state) => {
      const { upstream, cache } = await cacheAt(await dataDirectory());
      const digest = put(upstream, kind);
      const other = repository('team/other', 'secret.test');
      await read(cache, kind, other, digest, alice);
      if (state === 'stored') await cache.close();
      upstream.before = ({ repository: name }: FakeCall) => {
        if (name.endsWith('/team/secret')) throw new RegistryError('NAME_UNKNOWN', 'there is none');
      };
      await expect(read(cache, kind, secret, digest, alice)).rejects.toMatchObject({ status: 404 });
    },
  );

  test('a refusal by one registry takes back no access that another granted', async () => {
    const { upstream, cache } = await cacheAt(await dataDirectory());
    const digest = put(upstream, kind);
    await read(cache, kind, secret, digest, alice);
    await cache.close();
    upstream.before = () => {
      throw new RegistryError('DENIED', 'not here');
    };
    const elsewhere = repository('team/app', 'other.test');
    await expect(cache.blob(elsewhere, put(upstream, 'blob'), { access: alice })).rejects.toMatchObject({
      code: 'DENIED',
    });
    upstream.forgetCalls();
    await read(cache, kind, secret, digest, alice);
    expect(upstream.count()).toBe(0);
  });

  test('a site account that uses the mirror’s own logins keeps its access when the registry is down, also after a restart', async () => {
    const directory = await dataDirectory();
    const { upstream, cache } = await cacheAt(directory);
    const digest = put(upstream, kind);
    const bytes = await read(cache, kind, secret, digest, lab);
    await cache.close();
    upstream.before = unreachable;
    const again = await cacheAt(directory, { upstream });
    expect(await read(again.cache, kind, secret, digest, lab)).toEqual(bytes);
  });

  test('the data directory contains neither a login nor its partition', async () => {
    const { upstream, cache, layout } = await cacheAt(await dataDirectory());
    const digest = put(upstream, kind);
    await read(cache, kind, secret, digest, {
      partition: 'partition-of-alice',
      credential: new ClientCredential(secret.host, 'Basic c2VjcmV0'),
    });
    await read(cache, kind, secret, digest, { partition: 'partition-of-lab' });
    await cache.close();
    const records = await readdir(join(layout, 'records'));
    expect(records).toHaveLength(1);
    const text = await readFile(join(layout, 'records', records[0] ?? ''), 'utf8');
    expect(text).toContain('secret.test/team/secret');
    expect(text).not.toMatch(/partition-of|c2VjcmV0|alice/);
  });
});

test('a manifest by digest for a client’s own login is never cacheable without revalidation', async () => {
  const upstream = createFakeRegistry();
  const { cache } = await cacheAt(await dataDirectory(), { upstream });
  const digest = upstream.putManifest(INDEX);
  const ask = (access?: Access) => cache.manifest(secret, { kind: 'digest', digest }, { access });
  for (const _ of ['fetched', 'stored']) {
    expect((await ask(alice)).maxAgeMs).toBe(0);
    expect((await ask(lab)).maxAgeMs).toBe(Number.POSITIVE_INFINITY);
  }
});

test('the Age of a manifest starts at zero when the registry has just authorized a login for it', async () => {
  let wallMs = 1_000_000;
  const { upstream, cache } = await cacheAt(await dataDirectory(), { wallClock: () => wallMs });
  const reference = { kind: 'digest', digest: put(upstream, 'manifest') } as const;
  const ageMs = async () => (await cache.manifest(secret, reference, { access: alice })).ageMs;
  expect(await ageMs()).toBeUndefined();
  wallMs += 5 * 60_000 - 1;
  expect(await ageMs()).toBe(5 * 60_000 - 1);
  wallMs += 1;
  expect(await ageMs()).toBe(0);
});

test('the Age of a blob starts at zero when the registry has just authorized a login for it', async () => {
  // The file's time is the disk's.
  let wallMs = Date.now();
  const { upstream, cache } = await cacheAt(await dataDirectory(), { wallClock: () => wallMs });
  const digest = put(upstream, 'blob');
  const statAgeMs = async () => (await cache.statBlob(secret, digest, { access: alice })).ageMs;
  const blobAgeMs = async () => {
    const blob = await cache.blob(secret, digest, { access: alice });
    if (blob.kind !== 'content') throw new Error('redirected');
    blob.cancel();
    return blob.ageMs;
  };
  await read(cache, 'blob', secret, digest, alice);
  await cache.close();
  for (const ageMs of [statAgeMs, blobAgeMs]) {
    wallMs += 4 * 60_000;
    expect(await ageMs()).toBeGreaterThan(3 * 60_000);
    wallMs += 60_000;
    expect(await ageMs()).toBe(0);
    expect(upstream.count('statBlob')).toBe(ageMs === statAgeMs ? 1 : 2);
  }
});
