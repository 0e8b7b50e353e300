import { describe, expect, test } from 'vitest';
import { profileOfFeatures } from '../../src/host/assumed-features.ts';
import { digestOf } from '../../src/oci/digest.ts';
import type { Tag } from '../../src/oci/reference.ts';
import type { AccountIdentity } from '../../src/site/account.ts';
import { answerKey, PullRecord, type PullView } from '../../src/site/pull-record.ts';
import { sharePulls } from '../../src/site/shared-pulls.ts';
import { MemoryServer } from '../support/memory-store.ts';
import { afterTest, repository } from '../support/upstream.ts';

const FAST = { publishMs: 10, storeMs: 30 };
const LATEST = 'latest' as Tag;

/** A replica's record of pulls. */
async function replica(server: MemoryServer) {
  const { state, store } = server.replica();
  const record = new PullRecord(Date.now);
  const pulls = sharePulls(record, state, Date.now, FAST);
  afterTest(() => pulls.close());
  await expect.poll(() => state.trouble).toBeUndefined();
  const profile = profileOfFeatures(['cpu:zen4']);
  record.noteProfile(profile, ['cpu:zen4']);
  const pull = (login: string, name: string, times = 1, address = '192.0.2.1') => {
    const identity = {
      ...{ login, features: ['cpu:zen4'] },
      account: { user: login.split('-')[0] },
    } as unknown as AccountIdentity;
    const app = repository(name, 'docker.io');
    const reason = `for ${login}`;
    record.noteDecision(profile, app, LATEST, {
      ...{ verdict: 'fitted', entry: 'cpu:zen4', reason, notes: [], fit: 'exact' },
    });
    record.hostAt(identity, address)();
    const answer = record.answersTo(identity);
    for (let nth = 0; nth < times; nth += 1)
      answer(app, LATEST, { kind: 'sent', digest: digestOf(Buffer.from(name)) });
  };
  return { state, store, record, pulls, pull };
}

/** All that the API shows of a record, in a fixed order. */
function shownBy(view: PullView) {
  const images = view.images().map(({ origin: _, id: __, ...image }) => image);
  return {
    latest: view.latest(),
    images: images.sort((a, b) => (`${a.login} ${a.image}` < `${b.login} ${b.image}` ? -1 : 1)),
    hosts: [...view.hosts()].sort((a, b) => (`${a.login} ${a.address}` < `${b.login} ${b.address}` ? -1 : 1)),
  };
}
const countsOf = (view: PullView) =>
  shownBy(view).images.map(({ login, image, answers }) => [login, image, answers]);

