import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createGapTurns, type GapTurnsTimes } from '../../../src/cli/serve/gap-turns.ts';
import { prepareGapWebhook } from '../../../src/cli/serve/gap-webhook.ts';
import { registerGapEvents } from '../../../src/cli/serve/metrics.ts';
import type { ClaimResult, SharedState } from '../../../src/lib/shared-state.ts';
import type { Gap } from '../../../src/selection/gap-schema.ts';
import { createMetrics } from '../../../src/server/metrics.ts';
import { type Handler, startServer } from '../../support/hostile-registry.ts';
import { MemoryServer } from '../../support/memory-store.ts';
import { dataDirectory } from '../../support/store.ts';
import { afterTest, closing } from '../../support/upstream.ts';

function gapOf(tag: string): Gap {
  const at = '2026-11-26T10:00:00.000Z';
  return {
    ...{ image: `docker.io/qnib/bench:${tag}`, fit: 'older', platform: 'linux/amd64', wanted: ['cpu:zen4'] },
    ...{ isMarked: true, served: 'cpu:broadwell', pulls: 1, hosts: ['a'], firstAt: at, lastAt: at },
  };
}

const accept: Handler = (_request, response) => void response.writeHead(204).end();

/** Replicas with a webhook each, to one receiver. */
async function replicas(count: number, handler: Handler = accept, times: Partial<GapTurnsTimes> = {}) {
  const server = new MemoryServer();
  const receiver = closing(await startServer(handler));
  const open = async (name: string) => {
    const { state, store } = server.replica();
    await expect.poll(() => state.trouble).toBeUndefined();
    const secret = join(await dataDirectory(), 'webhook.secret');
    writeFileSync(secret, `whsec_${randomBytes(32).toString('base64')}`, { mode: 0o600 });
    const metrics = createMetrics();
    const turns = createGapTurns(state, { askAgainMs: 20, ...times });
    const parts = { log: () => {}, events: registerGapEvents(metrics), turns };
    const siteUrl = `https://${name}.example.org`;
    const webhook = (
      await prepareGapWebhook(`${receiver.url}/hook`, { gapWebhookSecret: secret, siteUrl }, parts)
    )();
    afterTest(() => webhook.close());
    const done: string[] = [];
    const offer = (tag: string) => webhook.offer(gapOf(tag), () => done.push(tag));
    return { state, store, turns, webhook, offer, done, text: () => metrics.text() };
  };
  const all = await Promise.all(Array.from({ length: count }, (_, at) => open(`hub${at}`)));
  const subjects = () =>
    receiver.requests.map(({ body }) => (JSON.parse(body) as { subject: string }).subject);
  return { server, open, all, receiver, subjects };
}

type Replica = Awaited<ReturnType<typeof replicas>>['all'][number];

async function cut({ state, store }: Replica): Promise<void> {
  store.isCut = true;
  await expect.poll(() => state.trouble).toBeDefined();
}

async function restore({ state, store }: Replica): Promise<void> {
  store.isCut = false;
  await expect.poll(() => state.trouble).toBeUndefined();
}

