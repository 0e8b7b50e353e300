import { isIPv6 } from 'node:net';
import { LRUCache } from 'lru-cache';

/** How many wrong passwords an address may send, and for how long it is then not listened to. */
export interface LoginThrottleLimits {
  readonly failuresMax: number;
  readonly windowMs: number;
}

export const DEFAULT_LOGIN_THROTTLE_LIMITS: LoginThrottleLimits = { failuresMax: 10, windowMs: 60_000 };

/** Addresses remembered at once; the one longest silent is forgotten first. */
const ADDRESSES_MAX = 10_000;

/** Counts failed logins by address, in a window that starts with the first failure. */
export interface LoginThrottle {
  /** Milliseconds until the address is listened to again; 0 when it is now. */
  waitMs(address: string): number;
  add(address: string): void;
}

/** One subscriber of IPv6 holds a /64 at the least: its addresses count as one. `::ffff:10.0.0.1` is IPv4. */
export function addressClass(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const [plain = ''] = address.split('%');
  if (!isIPv6(plain)) return address;
  const [head = '', tail] = plain.toLowerCase().split('::');
  const groups = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const after = tail === '' ? [] : tail.split(':');
    while (groups.length + after.length < 8) groups.push('0');
    groups.push(...after);
  }
  const network = groups.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16));
  return `${network.join(':')}::/64`;
}

/** `now` is monotonic milliseconds. */
export function createLoginThrottle(limits: LoginThrottleLimits, now: () => number): LoginThrottle {
  const held = new LRUCache<string, { readonly since: number; readonly count: number }>({
    max: ADDRESSES_MAX,
  });

  function current(key: string) {
    const entry = held.get(key);
    return entry !== undefined && now() < entry.since + limits.windowMs ? entry : undefined;
  }

  return {
    waitMs: (address) => {
      const entry = current(addressClass(address));
      return entry && entry.count >= limits.failuresMax ? entry.since + limits.windowMs - now() : 0;
    },
    add: (address) => {
      const key = addressClass(address);
      const entry = current(key);
      held.set(key, { since: entry?.since ?? now(), count: (entry?.count ?? 0) + 1 });
    },
  };
}
