import { describe, expect, test } from 'vitest';
import { profileOfFeatures } from '../../src/host/assumed-features.ts';
import { digestOf } from '../../src/oci/digest.ts';
import type { Tag } from '../../src/oci/reference.ts';
import type { AccountIdentity } from '../../src/site/account.ts';
import { answerKey, PullRecord, type TagDecision } from '../../src/site/pull-record.ts';
import { repository } from '../support/upstream.ts';

const LATEST = 'latest' as Tag;
const app = repository('lab/app', 'docker.io');
const sent = (text: string) => ({ kind: 'sent', digest: digestOf(Buffer.from(text)) }) as const;
const decision = (reason: string): TagDecision => ({
  ...{ verdict: 'fitted', entry: 'zen4', reason, notes: [], fit: undefined },
});

function recording() {
  let nowMs = 1000;
  const record = new PullRecord(() => nowMs);
  const profile = profileOfFeatures(['cpu:zen4']);
  record.noteProfile(profile, ['cpu:zen4']);
  const identity = {
    login: 'lab-zen4',
    account: { user: 'lab' },
    features: ['cpu:zen4'],
  } as unknown as AccountIdentity;
  return {
    record,
    answer: record.answersTo(identity),
    identity,
    profile,
    decide: (reason: string, more: Partial<TagDecision> = {}) =>
      record.noteDecision(profile, app, LATEST, { ...decision(reason), ...more }),
    pass: (ms: number) => {
      nowMs += ms;
    },
    counts: () => record.latest().map(({ answers, reason, lastMs }) => ({ answers, reason, lastMs })),
  };
}

test('PullRecord counts equal answers within a minute as one, even for another target object', () => {
  const { record, answer, decide, pass, counts } = recording();
  decide('first');
  for (let nth = 0; nth < 3; nth += 1) answer(app, LATEST, sent('one'));
  pass(10);
  answer({ ...app }, LATEST, sent('one'));
  expect(counts()).toEqual([{ answers: 4, reason: 'first', lastMs: 1010 }]);
  expect(record.images()).toMatchObject([{ answers: 4, firstMs: 1000, lastMs: 1010 }]);
});

test.each([
  ['another digest', ({ answer }: ReturnType<typeof recording>) => answer(app, LATEST, sent('two')), 'first'],
  [
    'another decision',
    ({ answer, decide }: ReturnType<typeof recording>) => {
      decide('second');
      answer(app, LATEST, sent('one'));
    },
    'second',
  ],
  [
    'the next minute',
    ({ answer, pass }: ReturnType<typeof recording>) => {
      pass(60_000);
      answer(app, LATEST, sent('one'));
    },
    'first',
  ],
])('PullRecord begins a new answer for %s, and keeps counting the image', (_, happen, reason) => {
  const all = recording();
  all.decide('first');
  for (let nth = 0; nth < 3; nth += 1) all.answer(app, LATEST, sent('one'));
  happen(all);
  expect(all.counts().map(({ answers, reason: why }) => [answers, why])).toEqual([
    [1, reason],
    [3, 'first'],
  ]);
  expect(all.record.images()).toMatchObject([{ answers: 4, reason }]);
});

