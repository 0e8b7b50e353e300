import { beforeAll, describe, expect, test } from 'vitest';
import { createLoginThrottle } from '../../src/site/login-throttle.ts';
import { hashPassword, type PasswordHash } from '../../src/site/password.ts';
import { createPasswordCheck } from '../../src/site/password-check.ts';

const CHEAP = { ln: 4, r: 8, p: 1 };
/** A cost at which a hash takes long enough to tell it from a look-up. */
const FELT = { ln: 15, r: 8, p: 1 };
const ADDRESS = '192.0.2.1';

let cheap: PasswordHash;
let decoy: PasswordHash;

beforeAll(async () => {
  cheap = await hashPassword('right', CHEAP);
  decoy = await hashPassword('', CHEAP);
});

function checking(limits = { failuresMax: 3, windowMs: 60_000 }) {
  let now = 0;
  const check = createPasswordCheck({
    failures: createLoginThrottle(limits, () => now),
    decoy,
    now: () => now,
    rememberMs: 1000,
  });
  return { ...check, pass: (ms: number) => (now += ms) };
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

  test('hashes a verified login once: the rest of a pull costs next to nothing', async () => {
    const dear = await hashPassword('right', FELT);
    const { check } = checking();
    const first = await elapsedMs(() => check('a', 'right', dear, ADDRESS));
    const hundred = await elapsedMs(async () => {
      for (let request = 0; request < 100; request += 1) await check('a', 'right', dear, ADDRESS);
    });
    expect(hundred).toBeLessThan(first);
  });

  test('hashes once for requests that come together', async () => {
    const dear = await hashPassword('right', FELT);
    const { check } = checking();
    const one = await elapsedMs(() => checking().check('a', 'right', dear, ADDRESS));
    const together = await elapsedMs(() =>
      Promise.all(Array.from({ length: 40 }, () => check('a', 'right', dear, ADDRESS))),
    );
    expect(together).toBeLessThan(one * 20);
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
    const check = createPasswordCheck({
      failures: createLoginThrottle({ failuresMax: 1000, windowMs: 60_000 }, () => 0),
      decoy: await hashPassword('', FELT),
      now: () => 0,
    });
    const known: number[] = [];
    const unknown: number[] = [];
    for (let round = 0; round < 5; round += 1) {
      known.push(await elapsedMs(() => check.check('a', `wrong ${round}`, dear, ADDRESS)));
      unknown.push(await elapsedMs(() => check.check('nobody', `wrong ${round}`, undefined, ADDRESS)));
    }
    const median = (values: number[]) => values.sort((a, b) => a - b)[2] ?? 0;
    expect(median(unknown)).toBeGreaterThan(median(known) / 3);
  });
});