describe('the events of gaps that several replicas know', () => {
  test('are each sent by one replica, and count as delivered at all', async () => {
    const { all, subjects } = await replicas(3);
    const tags = ['a', 'b', 'c', 'd', 'e'];
    for (const tag of tags) for (const { offer } of all) offer(tag);
    for (const { done } of all) await expect.poll(() => [...done].sort()).toEqual(tags);
    expect(subjects().sort()).toEqual(tags.map((tag) => gapOf(tag).image));
    const sum = (result: string) =>
      all
        .map(({ text }) =>
          Number(new RegExp(`gap_events_total\\{result="${result}"\\} (\\d+)`).exec(text())?.[1]),
        )
        .reduce((a, b) => a + b);
    expect([sum('delivered'), sum('elsewhere')]).toEqual([5, 10]);
  });

  test('are not sent again by a replica that notices the gap later, nor by one that starts later', async () => {
    const { all, open, subjects } = await replicas(2);
    const [one, other] = all;
    one?.offer('a');
    await expect.poll(() => one?.done).toEqual(['a']);
    other?.offer('a');
    await expect.poll(() => other?.done).toEqual(['a']);
    const late = await open('late');
    late.offer('a');
    await expect.poll(() => late.done).toEqual(['a']);
    expect(subjects()).toHaveLength(1);
  });

  test('are sent by another replica when the one whose turn it is ends before it has sent them', async () => {
    const { all, server, subjects } = await replicas(2);
    const [one, other] = all;
    // As a process that is killed: it has taken the turn, and does nothing more.
    expect(await one?.turns.take(gapOf('a'))).toBe('mine');
    other?.offer('a');
    expect(await other?.turns.take(gapOf('a'))).toEqual({ askAgainMs: 20 });
    expect(subjects()).toEqual([]);
    // Redis removes the turn when its time is over.
    server.values.clear();
    await expect.poll(() => other?.done).toEqual(['a']);
    expect(subjects()).toHaveLength(1);
  });

  test('are left to another replica by one that stops', async () => {
    const hanging = await replicas(2, (request, response) => {
      if (request.body.includes('hub1')) response.writeHead(204).end();
    });
    const [one, other] = hanging.all;
    one?.offer('a');
    await expect.poll(() => hanging.receiver.requests.length).toBe(1);
    other?.offer('a');
    const expiries: number[] = [];
    hanging.server.onExpiry = (ms) => expiries.push(ms);
    await one?.webhook.close();
    // The turn ends with the process, not after a minute.
    expect(expiries).toEqual([1]);
    hanging.server.values.clear();
    await expect.poll(() => other?.done).toEqual(['a']);
  });

  test.each([
    ['has delivered', 'delivered'],
    ['delivers, unheard of,', 'unheard'],
    ['sends', 'taken'],
  ])(
    'stay with the replica that %s them after the one before lost its turn and stops',
    async (_name, how) => {
      const { all, server, subjects } = await replicas(2);
      const [one, other] = all;
      if (!one) throw new Error('two replicas');
      expect(await one.turns.take(gapOf('a'))).toBe('mine');
      server.values.clear();
      if (how === 'taken') expect(await other?.turns.take(gapOf('a'))).toBe('mine');
      else {
        if (how === 'unheard') await cut(one);
        other?.offer('a');
        await expect.poll(() => other?.done).toEqual(['a']);
        if (how === 'unheard') await restore(one);
      }
      const before = new Map(server.values);
      const expiries: number[] = [];
      server.onExpiry = (ms) => expiries.push(ms);
      await one.turns.keep(gapOf('a'), 1000);
      await one.turns.release();
      expect(expiries).toEqual([]);
      expect(server.values).toEqual(before);
      expect(subjects()).toHaveLength(how === 'taken' ? 0 : 1);
    },
  );

  test('are sent by every replica that knows them while the shared state is down', async () => {
    const { all, server, subjects } = await replicas(2);
    server.isDown = true;
    for (const { state } of all) await expect.poll(() => state.trouble).toBeDefined();
    for (const { offer } of all) offer('a');
    for (const { done } of all) await expect.poll(() => done).toEqual(['a']);
    // Each with the id of its own site: nothing is lost, and receivers know repetitions by the id.
    expect(subjects()).toHaveLength(2);
    // Redis comes back empty: who sent it tells it.
    server.isDown = false;
    await expect
      .poll(() => [...server.values.keys()].filter((key) => key.includes('gap event')))
      .toHaveLength(1);
  });

  test.each([
    ['what nobody has sealed', 'rubbish'],
    ['nothing', ''],
  ])('are sent although the key of their turn holds %s', async (_name, value) => {
    const { all, server, subjects } = await replicas(1);
    const [one] = all;
    await one?.turns.take(gapOf('a'));
    const [key = ''] = [...server.values.keys()];
    await one?.turns.release();
    server.values.set(key, value);
    one?.offer('a');
    await expect.poll(() => one?.done).toEqual(['a']);
    expect(subjects()).toHaveLength(1);
  });

  test('are not sent again after a restart of all replicas with an empty Redis', async () => {
    const { all, subjects } = await replicas(2);
    const [one, other] = all;
    one?.webhook.remember(gapOf('a'));
    await expect.poll(() => other?.turns.take(gapOf('a'))).toBe('delivered');
    other?.offer('a');
    await expect.poll(() => other?.done).toEqual(['a']);
    expect(subjects()).toEqual([]);
  });
});

describe('the turns of one replica', () => {
  /** Turns in a shared state that answers each claim so, and has no value. */
  function turnsWith(result: ClaimResult) {
    const claims: number[] = [];
    const set: number[] = [];
    const state = {
      trouble: undefined,
      subscribe: () => {},
      onReturn: () => {},
      publish: async () => {},
      get: async () => undefined,
      set: async (_key: string, _value: unknown, ttlMs: number) => {
        set.push(ttlMs);
        return true;
      },
      claim: async (_key: string, _value: unknown, ttlMs: number) => {
        claims.push(ttlMs);
        return result;
      },
    } as unknown as SharedState;
    return { turns: createGapTurns(state), claims, set };
  }

  test('last a minute, and are claimed twice where nobody’s can be read', async () => {
    const { turns, claims, set } = turnsWith('taken');
    expect(await turns.take(gapOf('a'))).toBe('mine');
    expect([claims, set]).toEqual([[60_000, 60_000], [60_000]]);
  });

  test('know the thousand events that were delivered last, and tell others for 30 days', async () => {
    const { turns, set } = turnsWith('claimed');
    for (let at = 0; at < 1000; at += 1) turns.remember(gapOf(`v${at}`));
    expect(await turns.take(gapOf('v0'))).toBe('delivered');
    turns.remember(gapOf('v1000'));
    const taken = await Promise.all(['v0', 'v1', 'v1000'].map((tag) => turns.take(gapOf(tag))));
    expect(taken).toEqual(['mine', 'delivered', 'delivered']);
    expect(set[0]).toBe(30 * 24 * 60 * 60_000);
  });

  test.each<[string, Partial<Gap>]>([
    ['image', { image: 'docker.io/qnib/other:a' }],
    ['fit', { fit: 'generic' }],
    ['platform', { platform: 'linux/arm64' }],
    ['wanted features', { wanted: ['cpu:zen5'] }],
  ])('are of one gap: another %s has its own', async (_, difference) => {
    const { turns } = turnsWith('claimed');
    turns.remember(gapOf('a'));
    expect(await turns.take({ ...gapOf('a'), pulls: 7 })).toBe('delivered');
    expect(await turns.take({ ...gapOf('a'), ...difference })).toBe('mine');
  });
});
