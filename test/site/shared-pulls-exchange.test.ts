import * as v from 'valibot';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Schema } from '../../src/lib/schema.ts';
import type { Patience, SharedState } from '../../src/lib/shared-state.ts';
import type { PullRecord, RecordedAnswer, SeenHost } from '../../src/site/pull-record.ts';
import { sharePulls } from '../../src/site/shared-pulls.ts';

/**
 * What one replica publishes, stores and reads, with the rows in clear text; shared-pulls.test.ts has the whole
 * way from replica to replica.
 */

const START_MS = Date.parse('2026-01-01T00:00:00Z');
const DAY_MS = 24 * 60 * 60_000;

beforeEach(() => void vi.useFakeTimers({ now: START_MS, toFake: ['Date', 'setInterval', 'clearInterval'] }));
afterEach(() => void vi.useRealTimers());

const ANSWER = {
  ...{ origin: 'peer', id: 1, account: 'lab', login: 'lab-zen4', features: ['cpu:zen4'] },
  ...{ repository: { host: 'docker.io', name: 'lab/app' }, image: 'docker.io/lab/app:latest' },
  ...{
    digest: 'sha256:0',
    verdict: 'fitted',
    entry: 'cpu:zen4',
    reason: 'a reason',
    notes: [],
    fit: 'exact',
  },
  ...{ answers: 1, firstMs: START_MS, lastMs: START_MS },
} as unknown as RecordedAnswer;
const answer = (more: object): RecordedAnswer => ({ ...ANSWER, ...more });
const host = (more: object): SeenHost => ({
  ...{ account: 'lab', login: 'lab-zen4', features: ['cpu:zen4'], address: '192.0.2.1' },
  ...{ firstMs: START_MS, lastMs: START_MS, ...more },
});

interface Rows {
  readonly answers: RecordedAnswer[];
  readonly images: RecordedAnswer[];
  readonly hosts: SeenHost[];
}

/** A replica with these rows of its own, and the shared state as it sees it. */
function replica(rows: Partial<Rows> = {}) {
  const own: Rows = { answers: [], images: [], hosts: [], ...rows };
  const values = new Map<string, unknown>();
  const published: { readonly topic: string; readonly body: unknown }[] = [];
  const asked: string[] = [];
  const lifetimes = new Set<number>();
  const patiences = new Set<Patience>();
  const receivers = new Map<string, (body: unknown) => void>();
  let comeBack = () => {};
  const state = {
    trouble: undefined as string | undefined,
    get: async <T>(key: string, schema: Schema<T>, patience: Patience = 'request') => {
      asked.push(key);
      patiences.add(patience);
      const { success, output } = v.safeParse(schema, values.get(key));
      return success ? output : undefined;
    },
    set: async (key: string, value: unknown, ttlMs: number, patience: Patience = 'request') => {
      values.set(key, value);
      lifetimes.add(ttlMs);
      patiences.add(patience);
      return true;
    },
    claim: async () => 'unknown' as const,
    publish: async (topic: string, body: unknown) => void published.push({ topic, body }),
    subscribe: <T>(topic: string, schema: Schema<T>, receive: (body: T, from: string) => void) =>
      void receivers.set(topic, (body) => {
        const { success, output } = v.safeParse(schema, body);
        if (success) receive(output, 'peer');
      }),
    onReturn: (callback: () => void) => {
      comeBack = callback;
    },
    close: async () => {},
  } satisfies SharedState;
  const record = {
    origin: 'own',
    latest: () => own.answers,
    images: () => own.images,
    hosts: () => own.hosts,
    changedSince: (sinceMs: number) => {
      const isRecent = ({ lastMs }: { readonly lastMs: number }) => lastMs >= sinceMs;
      return {
        answers: own.answers.filter(isRecent),
        images: own.images.filter(isRecent),
        hosts: own.hosts.filter(isRecent),
      };
    },
  } as unknown as PullRecord;
  const pulls = sharePulls(record, state, Date.now);
  /** The messages with rows since the last call: their kinds and rows. */
  const messages = () =>
    published
      .splice(0)
      .flatMap(({ topic, body }) => (topic === 'pulls' ? [body as { kind: string; rows: object[] }] : []));
  return {
    ...{ own, values, published, asked, lifetimes, patiences, state, pulls, messages },
    receive: (topic: string, body: unknown) => receivers.get(topic)?.(body),
    comeBack: () => comeBack(),
    pass: (ms: number) => vi.advanceTimersByTimeAsync(ms),
  };
}

