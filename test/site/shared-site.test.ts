import { cp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { SharedState } from '../../src/lib/shared-state.ts';
import { createAccessToken } from '../../src/site/account.ts';
import type { LoginAttempt } from '../../src/site/login-throttle.ts';
import { openMachineAdmin } from '../../src/site/machine-admin.ts';
import type { MachineFolder, TokenChanges } from '../../src/site/machine-folder.ts';
import {
  followMachineChanges,
  publishMachineChange,
  shareLoginThrottle,
} from '../../src/site/shared-site.ts';
import { randomTokenKey } from '../../src/site/token.ts';
import { MemoryServer } from '../support/memory-store.ts';
import { basic, hashed, machineFolder, openTestSite } from '../support/site.ts';

/** Two replicas of a site, each with a folder of its own, which may differ. */
async function twoReplicas(content: string) {
  const server = new MemoryServer();
  const [mine, copy] = [
    await machineFolder({ 'ci.yaml': content }),
    await machineFolder({ 'ci.yaml': content }),
  ];
  const states = [server.replica().state, server.replica().state];
  await expect.poll(() => states.map(({ trouble }) => trouble)).toEqual([undefined, undefined]);
  const tokenKey = randomTokenKey();
  const open = (machines: string, at: number) =>
    openTestSite({ machines, tokenKey, shared: states[at], limits: { failuresMax: 2, windowMs: 60_000 } });
  const [one, other] = [await open(mine, 0), await open(copy, 1)];
  return { server, one, other, mine, copy };
}

const kindOf = async (site: Awaited<ReturnType<typeof openTestSite>>, login: string, password: string) =>
  (await site.admit(basic(login, password))).kind;
const statusOf = async (site: Awaited<ReturnType<typeof openTestSite>>, login: string, password: string) => {
  const admission = await site.admit(basic(login, password));
  return admission.kind === 'refused' ? admission.error.status : 200;
};

describe('replicas of a site', () => {
  test('count each other’s failed logins', async () => {
    const { one, other } = await twoReplicas(`user: ci\npassword: "${await hashed('hush')}"\n`);
    expect(await statusOf(one, 'ci', 'wrong')).toBe(401);
    expect(await statusOf(one, 'ci', 'wrong too')).toBe(401);
    await expect.poll(() => statusOf(other, 'ci', 'hush')).toBe(429);
  });

  test('count failed logins alone while the shared state is unreachable', async () => {
    const { server, one, other } = await twoReplicas(`user: ci\npassword: "${await hashed('hush')}"\n`);
    server.isDown = true;
    for (const password of ['a', 'b']) expect(await statusOf(one, 'ci', password)).toBe(401);
    expect(await statusOf(one, 'ci', 'c')).toBe(429);
    expect(await statusOf(other, 'ci', 'hush')).toBe(200);
  });

  test('refuse a token that another replica reports as revoked, and accept it when it exists again', async () => {
    const { text, sha256 } = createAccessToken();
    const account = `user: ci\npassword: "${await hashed('hush')}"\n`;
    const { one, other, mine } = await twoReplicas(
      `${account}tokens: [{ name: job, sha256: "${sha256}" }]\n`,
    );
    expect([await kindOf(one, 'ci', text), await kindOf(other, 'ci', text)]).toEqual([
      'admitted',
      'admitted',
    ]);
    await openMachineAdmin(mine).change('ci', { kind: 'remove-token', name: 'job' });
    one.clock.ms += 1000;
    expect(await kindOf(one, 'ci', text)).toBe('refused');
    await expect.poll(() => kindOf(other, 'ci', text)).toBe('refused');
    other.clock.ms += 5000;
    expect(await kindOf(other, 'ci', text)).toBe('refused');
    await openMachineAdmin(mine).change('ci', { kind: 'add-token', token: { name: 'job', sha256 } });
    one.clock.ms += 1000;
    expect(await kindOf(one, 'ci', text)).toBe('admitted');
    await expect.poll(() => kindOf(other, 'ci', text)).toBe('admitted');
  });

  test('read their folder at once when another replica reports a change', async () => {
    const { one, other, mine, copy } = await twoReplicas(`user: ci\npassword: "${await hashed('hush')}"\n`);
    await openMachineAdmin(mine).change('ci', {
      kind: 'add-type',
      type: { name: 'gpu', features: ['cpu:zen4'] },
    });
    await cp(join(mine, 'ci.yaml'), join(copy, 'ci.yaml'));
    // Its own clock stands still: by itself it would not look again.
    one.clock.ms += 1000;
    expect(await kindOf(one, 'ci-gpu', 'hush')).toBe('admitted');
    await expect.poll(() => kindOf(other, 'ci-gpu', 'hush')).toBe('admitted');
  });

  test('keep their accounts when a file becomes invalid', async () => {
    const { one, other, mine, copy } = await twoReplicas(`user: ci\npassword: "${await hashed('hush')}"\n`);
    await writeFile(join(copy, 'broken.yaml'), 'user: [');
    await rm(join(mine, 'ci.yaml'));
    one.clock.ms += 1000;
    expect(await kindOf(one, 'ci', 'hush')).toBe('refused');
    expect(await kindOf(other, 'ci', 'hush')).toBe('admitted');
  });
});

describe('what replicas tell each other', () => {
  async function twoStates() {
    const server = new MemoryServer();
    const states = [server.replica().state, server.replica().state] as const;
    await expect.poll(() => states.map(({ trouble }) => trouble)).toEqual([undefined, undefined]);
    return { states, server };
  }

  test('of failed logins is read with addresses of 64 characters and names of 256, and no longer ones', async () => {
    const { states } = await twoStates();
    const [one, other] = states;
    const failed: LoginAttempt[] = [];
    const own = { waitMs: () => 0, fail: (attempt: LoginAttempt) => failed.push(attempt), succeed: () => {} };
    shareLoginThrottle(own, other);
    const [address, accountName] = ['a'.repeat(64), 'n'.repeat(256)];
    for (const attempt of [
      { address: `${address}a`, accountName },
      { address, accountName: `${accountName}n` },
      { address, accountName },
    ]) {
      await one.publish('login failed', attempt);
    }
    await expect.poll(() => failed.length).toBeGreaterThan(0);
    expect(failed).toEqual([{ address, accountName }]);
  });

  test.each([
    [256, 1],
    [257, 0],
  ])('of a failed login with a name of %d characters is sent %d times', async (characters, count) => {
    const published: string[] = [];
    const failed: string[] = [];
    const state = {
      subscribe: () => {},
      publish: async (topic: string) => void published.push(topic),
    } as unknown as SharedState;
    const own = {
      waitMs: () => 0,
      fail: ({ accountName }: LoginAttempt) => failed.push(accountName),
      succeed: () => {},
    };
    const accountName = 'n'.repeat(characters);
    shareLoginThrottle(own, state).fail({ address: '192.0.2.1', accountName });
    expect(published).toHaveLength(count);
    expect(failed).toEqual([accountName]);
  });

  test('of changed tokens names 2000 of each kind, and all of them in several', async () => {
    const { states } = await twoStates();
    const hashes = Array.from({ length: 2001 }, (_, at) => String(at).padStart(43, 'x'));
    const changes: TokenChanges[] = [];
    const folder = { reread: async (tokens?: TokenChanges) => void (tokens && changes.push(tokens)) };
    followMachineChanges(folder as unknown as MachineFolder, states[1]);
    publishMachineChange(states[0], { gone: hashes, back: [] });
    const parts = [hashes.slice(0, 2000), hashes.slice(2000)];
    await expect.poll(() => changes).toEqual(parts.map((gone) => ({ gone, back: [] })));
    // A replica of another version could name more.
    await states[0].publish('machines changed', { gone: hashes, back: [] });
    publishMachineChange(states[0], { gone: [], back: hashes });
    await expect.poll(() => changes.slice(2)).toEqual(parts.map((back) => ({ gone: [], back })));
    publishMachineChange(states[0], { gone: [], back: [] });
    await expect.poll(() => changes.slice(4)).toEqual([{ gone: [], back: [] }]);
  });

  test('of machine files while the shared state was away is made up for by reading the folder when it is back', () => {
    const returns: (() => void)[] = [];
    const state = { subscribe: () => {}, onReturn: (callback: () => void) => void returns.push(callback) };
    const rereads: unknown[] = [];
    const folder = { reread: async (...tokens: readonly unknown[]) => void rereads.push(tokens) };
    followMachineChanges(folder as unknown as MachineFolder, state as unknown as SharedState);
    expect([returns.length, rereads]).toEqual([1, []]);
    for (const comeBack of returns) comeBack();
    expect(rereads).toEqual([[]]);
  });

  test('of a successful login has its address and its account', () => {
    const published: unknown[] = [];
    const succeeded: unknown[] = [];
    const state = {
      subscribe: () => {},
      publish: async (...message: readonly unknown[]) => void published.push(message),
    } as unknown as SharedState;
    const succeed = (attempt: LoginAttempt) => void succeeded.push(attempt);
    const attempt = { address: '192.0.2.1', accountName: 'ci', password: 'secret' };
    shareLoginThrottle({ waitMs: () => 0, fail: () => {}, succeed }, state).succeed(attempt);
    expect(succeeded).toEqual([attempt]);
    expect(published).toEqual([['login succeeded', { address: '192.0.2.1', accountName: 'ci' }]]);
  });
});
