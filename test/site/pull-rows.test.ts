import { describe, expect, test } from 'vitest';
import { check } from '../../src/lib/schema.ts';
import type { RecordedAnswer, SeenHost } from '../../src/site/pull-record.ts';
import { mergeHosts, ROW_KINDS, sumAnswers } from '../../src/site/pull-rows.ts';

const ANSWER = {
  ...{ origin: 'a', id: 1, account: 'lab', login: 'lab-zen4', features: ['cpu:zen4'] },
  ...{
    repository: { host: 'docker.io', name: 'lab/app' },
    image: 'docker.io/lab/app:latest',
    digest: 'sha256:0',
  },
  ...{ verdict: 'fitted', entry: 'cpu:zen4', reason: 'a reason', notes: ['a note'], fit: 'exact' },
  ...{ answers: 2, firstMs: 10, lastMs: 20 },
} as const;
const HOST: SeenHost = {
  ...{ account: 'lab', login: 'lab-zen4', features: ['cpu:zen4'], address: '192.0.2.1' },
  ...{ firstMs: 10, lastMs: 20 },
};
const answer = (more: object) => ({ ...ANSWER, ...more }) as unknown as RecordedAnswer;
const host = (more: object): SeenHost => ({ ...HOST, ...more });
const text = (length: number) => 'x'.repeat(length);

describe('a row that another replica has written', () => {
  const isRead = (kind: 'answers' | 'images' | 'hosts', row: unknown) =>
    check<unknown>(ROW_KINDS[kind].schema as never, row).output !== undefined;

  test('is read as it is', () => {
    const { output } = check<unknown>(ROW_KINDS.answers.schema as never, ANSWER);
    expect(output).toMatchObject({ ...ANSWER, repository: { name: 'lab/app' } });
    const { entry, fit, ...without } = ANSWER;
    expect(check<unknown>(ROW_KINDS.images.schema as never, without).output).toMatchObject({
      ...without,
      ...{ repository: { name: 'lab/app' }, entry: undefined, fit: undefined },
    });
    expect(check<unknown>(ROW_KINDS.hosts.schema as never, HOST).output).toEqual(HOST);
  });

  test.each([
    ['name', (size: number) => ({ login: text(size) }), 512],
    ['reason', (size: number) => ({ reason: text(size) }), 8192],
    ['number of features', (size: number) => ({ features: Array(size).fill('f') }), 512],
    ['number of notes', (size: number) => ({ notes: Array(size).fill('n') }), 64],
  ])('is bounded in its %s', (_, of, most) => {
    expect([most, most + 1].map((size) => isRead('answers', { ...ANSWER, ...of(size) }))).toEqual([
      true,
      false,
    ]);
  });

  test.each([
    ['a repository that is none', { repository: { host: 'docker.io', name: '../app' } }],
    ['a host that is none', { repository: { host: 'a b', name: 'lab/app' } }],
    ['a verdict that is none', { verdict: 'good' }],
    ['a fit that is none', { fit: 'good' }],
    ['no answer', { answers: 0 }],
    ['half an answer', { answers: 1.5 }],
    ['a time before 1970', { firstMs: -1 }],
    ['no reason', { reason: undefined }],
  ])('is ignored with %s', (_, wrong) => {
    expect(isRead('answers', { ...ANSWER, ...wrong })).toBe(false);
  });
});

test.each([
  ['answers', answer({}), answer({ origin: 'b' }), answer({ id: 2 })],
  ['images', answer({}), answer({ origin: 'b' }), answer({ login: 'b' }), answer({ image: 'b' })],
  ['hosts', host({}), host({ login: 'b' }), host({ address: 'b' })],
] as const)('rows of %s that are not the same have keys of their own', (kind, ...rows) => {
  const keyOf = ROW_KINDS[kind].keyOf as (row: unknown) => string;
  expect(new Set(rows.map(keyOf)).size).toBe(rows.length);
  expect(keyOf(Object.assign({}, rows[0], { lastMs: 99, features: [] }))).toBe(keyOf(rows[0]));
});

test.each([
  ['answered later', { lastMs: 21 }, true],
  ['that has counted more', { answers: 3 }, true],
  ['answered before', { lastMs: 19, answers: 1 }, false],
  ['that is the same', {}, false],
])('of two states of an answer the one %s counts, in either order', (_, more, isOther) => {
  const other = answer(more);
  for (const { merge } of [ROW_KINDS.answers, ROW_KINDS.images]) {
    expect(merge(other, answer({}))).toEqual(isOther ? other : answer({}));
    expect(merge(answer({}), other)).toEqual(isOther ? other : answer({}));
  }
});

test.each([
  [
    host({ firstMs: 5, lastMs: 30, features: ['later'] }),
    host({ firstMs: 5, lastMs: 30, features: ['later'] }),
  ],
  [host({ firstMs: 15, lastMs: 30, features: ['later'] }), host({ lastMs: 30, features: ['later'] })],
  [host({ firstMs: 5, lastMs: 15, features: ['earlier'] }), host({ firstMs: 5 })],
])('a machine is known since its first pull, as it was at its last: %j', (other, merged) => {
  expect(mergeHosts(host({}), other)).toEqual(merged);
  expect(mergeHosts(other, host({}))).toEqual(merged);
  expect(ROW_KINDS.hosts.merge(other, host({}))).toEqual(merged);
});

test.each([
  ['later', { lastMs: 30, firstMs: 15 }, 'other', 10],
  ['earlier', { lastMs: 15, firstMs: 5 }, 'own', 5],
  ['at the same time, of a later origin', { origin: 'b' }, 'other', 10],
  ['at the same time, of an earlier origin', { origin: '_' }, 'own', 10],
])('answers of two replicas add up, and the later one shows: %s', (_, more, shown, firstMs) => {
  const other = answer({ reason: 'other', answers: 3, ...more });
  const own = answer({ reason: 'own' });
  const sum = { ...(shown === 'other' ? other : own), answers: 5, firstMs };
  expect(sumAnswers(own, other)).toEqual(sum);
  expect(sumAnswers(other, own)).toEqual(sum);
});