describe('the record of pulls that replicas share', () => {
  test('is the same at every replica, whichever served a pull', async () => {
    const server = new MemoryServer();
    const [one, other] = [await replica(server), await replica(server)];
    one.pull('lab-gpu', 'lab/app', 3, '192.0.2.1');
    other.pull('lab-gpu', 'lab/app', 2, '192.0.2.1');
    other.pull('ci-node', 'ci/tool', 1, '192.0.2.9');
    const all = [
      ['ci-node', 'docker.io/ci/tool:latest', 1],
      ['lab-gpu', 'docker.io/lab/app:latest', 5],
    ];
    for (const { pulls } of [one, other]) await expect.poll(() => countsOf(pulls)).toEqual(all);
    await expect.poll(() => shownBy(one.pulls)).toEqual(shownBy(other.pulls));
    expect(one.pulls.latest()).toHaveLength(3);
    expect(one.pulls.hosts().map(({ login, address }) => [login, address])).toEqual(
      expect.arrayContaining([
        ['lab-gpu', '192.0.2.1'],
        ['ci-node', '192.0.2.9'],
      ]),
    );
    expect(one.pulls.images().find(({ login }) => login === 'ci-node')).toMatchObject({
      ...{ verdict: 'fitted', entry: 'cpu:zen4', reason: 'for ci-node', fit: 'exact', account: 'ci' },
      repository: repository('ci/tool', 'docker.io'),
    });
  });

  test('shows the growing count of an answer that other replicas know already', async () => {
    const server = new MemoryServer();
    const [one, other] = [await replica(server), await replica(server)];
    one.pull('lab-gpu', 'lab/app', 2);
    await expect.poll(() => countsOf(other.pulls)).toEqual([['lab-gpu', 'docker.io/lab/app:latest', 2]]);
    one.pull('lab-gpu', 'lab/app', 5);
    await expect.poll(() => countsOf(other.pulls)).toEqual([['lab-gpu', 'docker.io/lab/app:latest', 7]]);
    expect(other.pulls.latest()).toHaveLength(1);
  });

  test('is known to a replica that starts after the one that served has ended', async () => {
    const server = new MemoryServer();
    const first = await replica(server);
    first.pull('lab-gpu', 'lab/app', 2);
    await first.pulls.close();
    await first.state.close();
    const next = await replica(server);
    await expect.poll(() => countsOf(next.pulls)).toEqual([['lab-gpu', 'docker.io/lab/app:latest', 2]]);
    expect(shownBy(next.pulls)).toEqual(shownBy(first.record));
    // What it serves itself adds to the former run's count.
    next.pull('lab-gpu', 'lab/app');
    expect(countsOf(next.pulls)).toEqual([['lab-gpu', 'docker.io/lab/app:latest', 3]]);
  });

  test('keeps counting at each replica while the store is down, and is the same again afterwards', async () => {
    const server = new MemoryServer();
    const [one, other] = [await replica(server), await replica(server)];
    one.pull('lab-gpu', 'lab/app');
    await expect.poll(() => countsOf(other.pulls)).toHaveLength(1);
    server.isDown = true;
    await expect.poll(() => [one.state.trouble, other.state.trouble].includes(undefined)).toBe(false);
    one.pull('lab-gpu', 'lab/one');
    other.pull('lab-gpu', 'lab/other');
    expect(countsOf(one.pulls).map(([, image]) => image)).toEqual([
      'docker.io/lab/app:latest',
      'docker.io/lab/one:latest',
    ]);
    // A Redis that was killed comes back empty.
    server.values.clear();
    server.isDown = false;
    for (const { pulls } of [one, other])
      await expect
        .poll(() => countsOf(pulls).map(([, image]) => image))
        .toEqual(['docker.io/lab/app:latest', 'docker.io/lab/one:latest', 'docker.io/lab/other:latest']);
    const late = await replica(server);
    await expect.poll(() => shownBy(late.pulls)).toEqual(shownBy(one.pulls));
  });

  test('reaches a replica that lost the store while it read what an earlier run had stored', async () => {
    const server = new MemoryServer();
    const [first, other] = [await replica(server), await replica(server)];
    first.pull('lab-gpu', 'lab/app');
    await expect.poll(() => countsOf(other.pulls)).toHaveLength(1);
    await first.pulls.close();
    await first.state.close();
    // Redis is new; the late replica reads it before the other one has stored what it knows.
    other.store.isCut = true;
    await expect.poll(() => other.state.trouble).toBeDefined();
    server.values.clear();
    const late = await replica(server);
    late.pull('ci-node', 'ci/tool');
    await expect
      .poll(() => [...server.values.keys()].some((key) => key.includes(':pulls images ')))
      .toBe(true);
    expect(countsOf(late.pulls)).toHaveLength(1);
    other.store.isCut = false;
    for (const { pulls } of [late, other]) await expect.poll(() => countsOf(pulls)).toHaveLength(2);
    await expect.poll(() => shownBy(late.pulls)).toEqual(shownBy(other.pulls));
  });

  test('ignores rows that break the schema, and takes the others of the message', async () => {
    const server = new MemoryServer();
    const [one, other] = [await replica(server), await replica(server)];
    one.pull('lab-gpu', 'lab/app');
    const [row] = one.record.images();
    const bad = [
      null,
      {},
      { ...row, repository: { host: 'docker.io', name: '../etc' } },
      { ...row, answers: -1 },
    ];
    const good = { ...row, origin: 'another', login: 'ci-node' };
    await one.state.publish('pulls', { kind: 'images', rows: [...bad, good] });
    await expect
      .poll(() => countsOf(other.pulls))
      .toEqual([
        ['ci-node', 'docker.io/lab/app:latest', 1],
        ['lab-gpu', 'docker.io/lab/app:latest', 1],
      ]);
  });

  test('crosses the store sealed: neither logins nor images are readable there', async () => {
    const server = new MemoryServer();
    const [one, other] = [await replica(server), await replica(server)];
    one.pull('lab-gpu', 'lab/secret-name');
    await expect.poll(() => countsOf(other.pulls)).toHaveLength(1);
    await one.pulls.close();
    const stored = [...server.values].filter(([key]) => key.includes(':pulls images '));
    expect(stored).toHaveLength(1);
    const all = JSON.stringify([stored, server.messages]);
    expect(all).not.toMatch(/lab-gpu|secret-name/);
  });

  test('spans many messages, each within the limit of the shared state', async () => {
    const server = new MemoryServer();
    const [one, other] = [await replica(server), await replica(server)];
    for (let at = 0; at < 1500; at += 1) one.pull('lab-gpu', `lab/app-${at}`);
    await expect.poll(() => countsOf(other.pulls).length).toBe(1500);
    // The latest 1,000 answers, at both.
    expect(other.pulls.latest()).toHaveLength(1000);
    expect(other.pulls.latest().map(answerKey)).toEqual(one.pulls.latest().map(answerKey));
    expect(Math.max(...server.messages.map(({ message }) => message.length))).toBeLessThan(256 * 1024);
  });
});
