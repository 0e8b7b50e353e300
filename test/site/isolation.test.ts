import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { cached } from '../../src/mirror/cache.ts';
import { tailored } from '../../src/mirror/tailored.ts';
import { digestOf } from '../../src/oci/digest.ts';
import type { Registry } from '../../src/oci/registry.ts';
import { RegistryError } from '../../src/oci/registry-error.ts';
import { DEFAULT_POLICY } from '../../src/selection/policy.ts';
import { openStore } from '../../src/store/store.ts';
import { createFakeRegistry } from '../support/fake-registry.ts';
import { temporaryFolder } from '../support/folder.ts';
import { basic, hashed, machineFolder, openTestSite } from '../support/site.ts';
import { closing, readBlob, repository, tagged } from '../support/upstream.ts';

const MICROARCHITECTURES = [
  'haswell',
  'broadwell',
  'skylake',
  'zen',
  'zen2',
  'zen3',
  'zen4',
  'icelake',
  'cascadelake',
  'nehalem',
];
const TYPES = MICROARCHITECTURES.flatMap((name) => [[`cpu:${name}`], [`cpu:${name}`, 'nvcap:9.0']]);
const ACCOUNTS = 10;

/** An index with an entry for each machine type; `name` makes each one's image another. */
function indexOf(name: string): { readonly index: object; readonly entries: readonly string[] } {
  const entries = TYPES.map((features) => digestOf(Buffer.from(`${name} ${features.join(',')}`)));
  const manifests = TYPES.map((features, at) => ({
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: entries[at],
    size: 100 + at,
    platform: { os: 'linux', architecture: 'amd64', features },
  }));
  return {
    index: { schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests },
    entries,
  };
}

/** A site over a real store and a registry that shows each account's private repository to its own upstream login only. */
async function wholeSite() {
  const upstream = createFakeRegistry();
  const files: Record<string, string> = {};
  const logins = temporaryFolder();
  const secrets = Array.from({ length: ACCOUNTS }, (_, at) => Buffer.from(`the secret of a${at}`));
  const digests = secrets.map((secret) => upstream.putBlob(secret));
  const shared = indexOf('shared');
  upstream.putManifest(shared.index, { tag: 'latest', repository: repository('shared/app') });
  for (let at = 0; at < ACCOUNTS; at += 1) {
    const own = join(logins, `a${at}.json`);
    await writeFile(own, '{}');
    const types = TYPES.map(
      (features, type) => `  - {name: t${type}, features: ${JSON.stringify(features)}}`,
    );
    files[`a${at}.yaml`] =
      `user: a${at}\npassword: "${await hashed(`a${at}`)}"\nupstreamLogins: ${own}\ntypes:\n${types.join('\n')}\n`;
    upstream.putManifest(indexOf(`private${at}`).index, {
      tag: 'latest',
      repository: repository(`private/a${at}`),
    });
  }
  // What a real registry does with the login that it is shown.
  upstream.before = ({ repository: name, reference, options }) => {
    const owner = /\/private\/(a\d+)$/.exec(name)?.[1];
    const shown = options.access?.logins;
    if (owner !== undefined && shown !== join(logins, `${owner}.json`)) {
      throw new RegistryError('NAME_UNKNOWN', `there is no ${name}`);
    }
    const secret = digests.indexOf(reference as (typeof digests)[number]);
    if (secret >= 0 && owner !== `a${secret}`)
      throw new RegistryError('BLOB_UNKNOWN', `${name} has no such blob`);
  };
  const directory = temporaryFolder();
  const store = closing(await openStore({ directory, maxBytes: 1e9, log: () => {}, now: Date.now }));
  const cache = closing(cached({ next: upstream, store, log: () => {}, now: () => performance.now() }));
  const machines = await machineFolder(files);
  const site = await openTestSite({
    machines,
    registryFor: (profile): Registry =>
      tailored({
        next: cache,
        profile,
        policyFor: () => DEFAULT_POLICY,
        derived: store.derived,
        decided: () => {},
        now: () => 0,
      }),
  });
  const enter = async (account: number, type: number, name: string) => {
    const admission = await site.admit(
      basic(`a${account}-t${type}`, `a${account}`),
      name,
      {},
      'registry.test',
    );
    if (admission.kind !== 'admitted') throw new Error(`a${account}-t${type} was refused`);
    return {
      registry: admission.registry,
      asked: admission.access === undefined ? {} : { access: admission.access },
    };
  };
  return { enter, upstream, digests, secrets, shared };
}

const LOGINS = Array.from({ length: 200 }, (_, at) => ({
  account: at % ACCOUNTS,
  type: Math.floor(at / ACCOUNTS),
}));

/** The entries that a tag's answer still holds. */
async function entriesOf(registry: Registry, name: string, asked: object): Promise<readonly string[]> {
  const { bytes, digest } = await registry.manifest(repository(name), tagged('latest'), asked);
  // As every runtime does: what was announced is asked for by digest.
  const again = await registry.manifest(repository(name), { kind: 'digest', digest }, asked);
  expect(again.bytes.equals(bytes)).toBe(true);
  const { manifests } = JSON.parse(bytes.toString()) as { manifests: { digest: string }[] };
  return manifests.map((entry) => entry.digest);
}

