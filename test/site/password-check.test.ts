import { beforeAll, describe, expect, test } from 'vitest';
import { createLoginThrottle, type LoginThrottle } from '../../src/site/login-throttle.ts';
import {
  createPasswordCheck,
  hashPassword,
  type PasswordCheck,
  type PasswordHash,
} from '../../src/site/password.ts';

const CHEAP = { ln: 4, r: 8, p: 1 };
/** A cost at which a hash takes long enough to tell it from a look-up. */
const FELT = { ln: 15, r: 8, p: 1 };
/** Slow enough that a flood of them queues, and quick enough for a test. */
const SOME = { ln: 11, r: 8, p: 1 };
const ADDRESS = '192.0.2.1';

let cheap: PasswordHash;
let decoy: PasswordHash;

beforeAll(async () => {
  cheap = await hashPassword('right', CHEAP);
  decoy = await hashPassword('', CHEAP);
});

function checking(limits = { failuresMax: 3, windowMs: 60_000 }) {
  let now = 0;
  const passwords = createPasswordCheck({
    throttle: createLoginThrottle(limits, () => now),
    decoy,
    now: () => now,
    rememberMs: 1000,
  });
  return { ...passwords, check: checkOf(passwords), pass: (ms: number) => (now += ms) };
}

const NO_THROTTLE: LoginThrottle = { waitMs: () => 0, fail: () => {}, succeed: () => {} };

/** Checks that nothing throttles, and the account and address of each failure. */
function counting() {
  const failures: (readonly [string, string])[] = [];
  const throttle: LoginThrottle = {
    ...NO_THROTTLE,
    fail: ({ accountName, address }) => failures.push([accountName, address]),
  };
  return { check: checkOf(createPasswordCheck({ throttle, decoy, now: () => 0 })), failures };
}

/** As a request with Basic credentials has its password checked. */
function checkOf(passwords: PasswordCheck) {
  return async (
    accountName: string,
    password: string,
    hash: PasswordHash | undefined,
    address: string,
    signal?: AbortSignal,
  ) =>
    passwords.isRemembered(password, hash)
      ? ({ kind: 'right' } as const)
      : passwords.check({ accountName, password, hash, address, signal });
}

/** What the processor did for it, in milliseconds, the threads that hash included: the same on a busy machine. */
async function cpuMsOf(task: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  await task();
  return process.cpuUsage(before).user / 1000;
}

