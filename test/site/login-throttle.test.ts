import { describe, expect, test } from 'vitest';
import { addressClass, createLoginThrottle } from '../../src/site/login-throttle.ts';

const LIMITS = { failuresMax: 3, windowMs: 60_000 };

describe('failures of an address', () => {
  test('are borne up to the limit, then it waits until the window has passed', () => {
    let now = 1000;
    const failures = createLoginThrottle(LIMITS, () => now);
    failures.add('192.0.2.1');
    failures.add('192.0.2.1');
    expect(failures.waitMs('192.0.2.1')).toBe(0);
    now += 10_000;
    failures.add('192.0.2.1');
    expect(failures.waitMs('192.0.2.1')).toBe(50_000);
    expect(failures.waitMs('192.0.2.2')).toBe(0);
    now += 50_000;
    expect(failures.waitMs('192.0.2.1')).toBe(0);
  });

  test('count for the whole /64 that a subscriber of IPv6 holds', () => {
    const failures = createLoginThrottle({ ...LIMITS, failuresMax: 1 }, () => 0);
    failures.add('2001:db8:0:1::17');
    expect(failures.waitMs('2001:db8:0:1:ffff::1')).toBeGreaterThan(0);
    expect(failures.waitMs('2001:db8:0:2::17')).toBe(0);
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
