import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { type Access, ClientCredential } from '../../src/oci/registry.ts';
import { layoutOf, prepareLayout } from '../../src/store/layout.ts';
import { createRecords, mergeRecord, partitionKey, Visibility } from '../../src/store/metadata.ts';
import { dataDirectory } from '../support/store.ts';
import { repository } from '../support/upstream.ts';

const DIGEST = digestOf(Buffer.from('content'));
const OTHER = digestOf(Buffer.from('other'));
const app = repository('team/app');
const lab: Access = { partition: 'site-lab' };
const other: Access = { partition: 'site-other' };
const client = (partition: string): Access => ({
  partition,
  credential: new ClientCredential(app.host, 'Basic YTph'),
});
const file: Access = { partition: 'site-file', logins: '/a/auth.json' };

describe('partitionKey()', () => {
  test('returns a different key for each partition, which does not reveal the partition', () => {
    const keys = [undefined, lab, other, { partition: 'own' }].map(partitionKey);
    expect(new Set(keys).size).toBe(4);
    expect(keys[0]).toBe('own');
    for (const key of keys.slice(1)) expect(key).toMatch(/^[0-9a-f]{32}$/);
  });
});

describe('mergeRecord()', () => {
  const made = (kind: 'blob' | 'manifest' | 'derived', access: Access | undefined, name = 'team/app') =>
    mergeRecord(undefined, kind, undefined, { repository: repository(name), access });

  test.each([
    ['blob', 'manifest', 'manifest'],
    ['manifest', 'blob', 'manifest'],
    ['manifest', 'derived', 'derived'],
    ['derived', 'manifest', 'derived'],
    ['blob', 'blob', 'blob'],
  ] as const)('of a %s that arrives as a %s is a %s', (first, second, kind) => {
    const record = mergeRecord(made(first, undefined), second, undefined, {
      repository: app,
      access: undefined,
    });
    expect(record.kind).toBe(kind);
  });

  test('keeps the media type until a new one is given', () => {
    const from = { repository: app, access: undefined };
    const first = mergeRecord(undefined, 'manifest', 'a/b', from);
    expect(mergeRecord(first, 'manifest', undefined, from).mediaType).toBe('a/b');
    expect(mergeRecord(first, 'manifest', 'c/d', from).mediaType).toBe('c/d');
  });

  test.each([
    ['the mirror’s own logins', undefined, ['own']],
    ['an account’s patterns', lab, [partitionKey(lab)]],
    ['a client’s own login', client('ann'), []],
    ['an account’s own upstream logins', file, []],
  ])('of a delivery by %s adds the partitions that may see the content', (_, access, partitions) => {
    expect(made('blob', access).partitions).toEqual(partitions);
  });

  test.each([
    ['origins', 100],
    ['partitions', 1000],
  ] as const)('keeps %s up to %s, the oldest and the newest', (what, most) => {
    let record = made('blob', { partition: '0' }, 'team/r0');
    const add = (at: number) => {
      const from = { repository: repository(`team/r${at}`), access: { partition: String(at) } };
      record = mergeRecord(record, 'blob', undefined, from);
    };
    const keyOf = (at: number) =>
      what === 'origins' ? `registry.test/team/r${at}` : partitionKey({ partition: String(at) });
    for (let at = 1; at < most; at += 1) for (const again of [at, at]) add(again);
    expect(record[what]).toHaveLength(most);
    expect(new Set(record[what]).size).toBe(most);
    // The first again changes nothing, the second becomes the latest.
    add(0);
    add(1);
    expect([record[what].at(0), record[what].at(1), record[what].at(-1)]).toEqual([0, 2, 1].map(keyOf));
    add(most);
    expect(record[what]).toHaveLength(most);
    expect([record[what].at(0), record[what].at(1), record[what].at(-1)]).toEqual([0, 3, most].map(keyOf));
  });
});