describe('PullRecord', () => {
  const asked = (all: ReturnType<typeof recording>) =>
    all.record.latest().map(({ verdict, reason, digest }) => [verdict, reason, digest]);
  const failed = (status: number) => ({ kind: 'failed', status, reason: 'upstream said so' }) as const;

  test.each([
    [
      'a tag nothing was decided on',
      undefined,
      sent('one'),
      'unchanged',
      'sent as the registry has it',
      sent('one').digest,
    ],
    ['a tag that was decided on', 'fitted', sent('one'), 'fitted', 'a reason', sent('one').digest],
    ['a failure', undefined, failed(502), 'failed', 'upstream said so', ''],
    ['a failure after a decision', 'fitted', failed(502), 'failed', 'upstream said so', ''],
    ['a refusal', 'refused', failed(404), 'refused', 'a reason', ''],
    // The registry has no such tag.
    ['404 without a decision', undefined, failed(404), undefined, '', ''],
    ['404 after another decision', 'fitted', failed(404), undefined, '', ''],
  ] as const)('notes %s', (_, verdict, outcome, noted, reason, digest) => {
    const all = recording();
    if (verdict !== undefined) all.decide('a reason', { verdict });
    all.answer(app, LATEST, outcome as never);
    expect(asked(all)).toEqual(noted === undefined ? [] : [[noted, reason, digest]]);
    expect(all.record.images()).toHaveLength(noted === undefined ? 0 : 1);
  });

  test('says everything of an answer', () => {
    const { record, answer, decide } = recording();
    decide('a reason', { entry: 'cpu:zen4', notes: ['a note'], fit: 'exact' as never });
    answer(app, LATEST, sent('one'));
    const whole = {
      ...{ verdict: 'fitted', entry: 'cpu:zen4', reason: 'a reason', notes: ['a note'], fit: 'exact' },
      ...{ origin: record.origin, id: 1, account: 'lab', login: 'lab-zen4', features: ['cpu:zen4'] },
      ...{ repository: app, image: 'docker.io/lab/app:latest', digest: sent('one').digest },
      ...{ answers: 1, firstMs: 1000, lastMs: 1000 },
    };
    expect(record.latest()).toEqual([whole]);
    expect(record.images()).toEqual([whole]);
    expect(record.origin).toMatch(/^[\w-]{12}$/);
    expect(new PullRecord(() => 0).origin).not.toBe(record.origin);
  });

  test('knows no decision for a profile of other features, another tag or another repository', () => {
    const { record, answer, decide, profile } = recording();
    const other = profileOfFeatures(['cpu:zen3']);
    record.noteDecision(other, app, LATEST, decision('nobody has it'));
    record.noteProfile(other, ['cpu:zen3']);
    record.noteDecision(other, app, LATEST, decision('of a Zen 3'));
    record.noteDecision(profile, app, 'other' as Tag, decision('of another tag'));
    record.noteDecision(
      profile,
      repository('lab/other', 'docker.io'),
      LATEST,
      decision('of another repository'),
    );
    answer(app, LATEST, sent('one'));
    expect(record.latest()).toMatchObject([{ verdict: 'unchanged' }]);
    decide('its own');
    answer(app, LATEST, sent('one'));
    expect(record.latest()).toMatchObject([{ reason: 'its own' }, { verdict: 'unchanged' }]);
  });

  test('lists the latest first, up to a thousand, and each login and image once', () => {
    const { record, answer, pass } = recording();
    for (let at = 0; at < 1001; at += 1) {
      pass(1);
      answer(app, LATEST, sent(`${at}`));
    }
    const latest = record.latest();
    expect(latest.map(({ id }) => id)).toEqual(Array.from({ length: 1000 }, (_, at) => 1001 - at));
    expect(record.images()).toMatchObject([{ id: 1001, answers: 1001, firstMs: 1001, lastMs: 2001 }]);
    const keys = latest.map(answerKey);
    expect(keys.toSorted()).toEqual(keys);
  });

  test('keeps the last answers for ten thousand images, those asked for last', () => {
    const { record, answer } = recording();
    const outcome = sent('one');
    const ask = (at: number) => answer(app, `v${at}` as Tag, outcome);
    for (let at = 0; at < 10_000; at += 1) ask(at);
    expect(record.images()).toHaveLength(10_000);
    ask(0);
    ask(10_000);
    const images = record.images().map(({ image }) => image);
    expect(images).toHaveLength(10_000);
    expect(['v0', 'v1', 'v10000'].map((tag) => images.includes(`docker.io/lab/app:${tag}`))).toEqual([
      ...[true, false, true],
    ]);
  });

  test('keeps ten thousand decisions, those made or answered last', () => {
    const { record, answer, profile } = recording();
    const decide = (at: number) =>
      record.noteDecision(profile, app, `v${at}` as Tag, decision(`decision ${at}`));
    for (let at = 0; at < 10_000; at += 1) decide(at);
    const outcome = sent('one');
    const reasonFor = (at: number) => {
      answer(app, `v${at}` as Tag, outcome);
      return record.latest()[0]?.reason;
    };
    expect(reasonFor(0)).toBe('decision 0');
    decide(10_000);
    const none = 'sent as the registry has it';
    expect([1, 2, 10_000].map(reasonFor)).toEqual([none, 'decision 2', 'decision 10000']);
  });

  test('keeps five thousand machines, those that pulled last', () => {
    const { record, identity } = recording();
    const pull = (at: number) => record.hostAt(identity, `machine ${at}`)();
    for (let at = 0; at < 5000; at += 1) pull(at);
    expect(record.hosts()).toHaveLength(5000);
    pull(0);
    pull(5000);
    const addresses = record.hosts().map(({ address }) => address);
    expect(addresses).toHaveLength(5000);
    expect([0, 1, 5000].map((at) => addresses.includes(`machine ${at}`))).toEqual([true, false, true]);
  });

  test('notes each machine once, with what it last was', () => {
    const { record, pass, identity } = recording();
    record.hostAt(identity, '192.0.2.1')();
    pass(5);
    record.hostAt(identity, '192.0.2.2')();
    record.hostAt({ ...identity, features: ['cpu:zen5'] }, '192.0.2.1')();
    const host = { account: 'lab', login: 'lab-zen4', features: ['cpu:zen4'] };
    expect(record.hosts()).toEqual([
      { ...host, features: ['cpu:zen5'], address: '192.0.2.1', firstMs: 1000, lastMs: 1005 },
      { ...host, address: '192.0.2.2', firstMs: 1005, lastMs: 1005 },
    ]);
  });

  test('tells what has changed at or after a time', () => {
    const { record, answer, pass, identity } = recording();
    record.hostAt(identity, 'old')();
    answer(app, LATEST, sent('one'));
    pass(10);
    record.hostAt(identity, 'new')();
    answer(repository('lab/other', 'docker.io'), LATEST, sent('one'));
    const sizes = (sinceMs: number) =>
      Object.entries(record.changedSince(sinceMs)).map(([kind, rows]) => [kind, rows.length]);
    const all = (count: number) => ['answers', 'images', 'hosts'].map((kind) => [kind, count]);
    expect([1000, 1001, 1010, 1011].map(sizes)).toEqual([all(2), all(1), all(1), all(0)]);
  });
});
