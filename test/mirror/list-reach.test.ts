import { describe, expect, test } from 'vitest';
import { ListReach } from '../../src/mirror/list-reach.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { RegistryError } from '../../src/oci/registry-error.ts';
import { createFakeRegistry, type FakeRegistry, unreachable } from '../support/fake-registry.ts';
import { repository } from '../support/upstream.ts';

const LIST = repository('team/list');
const HOME = repository('team/home');
const of = (name: string) => digestOf(Buffer.from(name));

function putIndex(next: FakeRegistry, entries: readonly Digest[]): Digest {
  const manifests = entries.map((digest) => ({ mediaType: MEDIA_TYPE.ociIndex, digest, size: 7 }));
  const document = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests };
  return next.putManifest(document, { repository: HOME });
}

/** What a list of these members reaches. */
function reachOf(next: FakeRegistry, members: readonly Digest[], mediaType: string = MEDIA_TYPE.ociIndex) {
  const reach = new ListReach({
    next,
    now: () => 0,
    membersOf: async () => members.map((digest) => ({ digest, mediaType, home: HOME })),
  });
  return (digest: Digest) => reach.find(LIST, digest, {});
}

describe('what a list reaches', () => {
  test('ends three levels below its members', async () => {
    const next = createFakeRegistry();
    const chain = [of('the end')];
    for (let depth = 0; depth < 6; depth += 1) chain.unshift(putIndex(next, chain.slice(0, 1)));
    const find = reachOf(next, chain.slice(0, 1));
    const found = [];
    for (const digest of chain) found.push(await find(digest));
    expect(found).toEqual([HOME, HOME, HOME, HOME, undefined, undefined, undefined]);
    expect(next.calls.map(({ reference }) => reference)).toEqual(chain.slice(0, 3));
  });

  test('is looked for in 256 manifests, and no more', async () => {
    const next = createFakeRegistry();
    const inner = Array.from({ length: 300 }, (_, at) => putIndex(next, [of(`part ${at}`)]));
    const find = reachOf(next, [putIndex(next, inner)]);
    expect(await find(of('part 254'))).toEqual(HOME);
    expect(await find(of('part 255'))).toBeUndefined();
    expect(await find(inner.at(-1) as Digest)).toEqual(HOME);
    expect(next.count('manifest')).toBe(256);
  });

  test('is not read where no manifest is', async () => {
    const next = createFakeRegistry();
    const find = reachOf(next, [of('a layer')], MEDIA_TYPE.octets);
    expect([await find(of('a layer')), await find(of('else'))]).toEqual([HOME, undefined]);
    expect(next.count()).toBe(0);
  });

  test('is looked for beside a member that is gone, and fails with one that cannot be asked', async () => {
    const next = createFakeRegistry();
    const find = reachOf(next, [of('gone'), putIndex(next, [of('part')])]);
    expect(await find(of('part'))).toEqual(HOME);
    next.before = unreachable;
    await expect(reachOf(next, [of('gone')])(of('part'))).rejects.toBeInstanceOf(RegistryError);
  });

  test('is remembered for 100,000 digests; the one looked up longest ago is searched again', async () => {
    const next = createFakeRegistry();
    let explorations = 0;
    const reach = new ListReach({
      next,
      now: () => 0,
      membersOf: async () => {
        explorations += 1;
        return [];
      },
    });
    const reached = Array.from({ length: 100_000 }, (_, at) => ({
      digest: `sha256:${at.toString(16).padStart(64, '0')}` as Digest,
      mediaType: MEDIA_TYPE.octets,
      home: HOME,
    }));
    reach.add(LIST, reached);
    const find = (at: number) => reach.find(LIST, reached[at]?.digest as Digest, {});
    expect([await find(0), explorations]).toEqual([HOME, 0]);
    reach.add(LIST, [{ digest: of('one more'), mediaType: MEDIA_TYPE.octets, home: HOME }]);
    expect([await find(0), await find(2), explorations]).toEqual([HOME, HOME, 0]);
    expect([await find(1), explorations]).toEqual([undefined, 1]);
  });

  test('is explored for each list, however shortly after another one', async () => {
    const members = new Map([
      [LIST, of('one')],
      [repository('team/other'), of('other')],
      [repository('team/list', 'ghcr.io'), of('elsewhere')],
    ]);
    const reach = new ListReach({
      next: createFakeRegistry(),
      now: () => 0,
      membersOf: async (list) => {
        const digest = members.get(list);
        return digest === undefined ? [] : [{ digest, mediaType: MEDIA_TYPE.octets, home: HOME }];
      },
    });
    const homes = await Promise.all([...members].map(([list, digest]) => reach.find(list, digest, {})));
    expect(homes).toEqual([HOME, HOME, HOME]);
  });

  test('is explored again for a login when 1000 others have come since', async () => {
    let explorations = 0;
    const reach = new ListReach({
      next: createFakeRegistry(),
      now: () => 0,
      membersOf: async () => {
        explorations += 1;
        return [];
      },
    });
    const find = (at: number) => reach.find(LIST, of('unknown'), { access: { partition: `login ${at}` } });
    for (let at = 0; at < 1000; at += 1) await find(at);
    await find(0);
    expect(explorations).toBe(1000);
    await find(1000);
    await find(0);
    expect(explorations).toBe(1001);
    await find(1);
    expect(explorations).toBe(1002);
  });
});
