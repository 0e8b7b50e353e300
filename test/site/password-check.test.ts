import { beforeAll, describe, expect, test } from 'vitest';
import { createLoginThrottle } from '../../src/site/login-throttle.ts';
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

async function elapsedMs(task: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await task();
  return performance.now() - start;
}

describe('checking a password', () => {
  test('tells right from wrong, and an unknown login is wrong with any password', async () => {
    const { check } = checking();
    expect(await check('a', 'right', cheap, ADDRESS)).toEqual({ kind: 'right' });
    expect(await check('a', 'wrong', cheap, ADDRESS)).toEqual({ kind: 'wrong' });
    // The decoy's own password opens nothing.
    expect(await check('nobody', '', undefined, ADDRESS)).toEqual({ kind: 'wrong' });
  });

  test('remembers a verified password: the rest of a pull costs no hashing', async () => {
    const { check, isRemembered } = checking();
    expect(isRemembered('right', cheap)).toBe(false);
    await check('a', 'right', cheap, ADDRESS);
    expect(isRemembered('right', cheap)).toBe(true);
    expect(isRemembered('wrong', cheap)).toBe(false);
  });

  test('hashes once for equal requests that come together: forty wrong ones are one failure', async () => {
    const { check } = checking({ failuresMax: 2, windowMs: 60_000 });
    const together = Array.from({ length: 40 }, () => check('a', 'wrong', cheap, ADDRESS));
    expect(new Set((await Promise.all(together)).map(({ kind }) => kind))).toEqual(new Set(['wrong']));
    expect(await check('a', 'another', cheap, ADDRESS)).toEqual({ kind: 'wrong' });
    expect(await check('a', 'a third', cheap, ADDRESS)).toMatchObject({ kind: 'later' });
  });

  test('a changed password ends what was remembered of the former', async () => {
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

  test('does not lock out a login that works because of a neighbour behind the same address', async () => {
    const { check } = checking();
    await check('a', 'right', cheap, ADDRESS);
    for (let guess = 0; guess < 5; guess += 1) await check('b', `guess ${guess}`, cheap, ADDRESS);
    expect(await check('b', 'guess 6', cheap, ADDRESS)).toMatchObject({ kind: 'later' });
    expect(await check('a', 'right', cheap, ADDRESS)).toEqual({ kind: 'right' });
    expect(await check('b', 'right', cheap, '192.0.2.2')).toEqual({ kind: 'right' });
  });

  test('a flood of guesses is let go after the first few have failed, not hashed to the end', async () => {
    const { check } = checking({ failuresMax: 10, windowMs: 60_000 });
    const verdicts = await Promise.all(
      Array.from({ length: 500 }, (_, guess) => check('a', `guess ${guess}`, cheap, ADDRESS)),
    );
    const hashed = verdicts.filter(({ kind }) => kind === 'wrong').length;
    expect(hashed).toBeGreaterThanOrEqual(10);
    expect(hashed).toBeLessThanOrEqual(11);
  });

  test('a password of unseemly length is wrong unhashed', async () => {
    const { check } = checking();
    expect(await check('a', 'x'.repeat(2000), cheap, ADDRESS)).toEqual({ kind: 'wrong' });
  });

  test('an unknown login takes as long as a wrong password', async () => {
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
      known.push(await elapsedMs(() => check('a', `wrong ${round}`, dear, ADDRESS)));
      unknown.push(await elapsedMs(() => check('nobody', `wrong ${round}`, undefined, ADDRESS)));
    }
    const median = (values: number[]) => values.sort((a, b) => a - b)[2] ?? 0;
    expect(median(unknown)).toBeGreaterThan(median(known) / 3);
  });

  test('hashes a password once for all user names of its account: selectors cost nothing', async () => {
    const { check, isRemembered } = checking();
    await check('lab', 'right', cheap, ADDRESS);
    expect(isRemembered('right', cheap)).toBe(true);
    // Another account may have the same password: its hash is another.
    expect(isRemembered('right', await hashPassword('right', CHEAP))).toBe(false);
    expect(isRemembered('', undefined)).toBe(false);
  });

  test('does not hash the passwords of clients that have left', async () => {
    const dear = await hashPassword('right', SOME);
    const { check } = checking({ failuresMax: 3, windowMs: 60_000 });
    const flood = Array.from({ length: 200 }, (_, guess) => {
      const client = new AbortController();
      const verdict = check('a', `guess ${guess}`, dear, ADDRESS, client.signal);
      return { client, verdict };
    });
    for (const { client } of flood) client.abort();
    const verdicts = await Promise.all(flood.map(({ verdict }) => verdict));
    expect(new Set(verdicts.map(({ kind }) => kind))).toEqual(new Set(['later']));
    // Only the two that were being hashed already, and this one, have failed: 3 of 3.
    expect(await check('a', 'wrong', dear, ADDRESS)).toEqual({ kind: 'wrong' });
    expect(await check('a', 'wrong again', dear, ADDRESS)).toMatchObject({ kind: 'later' });
  });

  test.each([
    [
      'address',
      (at: number) => ['a', `192.0.2.${at % 2 === 0 ? 7 : 8}`] as const,
      ['b', '192.0.2.9'] as const,
    ],
    ['account', (at: number) => [at % 2 === 0 ? 'a' : 'b', ADDRESS] as const, ['c', ADDRESS] as const],
  ])(
    'gives every %s its turn: a flood of one delays the login of another by a few hashes only',
    async (_, flooding, other) => {
      const dear = await hashPassword('right', SOME);
      const { check } = checking({ failuresMax: 1000, windowMs: 60_000 });
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

  test('answers “later” to the newest of a flood when too many wait, and still serves others', async () => {
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