const outcomeOf = (task: Promise<unknown>) =>
  task.then(
    () => 'served',
    (error: unknown) => (error instanceof RegistryError ? error.code : `${error}`),
  );

describe('two hundred logins of twenty machine types, all at once', () => {
  test('each get the entry of their own type, for the shared and for their private image', async () => {
    const { enter, shared } = await wholeSite();
    await Promise.all(
      LOGINS.map(async ({ account, type }) => {
        for (const name of ['shared/app', `private/a${account}`]) {
          const { registry, asked } = await enter(account, type, name);
          const expected =
            name === 'shared/app' ? shared.entries[type] : indexOf(`private${account}`).entries[type];
          expect(await entriesOf(registry, name, asked)).toEqual([expected]);
        }
      }),
    );
  });

  test('never get content of another account’s upstream login, cached or not, by tag or by digest', async () => {
    const { enter, digests, secrets } = await wholeSite();
    const private_ = (account: number) => repository(`private/a${account}`);
    const work = LOGINS.flatMap(({ account, type }) => {
      const other = (account + 1 + (type % (ACCOUNTS - 1))) % ACCOUNTS;
      const [own, theirs] = [digests[account], digests[other]];
      if (own === undefined || theirs === undefined) throw new Error('there is a digest for each account');
      const ask = async (name: string, use: (entered: Awaited<ReturnType<typeof enter>>) => Promise<void>) =>
        use(await enter(account, type, name));
      return [
        ask(`private/a${account}`, async ({ registry, asked }) => {
          expect(await readBlob(await registry.blob(private_(account), own, asked))).toEqual(
            secrets[account],
          );
        }),
        ask(`private/a${other}`, async ({ registry, asked }) => {
          expect(await outcomeOf(registry.manifest(private_(other), tagged('latest'), asked))).toBe(
            'NAME_UNKNOWN',
          );
          expect(await outcomeOf(registry.blob(private_(other), theirs, asked))).toBe('NAME_UNKNOWN');
        }),
        // Through a repository of one's own, by a digest that leaked.
        ask(`private/a${account}`, async ({ registry, asked }) => {
          expect(await outcomeOf(registry.blob(private_(account), theirs, asked))).toBe('BLOB_UNKNOWN');
          expect(await outcomeOf(registry.statBlob(private_(account), theirs, asked))).toBe('BLOB_UNKNOWN');
        }),
      ];
    });
    await Promise.all(work);
    // And once more, now that the cache holds everything.
    const { registry, asked } = await enter(0, 0, 'private/a0');
    for (const theirs of digests.slice(1)) {
      expect(await outcomeOf(registry.blob(private_(0), theirs, asked))).toBe('BLOB_UNKNOWN');
    }
  });
});

describe('an account with upstream logins of its own', () => {
  async function siteWith(files: Readonly<Record<string, string>>) {
    const machines = await machineFolder(files);
    const { admit, clock } = await openTestSite({ machines });
    const partitionOf = async (user: string, password = user) => {
      // The files are looked at once a second.
      clock.ms += 1500;
      const admission = await admit(basic(user, password), 'team/app');
      return admission.kind === 'admitted' ? admission.access?.partition : 'refused';
    };
    return { machines, partitionOf };
  }
  const accountOf = async (user: string, logins: string, password = user) =>
    `user: ${user}\npassword: "${await hashed(password)}"\nupstreamLogins: ${logins}\n`;

  async function withLogins() {
    const folder = temporaryFolder();
    const logins = join(folder, 'auth.json');
    await writeFile(logins, '{"auths":{"registry.test":{"auth":"b25lOm9uZQ=="}}}');
    return {
      logins,
      ...(await siteWith({ 'a.yaml': await accountOf('a', logins), 'b.yaml': await accountOf('b', logins) })),
    };
  }

  test('shares nothing with another account that has the same file', async () => {
    const { partitionOf } = await withLogins();
    const [a, b] = [await partitionOf('a'), await partitionOf('b')];
    expect(a).toMatch(/^site-/);
    expect(b).toMatch(/^site-/);
    expect(a).not.toBe(b);
    expect(await partitionOf('a')).toBe(a);
  });

  test('gets a new cache partition when its upstream logins change or disappear', async () => {
    const { partitionOf, logins } = await withLogins();
    const first = await partitionOf('a');
    await writeFile(logins, '{"auths":{"registry.test":{"auth":"dHdvOnR3bw=="}}}');
    const second = await partitionOf('a');
    await rm(logins);
    const third = await partitionOf('a');
    expect(new Set([first, second, third, 'refused', undefined]).size).toBe(5);
  });

  test('gets a new cache partition when its password changes', async () => {
    const { partitionOf, machines, logins } = await withLogins();
    const first = await partitionOf('a');
    await writeFile(join(machines, 'a.yaml'), await accountOf('a', logins, 'other'));
    const second = await partitionOf('a', 'other');
    expect(second).toMatch(/^site-/);
    expect(second).not.toBe(first);
  });
});
