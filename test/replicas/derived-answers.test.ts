import { describe, expect, test } from 'vitest';
import type { SharedState } from '../../src/lib/shared-state.ts';
import { isReadableIndex } from '../../src/mirror/documents/parts.ts';
import type { DerivedAnswers } from '../../src/oci/content-store.ts';
import { digestOf } from '../../src/oci/digest.ts';
import type { Access, Manifest } from '../../src/oci/registry.ts';
import { sharedDerivedAnswers } from '../../src/replicas/derived-answers.ts';
import { MemoryServer } from '../support/memory-store.ts';
import { repository } from '../support/upstream.ts';

const TYPE = 'application/vnd.oci.image.index.v1+json';
const BENCH = repository('qnib/bench');

function derived(note = ''): Manifest {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: TYPE, manifests: [], note }));
  return { digest: digestOf(bytes), mediaType: TYPE, bytes, maxAgeMs: Number.POSITIVE_INFINITY };
}

/** Answers of one replica, in memory. */
function memoryAnswers(): DerivedAnswers {
  const held = new Map<string, Manifest>();
  return {
    keep: async (_repository, answer) => void held.set(answer.digest, answer),
    find: async (_repository, digest) => held.get(digest),
  };
}

/** What documents/reading.ts answers, without a thread. */
const isIndex = async ({ bytes, mediaType }: Pick<Manifest, 'bytes' | 'mediaType'>) =>
  isReadableIndex({ bytes, mediaType });

async function twoReplicas() {
  const server = new MemoryServer();
  const [a, b] = [server.replica(), server.replica()];
  await expect.poll(() => [a.state.trouble, b.state.trouble]).toEqual([undefined, undefined]);
  const answers = [a, b].map(({ state }) =>
    sharedDerivedAnswers(memoryAnswers(), state, isIndex, () => performance.now()),
  );
  const [one, other] = answers as [DerivedAnswers, DerivedAnswers];
  return { server, states: [a.state, b.state] as const, one, other };
}

const keyOf = ({ values }: MemoryServer) => [...values.keys()][0] ?? '';

