import { describe, expect, test } from 'vitest';
import { createLoginThrottle } from '../../src/site/login-throttle.ts';

const LIMITS = { failuresMax: 3, windowMs: 60_000 };

const from = (address: string, accountName = 'a') => ({ address, accountName });

describe('LoginThrottle', () => {
  test('blocks an address after the limit until the window has passed', () => {
    let now = 1000;
    const throttle = createLoginThrottle(LIMITS, () => now);
    throttle.fail(from('192.0.2.1'));
    throttle.fail(from('192.0.2.1', 'b'));
    expect(throttle.waitMs(from('192.0.2.1'))).toBe(0);
    now += 10_000;
    throttle.fail(from('192.0.2.1'));
    expect(throttle.waitMs(from('192.0.2.1', 'another'))).toBe(50_000);
    expect(throttle.waitMs(from('192.0.2.2'))).toBe(0);
    now += 50_000;
    expect(throttle.waitMs(from('192.0.2.1'))).toBe(0);
  });

  test('begins another window with the first failure at or after the end of one', () => {
    let now = 0;
    const throttle = createLoginThrottle(LIMITS, () => now);
    const failThrice = () => {
      for (let at = 0; at < 3; at += 1) throttle.fail(from('192.0.2.1'));
    };
    failThrice();
    now = 59_999;
    expect(throttle.waitMs(from('192.0.2.1'))).toBe(1);
    now = 60_000;
    failThrice();
    expect(throttle.waitMs(from('192.0.2.1'))).toBe(60_000);
    now = 300_000;
    expect(throttle.waitMs(from('192.0.2.1'))).toBe(0);
  });

  test('counts failures for the whole /64 of an IPv6 address', () => {
    const throttle = createLoginThrottle({ ...LIMITS, failuresMax: 1 }, () => 0);
    throttle.fail(from('2001:db8:0:1::17'));
    expect(throttle.waitMs(from('2001:db8:0:1:ffff::1'))).toBeGreaterThan(0);
    expect(throttle.waitMs(from('2001:db8:0:2::17'))).toBe(0);
  });

  test('blocks an account name after failures from many addresses', () => {
    const throttle = createLoginThrottle(LIMITS, () => 0);
    for (let at = 0; at < 29; at += 1) throttle.fail(from(`192.0.2.${at}`));
    expect(throttle.waitMs(from('198.51.100.1'))).toBe(0);
    throttle.fail(from('192.0.2.99'));
    expect(throttle.waitMs(from('198.51.100.1'))).toBe(60_000);
    expect(throttle.waitMs(from('198.51.100.1', 'b'))).toBe(0);
  });

  test('does not block an address from which the account has logged in before', () => {
    const throttle = createLoginThrottle(LIMITS, () => 0);
    throttle.succeed(from('198.51.100.1'));
    for (let at = 0; at < 30; at += 1) throttle.fail(from(`192.0.2.${at}`));
    expect(throttle.waitMs(from('198.51.100.1'))).toBe(0);
    expect(throttle.waitMs(from('198.51.100.2'))).toBeGreaterThan(0);
    for (let at = 0; at < 3; at += 1) throttle.fail(from('198.51.100.1'));
    expect(throttle.waitMs(from('198.51.100.1'))).toBeGreaterThan(0);
  });

  /** An address of its own for each number. */
  const numbered = (at: number) => `10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`;

  test('counts the failures of ten thousand addresses, those that failed or asked last', () => {
    const throttle = createLoginThrottle({ ...LIMITS, failuresMax: 1 }, () => 0);
    const isBlocked = (at: number) => throttle.waitMs(from(numbered(at), 'other')) > 0;
    for (let at = 0; at < 10_000; at += 1) throttle.fail(from(numbered(at), `name ${at}`));
    expect(isBlocked(0)).toBe(true);
    throttle.fail(from(numbered(10_000)));
    expect([0, 1, 2, 10_000].map(isBlocked)).toEqual([true, false, true, true]);
  });

  test('counts the failures of ten thousand account names, those that failed or asked last', () => {
    const throttle = createLoginThrottle({ ...LIMITS, failuresMax: 0.1 }, () => 0);
    const isBlocked = (at: number) => throttle.waitMs(from('198.51.100.1', `name ${at}`)) > 0;
    const fail = (at: number) => throttle.fail(from('192.0.2.1', `name ${at}`));
    for (let at = 0; at < 10_000; at += 1) fail(at);
    expect(isBlocked(0)).toBe(true);
    fail(10_000);
    expect([0, 1, 2, 10_000].map(isBlocked)).toEqual([true, false, true, true]);
  });

  test('knows ten thousand addresses of accounts, those that logged in or asked last', () => {
    const throttle = createLoginThrottle(LIMITS, () => 0);
    for (let at = 0; at < 30; at += 1) throttle.fail(from(`192.0.2.${at}`));
    const isKnown = (at: number) => throttle.waitMs(from(numbered(at))) === 0;
    for (let at = 0; at < 10_000; at += 1) throttle.succeed(from(numbered(at)));
    expect(isKnown(0)).toBe(true);
    throttle.succeed(from(numbered(10_000)));
    expect([0, 1, 2, 10_000].map(isKnown)).toEqual([true, false, true, true]);
  });

  test.each([
    ['another account from that address', from('198.51.100.1', 'b'), 0, 60_000],
    ['the account from another address', from('198.51.100.2'), 0, 60_000],
    ['the account from that address, a day later', from('198.51.100.1'), 24 * 60 * 60_000, 60_000],
    ['the account from that address', from('198.51.100.1'), 24 * 60 * 60_000 - 1, 0],
  ])(
    'an address that an account is known from exempts only that account: %s',
    (_, attempt, laterMs, waitMs) => {
      let now = 0;
      const throttle = createLoginThrottle(LIMITS, () => now);
      throttle.succeed(from('198.51.100.1'));
      now = laterMs;
      for (const name of ['a', 'b']) {
        for (let at = 0; at < 30; at += 1) throttle.fail(from(`192.0.2.${at}`, name));
      }
      expect(throttle.waitMs(attempt)).toBe(waitMs);
    },
  );
});