describe('the records on disk', () => {
  async function opened() {
    const layout = layoutOf(await dataDirectory());
    await prepareLayout(layout);
    return { layout, records: createRecords(layout) };
  }

  test('are read by the next process', async () => {
    const { layout, records } = await opened();
    await records.add(DIGEST, 'manifest', 'a/b', { repository: app, access: lab });
    await records.grant(DIGEST, undefined);
    await records.grant(OTHER, undefined);
    const record = {
      kind: 'manifest',
      mediaType: 'a/b',
      origins: ['registry.test/team/app'],
      partitions: [partitionKey(lab), 'own'],
    };
    expect(await createRecords(layout).find(DIGEST)).toEqual(record);
    expect(await createRecords(layout).find(OTHER)).toBeUndefined();
    expect(await records.find(DIGEST)).toEqual(record);
  });

  test('keep both of two partitions that store the same content at once, and what another process added', async () => {
    const { layout, records } = await opened();
    await Promise.all(
      [lab, other].map((access) => records.add(DIGEST, 'blob', undefined, { repository: app, access })),
    );
    await createRecords(layout).grant(DIGEST, { partition: 'third' });
    await records.grant(DIGEST, { partition: 'fourth' });
    const keys = [lab, other, { partition: 'third' }, { partition: 'fourth' }].map(partitionKey);
    expect((await createRecords(layout).find(DIGEST))?.partitions).toEqual(keys);
  });

  test.each([
    ['nothing', 'manifest', 'a/b', 'team/app', lab, false],
    ['a lesser kind', 'blob', 'a/b', 'team/app', lab, false],
    ['no media type', 'manifest', undefined, 'team/app', lab, false],
    ['a greater kind', 'derived', 'a/b', 'team/app', lab, true],
    ['another media type', 'manifest', 'c/d', 'team/app', lab, true],
    ['another origin', 'manifest', 'a/b', 'team/other', lab, true],
    ['another partition', 'manifest', 'a/b', 'team/app', other, true],
  ] as const)(
    'of a delivery that brings %s are written only if that is news',
    async (_, kind, type, name, access, isNews) => {
      const { layout, records } = await opened();
      const first = { repository: app, access: lab };
      const second = { repository: repository(name), access };
      await records.add(DIGEST, 'manifest', 'a/b', first);
      const { ino } = await stat(layout.record(DIGEST));
      await records.add(DIGEST, kind, type, second);
      expect((await stat(layout.record(DIGEST))).ino !== ino).toBe(isNews);
      const known = mergeRecord(undefined, 'manifest', 'a/b', first);
      expect(await createRecords(layout).find(DIGEST)).toEqual(mergeRecord(known, kind, type, second));
    },
  );

  test('are absent once removed, and read again once dropped from memory', async () => {
    const { layout, records } = await opened();
    await records.add(DIGEST, 'blob', undefined, { repository: app, access: lab });
    await createRecords(layout).grant(DIGEST, other);
    expect((await records.find(DIGEST))?.partitions).toHaveLength(1);
    records.forget(DIGEST);
    expect((await records.find(DIGEST))?.partitions).toHaveLength(2);
    await records.remove(DIGEST);
    expect(await records.find(DIGEST)).toBeUndefined();
    await expect(readFile(layout.record(DIGEST))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('are kept in memory up to 6 MB, those used longest ago are read again', async () => {
    const { layout, records } = await opened();
    // Each counts 250 bytes, and 50 for each of its partitions.
    const partitions = Array.from({ length: 1000 }, (_, at) => `p${at}`);
    const text = JSON.stringify({ kind: 'blob', origins: ['docker.io/a/b'], partitions });
    const digests = Array.from({ length: 120 }, (_, at) => digestOf(Buffer.from(`${at}`)));
    await Promise.all(digests.map((digest) => writeFile(layout.record(digest), text)));
    for (const digest of digests.slice(0, -1)) await records.find(digest);
    const kept = () => digests.map((digest) => records.inMemory(digest) !== undefined);
    expect(kept()).toEqual([...Array(119).fill(true), false]);
    await records.find(digests[119] as Digest);
    expect(kept()).toEqual([false, ...Array(119).fill(true)]);
  });

  const GOOD = { kind: 'blob', mediaType: 'a/b', origins: ['docker.io/a/b'], partitions: ['own'] };
  test.each([
    ['as written', GOOD, GOOD],
    ['of a derived answer', { ...GOOD, kind: 'derived' }, { ...GOOD, kind: 'derived' }],
    [
      'of a former version, with one repository',
      { ...GOOD, origins: undefined, repository: 'docker.io/a/b' },
      GOOD,
    ],
    ['without a media type', { ...GOOD, mediaType: 7 }, { ...GOOD, mediaType: undefined }],
    ['with partitions that are no texts', { ...GOOD, partitions: ['own', 7, null] }, GOOD],
    ['of no kind', { ...GOOD, kind: 'soup' }, undefined],
    ['without partitions', { ...GOOD, partitions: undefined }, undefined],
    ['with a text for partitions', { ...GOOD, partitions: 'own' }, undefined],
    ['without an origin', { ...GOOD, origins: [] }, undefined],
    ['with a number for origins', { ...GOOD, origins: 7 }, undefined],
    ['that is null', null, undefined],
    ['that is a text', 'blob', undefined],
  ])('are read %s', async (_, written, read) => {
    const { layout, records } = await opened();
    await mkdir(dirname(layout.record(DIGEST)), { recursive: true });
    await writeFile(layout.record(DIGEST), JSON.stringify(written));
    expect(await records.find(DIGEST)).toEqual(read);
  });

  test('are ignored when they are incomplete', async () => {
    const { layout, records } = await opened();
    await mkdir(dirname(layout.record(DIGEST)), { recursive: true });
    await writeFile(layout.record(DIGEST), '{"kind":"blob","part');
    expect(await records.find(DIGEST)).toBeUndefined();
  });
});

describe('Visibility', () => {
  function at(startMs: number) {
    const clock = { ms: startMs };
    return { clock, visibility: new Visibility(() => clock.ms) };
  }
  const RECORD = { partitions: ['own', partitionKey(lab)] };
  const ann = client('ann');

  test.each([
    ['the mirror’s own logins', undefined, true],
    ['a partition of the record', lab, true],
    ['another partition', other, false],
    ['a client’s own login without a grant', ann, false],
    ['a client’s own login whose partition the record has', client('site-lab'), false],
    ['an account’s own upstream logins without a grant', file, false],
  ])('by the record alone, for %s: %s', (_, access, isVisible) => {
    expect(at(0).visibility.includes(DIGEST, RECORD, { repository: app, access })).toBe(isVisible);
  });

  test('keeps 200,000 permissions, those used longest ago are asked for again', { tags: 'slow' }, () => {
    const { visibility } = at(1000);
    const digest = (number: number) => `sha256:${number}` as Digest;
    const grant = (number: number) => visibility.grant(digest(number), { repository: app, access: ann });
    const sees = (number: number) =>
      visibility.includes(digest(number), RECORD, { repository: app, access: ann });
    for (let number = 0; number < 200_000; number += 1) grant(number);
    expect(sees(0)).toBe(true);
    grant(200_000);
    expect([sees(0), sees(1), sees(2)]).toEqual([true, false, true]);
  });

  test('a partition without a client’s own login needs no grant, and gets none', () => {
    const { visibility } = at(0);
    visibility.grant(DIGEST, { repository: app, access: other });
    expect(visibility.includes(DIGEST, RECORD, { repository: app, access: other })).toBe(false);
    visibility.revoke({ repository: app, access: lab });
    expect(visibility.includes(DIGEST, RECORD, { repository: app, access: lab })).toBe(true);
  });

  test.each([
    ['the same', DIGEST, app, ann, true],
    ['another digest', OTHER, app, ann, false],
    ['another repository', DIGEST, repository('team/other'), ann, false],
    ['another registry', DIGEST, repository('team/app', 'ghcr.io'), ann, false],
    ['another login', DIGEST, app, client('bob'), false],
    ['a login without a credential', DIGEST, app, { partition: 'ann' }, false],
  ])('of content that was granted to a login, requested by %s', (_, digest, from, access, isVisible) => {
    const { visibility } = at(1000);
    visibility.grant(DIGEST, { repository: app, access: ann });
    expect(visibility.includes(digest, RECORD, { repository: from, access })).toBe(isVisible);
  });

  test.each([
    [0, true],
    [5 * 60_000 - 1, true],
    [5 * 60_000, false],
    [-1, false],
  ])('of a grant ends: after %s ms it is %s', (laterMs, isVisible) => {
    const { visibility, clock } = at(1_000_000);
    visibility.grant(DIGEST, { repository: app, access: ann });
    clock.ms += laterMs;
    expect(visibility.includes(DIGEST, RECORD, { repository: app, access: ann })).toBe(isVisible);
  });

  test('stays ended for a login that was refused, however many other logins were refused since', () => {
    const { visibility, clock } = at(1000);
    const bob = client('bob');
    const sees = (access: Access) => visibility.includes(DIGEST, RECORD, { repository: app, access });
    for (const access of [ann, bob]) visibility.grant(DIGEST, { repository: app, access });
    clock.ms += 1;
    visibility.revoke({ repository: app, access: ann });
    const others = (from: number, to: number) => {
      for (let each = from; each < to; each += 1) {
        visibility.revoke({ repository: app, access: { ...ann, partition: `other ${each}` } });
      }
    };
    others(1, 100_000);
    expect(sees(bob)).toBe(true);
    // One more than is remembered: then the registry is asked for every login again.
    others(100_000, 100_001);
    expect([sees(ann), sees(bob)]).toEqual([false, false]);
    clock.ms += 1;
    visibility.grant(DIGEST, { repository: app, access: bob });
    expect([sees(ann), sees(bob)]).toEqual([false, true]);
  });

  test.each([
    ['the same login at that registry', repository('team/other'), ann, false],
    ['another login', app, client('bob'), true],
    ['another registry', repository('team/app', 'ghcr.io'), ann, true],
  ])('ends when the registry answers %s', (_, from, access, isVisible) => {
    const { visibility, clock } = at(1000);
    visibility.grant(DIGEST, { repository: app, access: ann });
    visibility.revoke({ repository: from, access });
    expect(visibility.includes(DIGEST, RECORD, { repository: app, access: ann })).toBe(isVisible);
    clock.ms += 1;
    visibility.grant(DIGEST, { repository: app, access: ann });
    expect(visibility.includes(DIGEST, RECORD, { repository: app, access: ann })).toBe(true);
  });
});