describe('sharedDerivedAnswers()', () => {
  test('delivers an answer of another replica byte for byte', async () => {
    const { one, other } = await twoReplicas();
    const answer = derived('ü');
    await one.keep(BENCH, answer);
    expect(await other.find(BENCH, answer.digest)).toEqual(answer);
  });

  test('finds an answer at its own registry, in its own repository and partition only', async () => {
    const { one, other } = await twoReplicas();
    const answer = derived();
    const access: Access = { partition: 'account a' };
    await one.keep(BENCH, answer, access);
    expect(await other.find(BENCH, answer.digest, access)).toEqual(answer);
    expect(await other.find(BENCH, answer.digest)).toBeUndefined();
    expect(await other.find(BENCH, answer.digest, { partition: 'account b' })).toBeUndefined();
    for (const elsewhere of [repository('qnib/other'), { ...BENCH, host: repository('x', 'ghcr.io').host }]) {
      expect(await other.find(elsewhere, answer.digest, access)).toBeUndefined();
    }
  });

  test.each([
    [512 * 1024, 1],
    [512 * 1024 + 1, 0],
  ])('with an answer of %d bytes, shares %d', async (sizeBytes, shared) => {
    const { server, one } = await twoReplicas();
    const answer = derived('x'.repeat(sizeBytes - derived().bytes.length));
    expect(answer.bytes.length).toBe(sizeBytes);
    await one.keep(BENCH, answer);
    expect(server.values.size).toBe(shared);
  });

  test.each([
    [512 * 1024, true],
    [512 * 1024 + 1, false],
  ])('takes an answer of %d characters that another replica has shared: %s', async (characters, isTaken) => {
    const { server, states, one, other } = await twoReplicas();
    const small = derived();
    await one.keep(BENCH, small);
    const answer = derived('x'.repeat(characters - small.bytes.length));
    const [, , , ...key] = keyOf(server).replace(small.digest, answer.digest).split(':');
    const value = { mediaType: TYPE, text: answer.bytes.toString() };
    expect(await states[0].set(key.join(':'), value, 1000, 'background')).toBe(true);
    expect((await other.find(BENCH, answer.digest))?.digest).toBe(isTaken ? answer.digest : undefined);
  });

  test.each([
    ['no JSON', 'rubbish'],
    ['an image', JSON.stringify({ schemaVersion: 2, mediaType: TYPE, config: {}, layers: [] })],
  ])('takes no document of the right digest that is %s', async (_, text) => {
    const { server, states, one, other } = await twoReplicas();
    const small = derived();
    await one.keep(BENCH, small);
    const digest = digestOf(Buffer.from(text));
    const [, , , ...key] = keyOf(server).replace(small.digest, digest).split(':');
    expect(await states[0].set(key.join(':'), { mediaType: TYPE, text }, 1000, 'background')).toBe(true);
    expect(await other.find(BENCH, digest)).toBeUndefined();
  });

  test('neither shares nor looks for answers to a client’s own login', async () => {
    const { server, one, other } = await twoReplicas();
    const answer = derived();
    const access: Access = { partition: 'p', logins: '/etc/logins.json' };
    await one.keep(BENCH, answer, access);
    expect(server.values.size).toBe(0);
    await one.keep(BENCH, answer, { partition: 'p' });
    expect(server.values.size).toBe(1);
    expect(await other.find(BENCH, answer.digest, access)).toBeUndefined();
  });

  // Whoever has the key of the site can seal anything, so the content is verified as well.
  test.each([
    ['other bytes than the digest’s', { mediaType: TYPE, text: derived('other').bytes.toString() }],
    [
      'the right bytes as another kind of document',
      { mediaType: 'text/html', text: derived().bytes.toString() },
    ],
    ['something else', { html: '<p>' }],
  ])('ignores a shared answer when a replica has set %s', async (_name, value) => {
    const { server, states, one, other } = await twoReplicas();
    const answer = derived();
    await one.keep(BENCH, answer);
    const key = keyOf(server).split(':').slice(3).join(':');
    expect(await states[0].set(key, value, 1000)).toBe(true);
    expect(await other.find(BENCH, answer.digest)).toBeUndefined();
  });

  test('shares a repeated answer once, and again after Redis has lost it', async () => {
    const { server, states, one } = await twoReplicas();
    await one.keep(BENCH, derived());
    const key = keyOf(server);
    expect(key).not.toBe('');
    server.values.delete(key);
    await one.keep(BENCH, derived());
    expect(server.values.size).toBe(0);
    server.isDown = true;
    await expect.poll(() => states[0].trouble).toBeDefined();
    server.isDown = false;
    await expect.poll(() => states[0].trouble).toBeUndefined();
    await one.keep(BENCH, derived());
    expect(server.values.has(key)).toBe(true);
  });

  test('does not share an answer above 512 KiB', async () => {
    const { server, one } = await twoReplicas();
    await one.keep(BENCH, derived('x'.repeat(512 * 1024)));
    expect(server.values.size).toBe(0);
  });
});

describe('what a replica has shared', () => {
  /** A replica with a shared state that takes everything; how often it has set a value, and for how long. */
  function sharing() {
    const clock = { ms: 0 };
    const lifetimes: number[] = [];
    const state = {
      trouble: undefined,
      onReturn: () => {},
      set: async (_key: string, _value: unknown, ttlMs: number) => {
        lifetimes.push(ttlMs);
        return true;
      },
    } as unknown as SharedState;
    const own: DerivedAnswers = { keep: async () => {}, find: async () => undefined };
    const answers = sharedDerivedAnswers(own, state, isIndex, () => clock.ms);
    return { answers, clock, lifetimes };
  }
  const numbered = (at: number): Manifest => ({ ...derived(), digest: `sha256:${at}` as Manifest['digest'] });

  test('is shared for an hour, and again after half an hour', async () => {
    const { answers, clock, lifetimes } = sharing();
    for (const [atMs, count] of [
      [0, 1],
      [30 * 60_000 - 1, 1],
      [30 * 60_000, 2],
    ] as const) {
      clock.ms = atMs;
      await answers.keep(BENCH, numbered(0));
      expect(lifetimes).toEqual(Array(count).fill(60 * 60_000));
    }
  });

  test('is remembered of ten thousand answers, those shared last', async () => {
    const { answers, lifetimes } = sharing();
    const answer = derived();
    const keep = (at: number) =>
      answers.keep(BENCH, { ...answer, digest: `sha256:${at}` as Manifest['digest'] });
    for (let at = 0; at < 10_000; at += 1) await keep(at);
    await keep(0);
    expect(lifetimes).toHaveLength(10_000);
    for (const at of [10_000, 0, 1]) await keep(at);
    expect(lifetimes).toHaveLength(10_002);
  });
});
