import { describe, expect, test } from 'vitest';
import { addressClass, createLoginThrottle } from '../../src/site/login-throttle.ts';

const LIMITS = { failuresMax: 3, windowMs: 60_000 };

const from = (address: string, accountName = 'a') => ({ address, accountName });

describe('failed logins', () => {
  test('of an address are counted up to the limit, then it waits until the window has passed', () => {
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

  test('count for the whole /64 that a subscriber of IPv6 owns', () => {
    const throttle = createLoginThrottle({ ...LIMITS, failuresMax: 1 }, () => 0);
    throttle.fail(from('2001:db8:0:1::17'));
    expect(throttle.waitMs(from('2001:db8:0:1:ffff::1'))).toBeGreaterThan(0);
    expect(throttle.waitMs(from('2001:db8:0:2::17'))).toBe(0);
  });

  test('of one account name from many addresses make it wait, too: thirty at a limit of three', () => {
    const throttle = createLoginThrottle(LIMITS, () => 0);
    for (let at = 0; at < 29; at += 1) throttle.fail(from(`192.0.2.${at}`));
    expect(throttle.waitMs(from('198.51.100.1'))).toBe(0);
    throttle.fail(from('192.0.2.99'));
    expect(throttle.waitMs(from('198.51.100.1'))).toBe(60_000);
    expect(throttle.waitMs(from('198.51.100.1', 'b'))).toBe(0);
  });

  test('of others do not lock out an address from which the account has logged in before', () => {
    const throttle = createLoginThrottle(LIMITS, () => 0);
    throttle.succeed(from('198.51.100.1'));
    for (let at = 0; at < 30; at += 1) throttle.fail(from(`192.0.2.${at}`));
    expect(throttle.waitMs(from('198.51.100.1'))).toBe(0);
    expect(throttle.waitMs(from('198.51.100.2'))).toBeGreaterThan(0);
    for (let at = 0; at < 3; at += 1) throttle.fail(from('198.51.100.1'));
    expect(throttle.waitMs(from('198.51.100.1'))).toBeGreaterThan(0);
  });

  test.each([
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['192.0.2.1', '192.0.2.1'],
    ['2001:DB8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['2001:0db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ])('%s counts as %s', (address, counted) => {
    expect(addressClass(address)).toBe(counted);
  });
});
