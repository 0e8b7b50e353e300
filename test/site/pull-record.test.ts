import { expect, test } from 'vitest';
import { profileOfFeatures } from '../../src/host/assumed-features.ts';
import { digestOf } from '../../src/oci/digest.ts';
import type { Tag } from '../../src/oci/reference.ts';
import type { AccountIdentity } from '../../src/site/account.ts';
import { PullRecord, type TagDecision } from '../../src/site/pull-record.ts';
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
    decide: (reason: string) => record.noteDecision(profile, app, LATEST, decision(reason)),
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