describe('a replica that shares its record of pulls', () => {
  test('publishes a change within half a second, once, and stores it within ten for a week', async () => {
    const { own, messages, values, lifetimes, patiences, pass } = replica();
    const row = host({});
    own.hosts.push(row);
    await pass(499);
    expect(messages()).toEqual([]);
    await pass(1);
    expect(messages()).toEqual([{ kind: 'hosts', rows: [row] }]);
    await pass(9_499);
    expect([messages(), values.size]).toEqual([[], 0]);
    await pass(1);
    expect([...values.values()]).toEqual([[row]]);
    expect([...lifetimes]).toEqual([7 * DAY_MS]);
    // No request waits for it.
    expect([...patiences]).toEqual(['background']);
    values.clear();
    await pass(10_000);
    expect([messages(), values.size]).toEqual([[], 0]);
  });

  test('publishes and stores what changed in the millisecond of the last time', async () => {
    const { own, messages, values, pass } = replica();
    await pass(10_000);
    own.hosts.push(host({ lastMs: Date.now() }));
    await pass(10_000);
    expect([messages().length, values.size]).toEqual([1, 1]);
  });

  test('publishes and stores, once, what changed after the clock was set back', async () => {
    const { own, messages, values, pass } = replica();
    await pass(10_000);
    vi.setSystemTime(START_MS - DAY_MS);
    await pass(100);
    own.hosts.push(host({ lastMs: Date.now() }));
    await pass(20_000);
    expect([messages().length, values.size]).toEqual([1, 1]);
  });

  test('publishes and stores nothing without the shared state, and everything when it is back', async () => {
    const { own, state, messages, published, values, pass } = replica();
    state.trouble = 'down';
    own.hosts.push(host({}));
    await pass(10_000);
    expect([published, values.size]).toEqual([[], 0]);
    state.trouble = undefined;
    await pass(10_000);
    expect([messages().length, values.size]).toEqual([1, 1]);
  });

  test('publishes and stores at its end what it has not yet, and nothing afterwards', async () => {
    const { own, pulls, messages, values, pass } = replica({ hosts: [host({})] });
    await pulls.close();
    expect([messages().length, values.size]).toEqual([1, 1]);
    own.hosts.push(host({ address: '192.0.2.2', lastMs: Date.now() + 1 }));
    await pass(20_000);
    expect([messages().length, values.size]).toEqual([0, 1]);
  });

  test.each([
    ['in one message, as many bytes as it may have', 0, [2]],
    ['in two messages, one byte more', 1, [1, 1]],
  ])('sends its rows %s', async (_, more, counts) => {
    // Each row with its comma, in bytes; of each character of a reason, two.
    const sized = (id: number, bytes: number) => {
      const empty = Buffer.byteLength(JSON.stringify(answer({ id, reason: '' }))) + 1;
      const text = bytes - empty;
      return answer({ id, reason: 'é'.repeat(Math.floor(text / 2)) + 'x'.repeat(text % 2) });
    };
    const { messages, pass } = replica({ answers: [sized(1, 75_000), sized(2, 75_000 + more)] });
    await pass(500);
    expect(messages().map(({ rows }) => rows.length)).toEqual(counts);
  });

  test.each([
    ['sends a row', 0, [1, 3]],
    ['leaves out a row', 1, [3]],
  ])('%s of the size of a message and %i bytes, and sends the others', async (_, more, ids) => {
    const empty = Buffer.byteLength(JSON.stringify(answer({ id: 1, reason: '' }))) + 1;
    const large = answer({ id: 1, reason: 'x'.repeat(150_000 - empty + more) });
    const { messages, pass } = replica({ answers: [large, answer({ id: 3 })] });
    await pass(500);
    const rows = messages().flatMap((message) => message.rows);
    expect(rows.map((row) => (row as RecordedAnswer).id)).toEqual(ids);
  });

  test('publishes again, for a replica that asks, what may not be stored yet: the changes of the last 30 s', async () => {
    const { own, receive, messages, pass } = replica();
    await pass(100_000);
    const nowMs = Date.now();
    own.hosts.push(...[30_001, 30_000, 1].map((ms) => host({ address: `${ms}`, lastMs: nowMs - ms })));
    receive('pulls wanted', null);
    await pass(500);
    const addresses = messages().flatMap(({ rows }) => rows.map((row) => (row as SeenHost).address));
    expect(addresses).toEqual(['30000', '1']);
    await pass(500);
    expect(messages()).toEqual([]);
  });

  test('asks the others for their rows, and reads every stored part, when the shared state is back', async () => {
    const { asked, published, comeBack, pass, pulls, values } = replica();
    values.set('pulls hosts 7', [host({})]);
    comeBack();
    await pass(0);
    await expect.poll(() => asked.length).toBe(8 + 64 + 16);
    expect(new Set(asked)).toEqual(
      new Set(
        Object.entries({ answers: 8, images: 64, hosts: 16 }).flatMap(([kind, parts]) =>
          Array.from({ length: parts }, (_, at) => `pulls ${kind} ${at}`),
        ),
      ),
    );
    expect(pulls.hosts()).toEqual([host({})]);
    // The store lacked nothing, so the others have nothing to add.
    expect(published).toEqual([{ topic: 'pulls wanted', body: null }]);
    await pass(10_000);
    expect(asked).toHaveLength(8 + 64 + 16);
  });

  test('has the others add what they know, where the store lacked a row of theirs', async () => {
    const { receive, published, comeBack, values, pass } = replica();
    receive('pulls', { kind: 'hosts', rows: [host({})] });
    comeBack();
    await expect.poll(() => published.map(({ topic }) => topic)).toEqual(['pulls wanted', 'pulls stored']);
    expect(values.get('pulls hosts 7')).toEqual([host({})]);
    published.length = 0;
    // Asked to do the same, it does so with the next changes; now the store has it.
    receive('pulls stored', null);
    values.clear();
    expect(values.size).toBe(0);
    await pass(10_000);
    await expect.poll(() => values.get('pulls hosts 7')).toEqual([host({})]);
  });

  test('says nothing about a row that the store lacks, when it stores only a change', async () => {
    const { own, receive, published, values, pass } = replica();
    receive('pulls', { kind: 'hosts', rows: [host({})] });
    own.hosts.push(host({ login: 'ci', address: '192.0.2.9' }), host({ lastMs: START_MS + 1 }));
    await pass(10_000);
    await expect.poll(() => values.size).toBe(2);
    expect(published.filter(({ topic }) => topic === 'pulls stored')).toEqual([]);
  });

  test('stores each row in the part that FNV-1a gives its key, the latest first, with the rows of the others', async () => {
    const own = { origin: 'own' };
    const { values, pass } = replica({
      answers: [answer(own)],
      images: [answer(own)],
      hosts: [host({ lastMs: START_MS + 5 })],
    });
    const others = [-9, 9].map((ms) => host({ login: ms < 0 ? 'ci-22' : 'ci-4', lastMs: START_MS + ms }));
    values.set('pulls hosts 7', [null, ...others, {}]);
    await pass(10_000);
    // The hashes, each modulo the number of parts: `own 1` 8, `lab-zen4 192.0.2.1` 16,
    // `own lab-zen4 docker.io/lab/app:latest` 64.
    const parts = ['pulls answers 4', 'pulls hosts 7', 'pulls images 59'];
    await expect.poll(() => [...values.keys()].sort()).toEqual(parts);
    const stored = values.get('pulls hosts 7') as SeenHost[];
    expect(stored.map(({ login }) => login)).toEqual(['ci-4', 'lab-zen4', 'ci-22']);
  });
});