describe('PasswordCheck', () => {
  test('remembers a verified password for an hour, and no longer', async () => {
    let now = 0;
    const { check, isRemembered } = createPasswordCheck({ throttle: NO_THROTTLE, decoy, now: () => now });
    const attempt = { accountName: 'a', password: 'right', hash: cheap, address: ADDRESS };
    expect(await check(attempt)).toEqual({ kind: 'right' });
    now = 3_599_999;
    expect(isRemembered('right', cheap)).toBe(true);
    now = 3_600_000;
    expect(isRemembered('right', cheap)).toBe(false);
  });

  test('remembers 4096 verified passwords, those used last', async () => {
    const { check, isRemembered } = createPasswordCheck({ throttle: NO_THROTTLE, decoy, now: () => 0 });
    const light = await hashPassword('right', { ln: 1, r: 1, p: 1 });
    /** The same hash in another file. */
    const hashAt = (at: number) => ({ ...light, text: `${light.text} ${at}` });
    const verify = (at: number) =>
      check({ accountName: `${at}`, password: 'right', hash: hashAt(at), address: ADDRESS });
    for (let start = 0; start < 4096; start += 512) {
      await Promise.all(Array.from({ length: 512 }, (_, at) => verify(start + at)));
    }
    expect(isRemembered('right', hashAt(0))).toBe(true);
    await verify(4096);
    const kept = [0, 4096].map((at) => isRemembered('right', hashAt(at)));
    expect(kept).toEqual([true, true]);
    const left = Array.from({ length: 4097 }, (_, at) => isRemembered('right', hashAt(at)));
    expect(left.filter((isKept) => !isKept)).toHaveLength(1);
  });

  test('hashes two passwords at once', async () => {
    let turns = 0;
    const throttle: LoginThrottle = {
      ...NO_THROTTLE,
      waitMs: () => {
        turns += 1;
        return 0;
      },
    };
    const { check } = createPasswordCheck({ throttle, decoy, now: () => 0 });
    const wrong = Array.from({ length: 3 }, (_, at) =>
      check({ accountName: 'a', password: `wrong ${at}`, hash: cheap, address: ADDRESS }),
    );
    // The throttle is asked when a login comes, and when its turn comes: before the first hash is ready, of two.
    for (let step = 0; step < 20; step += 1) await Promise.resolve();
    expect(turns).toBe(5);
    expect(await Promise.all(wrong)).toEqual(Array(3).fill({ kind: 'wrong' }));
    expect(turns).toBe(6);
  });

  test.each([
    [1024, 0],
    [1025, 1],
  ])('lets %d logins wait, and sends %d away for a second', async (count, sentAway) => {
    const { check } = createPasswordCheck({ throttle: NO_THROTTLE, decoy, now: () => 0 });
    const verdicts = await Promise.all(
      Array.from({ length: 2 + count }, (_, at) =>
        check({ accountName: `${at}`, password: 'wrong', hash: cheap, address: ADDRESS }),
      ),
    );
    const later = verdicts.filter(({ kind }) => kind === 'later');
    expect(later).toEqual(Array(sentAway).fill({ kind: 'later', waitMs: 1000 }));
  });

  test('accepts the right password, and no password of an unknown login', async () => {
    const { check } = checking();
    expect(await check('a', 'right', cheap, ADDRESS)).toEqual({ kind: 'right' });
    expect(await check('a', 'wrong', cheap, ADDRESS)).toEqual({ kind: 'wrong' });
    // The decoy's own password opens nothing.
    expect(await check('nobody', '', undefined, ADDRESS)).toEqual({ kind: 'wrong' });
  });

  test('remembers a verified password, so that the rest of a pull needs no hashing', async () => {
    const { check, isRemembered } = checking();
    expect(isRemembered('right', cheap)).toBe(false);
    await check('a', 'right', cheap, ADDRESS);
    expect(isRemembered('right', cheap)).toBe(true);
    expect(isRemembered('wrong', cheap)).toBe(false);
  });

  test('hashes once for equal concurrent requests, and counts forty wrong ones as one failure', async () => {
    const { check } = checking({ failuresMax: 2, windowMs: 60_000 });
    const together = Array.from({ length: 40 }, () => check('a', 'wrong', cheap, ADDRESS));
    expect(new Set((await Promise.all(together)).map(({ kind }) => kind))).toEqual(new Set(['wrong']));
    expect(await check('a', 'another', cheap, ADDRESS)).toEqual({ kind: 'wrong' });
    expect(await check('a', 'a third', cheap, ADDRESS)).toMatchObject({ kind: 'later' });
  });

  test('forgets a verified password when the account’s hash changes', async () => {
    const { check } = checking();
    expect(await check('a', 'right', cheap, ADDRESS)).toEqual({ kind: 'right' });
    const changed = await hashPassword('other', CHEAP);
    expect(await check('a', 'right', changed, ADDRESS)).toEqual({ kind: 'wrong' });
  });

  test('forgets a verified login after a while', async () => {
    const { check, pass } = checking({ failuresMax: 1, windowMs: 60_000 });
    await check('a', 'right', cheap, ADDRESS);
    await check('b', 'wrong', cheap, ADDRESS);
    expect(await check('a', 'right', cheap, ADDRESS)).toEqual({ kind: 'right' });
    pass(1000);
    expect(await check('a', 'right', cheap, ADDRESS)).toEqual({ kind: 'later', waitMs: 59_000 });
  });

  test('does not block a working login because of failures behind the same address', async () => {
    const { check } = checking();
    await check('a', 'right', cheap, ADDRESS);
    for (let guess = 0; guess < 5; guess += 1) await check('b', `guess ${guess}`, cheap, ADDRESS);
    expect(await check('b', 'guess 6', cheap, ADDRESS)).toMatchObject({ kind: 'later' });
    expect(await check('a', 'right', cheap, ADDRESS)).toEqual({ kind: 'right' });
    expect(await check('b', 'right', cheap, '192.0.2.2')).toEqual({ kind: 'right' });
  });

  test('refuses the rest of a flood of guesses once the first few have failed', async () => {
    const { check } = checking({ failuresMax: 10, windowMs: 60_000 });
    const verdicts = await Promise.all(
      Array.from({ length: 500 }, (_, guess) => check('a', `guess ${guess}`, cheap, ADDRESS)),
    );
    const hashed = verdicts.filter(({ kind }) => kind === 'wrong').length;
    expect(hashed).toBeGreaterThanOrEqual(10);
    expect(hashed).toBeLessThanOrEqual(11);
  });

  test.each([
    ['1024 bytes', 'x'.repeat(1024), 'right', []],
    ['1025 bytes', 'x'.repeat(1025), 'wrong', [['a', ADDRESS]]],
    ['1026 bytes of 513 characters', 'é'.repeat(513), 'wrong', [['a', ADDRESS]]],
  ])('hashes no password of more than 1024 bytes: the right one of %s', async (_, password, kind, failed) => {
    const { check, failures } = counting();
    expect(await check('a', password, await hashPassword(password, CHEAP), ADDRESS)).toEqual({ kind });
    expect(failures).toEqual(failed);
  });

  test.each([
    ['accounts', ['a', 'same', ADDRESS], ['b', 'same', ADDRESS]],
    ['addresses', ['a', 'same', ADDRESS], ['a', 'same', '192.0.2.2']],
    ['passwords', ['a', 'same', ADDRESS], ['a', 'other', ADDRESS]],
  ] as const)('counts two wrong logins at once of different %s as two failures', async (_, one, two) => {
    const { check, failures } = counting();
    await Promise.all(
      [one, two, one].map(([account, password, address]) => check(account, password, cheap, address)),
    );
    // Two are hashed at once: either may be done first.
    const counted = failures.map((failure) => failure.join(' ')).sort();
    expect(counted).toEqual([one, two].map(([account, , address]) => `${account} ${address}`).sort());
  });

  test('checks an account at an address that it is known from, whatever fails elsewhere', async () => {
    const { check } = checking({ failuresMax: 1, windowMs: 60_000 });
    await check('a', 'right', cheap, ADDRESS);
    for (let at = 0; at < 10; at += 1) await check('a', 'wrong', cheap, `198.51.100.${at}`);
    expect(await check('a', 'wrong', cheap, '203.0.113.1')).toMatchObject({ kind: 'later' });
    expect(await check('a', 'wrong', cheap, ADDRESS)).toEqual({ kind: 'wrong' });
  });

  test('refuses a throttled login at once, without waiting for running hashes', async () => {
    const passwords = createPasswordCheck({
      throttle: { ...NO_THROTTLE, waitMs: ({ address }) => (address === ADDRESS ? 59_000 : 0) },
      decoy,
      now: () => 0,
      hashingMax: 1,
    });
    const check = checkOf(passwords);
    const answers: string[] = [];
    const note = ({ kind }: { kind: string }) => answers.push(kind);
    await Promise.all([
      check('a', 'wrong', cheap, '192.0.2.2').then(note),
      check('b', 'wrong', cheap, '192.0.2.3').then(note),
      check('c', 'wrong', cheap, ADDRESS).then(note),
    ]);
    expect(answers).toEqual(['later', 'wrong', 'wrong']);
  });

  test('gives the same answer for a throttled account and for a throttled name that no account has', async () => {
    const { check } = checking({ failuresMax: 1, windowMs: 60_000 });
    for (let at = 0; at < 10; at += 1) {
      await check('a', 'wrong', cheap, `198.51.100.${at}`);
      await check('nobody', 'wrong', undefined, `203.0.113.${at}`);
    }
    const known = await check('a', 'right', cheap, ADDRESS);
    expect(known).toEqual({ kind: 'later', waitMs: 60_000 });
    expect(await check('nobody', 'right', undefined, ADDRESS)).toEqual(known);
  });

  test('costs as much for an unknown login as for a wrong password', async () => {
    const dear = await hashPassword('right', FELT);
    const check = checkOf(
      createPasswordCheck({
        throttle: createLoginThrottle({ failuresMax: 1000, windowMs: 60_000 }, () => 0),
        decoy: await hashPassword('', FELT),
        now: () => 0,
      }),
    );
    const known: number[] = [];
    const unknown: number[] = [];
    for (let round = 0; round < 5; round += 1) {
      known.push(await cpuMsOf(() => check('a', `wrong ${round}`, dear, ADDRESS)));
      unknown.push(await cpuMsOf(() => check('nobody', `wrong ${round}`, undefined, ADDRESS)));
    }
    const median = (values: number[]) => values.sort((a, b) => a - b)[2] ?? 0;
    expect(median(unknown)).toBeGreaterThan(median(known) / 3);
  });

  test('hashes a password once for all selectors of its account', async () => {
    const { check, isRemembered } = checking();
    await check('lab', 'right', cheap, ADDRESS);
    expect(isRemembered('right', cheap)).toBe(true);
    // Another account may have the same password: its hash is another.
    expect(isRemembered('right', await hashPassword('right', CHEAP))).toBe(false);
    expect(isRemembered('', undefined)).toBe(false);
    // Not even where the decoy is the hash of somebody's password.
    await check('odd', '', decoy, ADDRESS);
    expect(isRemembered('', decoy)).toBe(true);
    expect(isRemembered('', undefined)).toBe(false);
  });

  test('does not hash the passwords of clients that have left', async () => {
    const dear = await hashPassword('right', SOME);
    const { check, failures } = counting();
    const flood = Array.from({ length: 200 }, (_, guess) => {
      const client = new AbortController();
      const verdict = check('a', `guess ${guess}`, dear, ADDRESS, client.signal);
      return { client, verdict };
    });
    for (const { client } of flood) client.abort();
    const verdicts = await Promise.all(flood.map(({ verdict }) => verdict));
    expect(new Set(verdicts.map(({ kind }) => kind))).toEqual(new Set(['later']));
    expect(await check('a', 'wrong', dear, ADDRESS)).toEqual({ kind: 'wrong' });
    // Only this one, and the two that were being hashed already, of which one may take longer.
    await expect.poll(() => failures.length).toBe(3);
  });

  test.each([
    [
      'address',
      (at: number) => ['a', `192.0.2.${at % 2 === 0 ? 7 : 8}`] as const,
      ['b', '192.0.2.9'] as const,
    ],
    ['account', (at: number) => [at % 2 === 0 ? 'a' : 'b', ADDRESS] as const, ['c', ADDRESS] as const],
  ])(
    'takes turns by %s, so that a flood delays another login by a few hashes only',
    async (_, flooding, other) => {
      const dear = await hashPassword('right', SOME);
      // One at a time: of two threads a busy machine may hold up the one that hashes the other login.
      const check = checkOf(
        createPasswordCheck({ throttle: NO_THROTTLE, decoy, now: () => 0, hashingMax: 1 }),
      );
      let hashed = 0;
      const flood = Array.from({ length: 60 }, async (_unused, at) => {
        const [account, address] = flooding(at);
        await check(account, `guess ${at}`, dear, address);
        hashed += 1;
      });
      const [account, address] = other;
      expect(await check(account, 'right', dear, address)).toEqual({ kind: 'right' });
      expect(hashed).toBeLessThan(10);
      await Promise.all(flood);
    },
  );

  test('answers “later” to the newest of a flood when the queue is full, and still serves others', async () => {
    const passwords = createPasswordCheck({
      throttle: createLoginThrottle({ failuresMax: 1000, windowMs: 60_000 }, () => 0),
      decoy,
      now: () => 0,
      hashingMax: 1,
      waitingMax: 5,
    });
    const check = checkOf(passwords);
    const flood = Array.from({ length: 50 }, (_, at) => check('a', `guess ${at}`, cheap, ADDRESS));
    expect(await check('b', 'right', cheap, '192.0.2.2')).toEqual({ kind: 'right' });
    const kinds = (await Promise.all(flood)).map(({ kind }) => kind);
    expect(kinds.filter((kind) => kind === 'later').length).toBeGreaterThanOrEqual(44);
    expect(kinds.slice(0, 3)).toEqual(['wrong', 'wrong', 'wrong']);
  });
});