describe('the record of pulls of all replicas', () => {
  const times = (count: number) => Array.from({ length: count }, (_, at) => START_MS + at);

  test.each([
    ['images', 10_000, (at: number, lastMs: number) => answer({ image: `i${at}`, lastMs })],
    ['hosts', 5_000, (at: number, lastMs: number) => host({ address: `${at}`, lastMs })],
  ] as const)('has the last %s, up to %i, of its own and of the others', (kind, max, rowAt) => {
    const rows = times(max).map((lastMs, at) => rowAt(at, lastMs));
    const full = replica({ [kind]: rows });
    expect(full.pulls[kind]()).toHaveLength(max);
    full.receive('pulls', { kind, rows: [rowAt(max, START_MS + max)] });
    const shown = new Set(full.pulls[kind]().map(({ lastMs }) => lastMs));
    expect([shown.size, shown.has(START_MS), shown.has(START_MS + max)]).toEqual([max, false, true]);
  });

  test('has the last thousand answers', () => {
    const rows = times(1000).map((firstMs, at) => answer({ origin: 'own', id: at + 1, firstMs }));
    const { pulls, receive } = replica({ answers: rows });
    receive('pulls', { kind: 'answers', rows: [answer({ id: 7, firstMs: START_MS + 500 })] });
    const shown = pulls.latest();
    expect(shown).toHaveLength(1000);
    expect(shown[0]).toMatchObject({ firstMs: START_MS + 999 });
    expect(shown.at(-1)).toMatchObject({ firstMs: START_MS + 1 });
    expect(shown.filter(({ origin }) => origin === 'peer')).toHaveLength(1);
  });

  test.each([
    ['image', { image: 'docker.io/lab/other:latest' }, 2],
    ['login', { login: 'ci-node' }, 2],
    ['replica', { origin: 'third' }, 1],
  ])('counts an image of another %s', (_, more, count) => {
    const { pulls, receive } = replica({ images: [answer({ origin: 'own', answers: 2 })] });
    receive('pulls', { kind: 'images', rows: [answer({ answers: 3, ...more })] });
    expect(pulls.images().map(({ answers }) => answers)).toEqual(count === 2 ? [2, 3] : [5]);
  });

  test('counts its own rows once, although another replica has published and stored them', async () => {
    const mine = answer({ origin: 'own', answers: 2 });
    const { pulls, receive, values, comeBack, asked } = replica({ images: [mine] });
    receive('pulls', { kind: 'images', rows: [mine, null, answer({ answers: 3 })] });
    values.set('pulls images 59', [mine]);
    comeBack();
    await expect.poll(() => asked.length).toBe(8 + 64 + 16);
    expect(pulls.images().map(({ answers }) => answers)).toEqual([5]);
  });

  test('takes up to ten thousand rows from a message', () => {
    const { pulls, receive } = replica();
    const rows = (count: number) => Array.from({ length: count }, () => host({}));
    receive('pulls', { kind: 'hosts', rows: rows(10_001) });
    expect(pulls.hosts()).toEqual([]);
    receive('pulls', { kind: 'hosts', rows: [...rows(9_999).fill(null as never), host({})] });
    expect(pulls.hosts()).toEqual([host({})]);
  });
});
