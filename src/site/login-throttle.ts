import { LRUCache } from 'lru-cache';
import { addressClass } from '../lib/address.ts';
import { entriesAtMost } from '../lib/lru.ts';

/** How many failed logins an address may have within a window. Then it must wait for the window's end. */
export interface LoginThrottleLimits {
  readonly failuresMax: number;
  readonly windowMs: number;
}

export const DEFAULT_LOGIN_THROTTLE_LIMITS: LoginThrottleLimits = { failuresMax: 10, windowMs: 60_000 };

/** The limit of an account name, for all addresses together, is this many times the limit of an address. */
const ACCOUNT_FACTOR = 10;
/** Maximum number of counted addresses, and of names. The one without a failure for longest is evicted first. */
const REMEMBERED_MAX = 10_000;
/** How long an address counts as known to an account that logged in from it, in milliseconds. */
const KNOWN_MS = 24 * 60 * 60_000;

/** The origin of a login: its address, and its account name, which need not exist. */
export interface LoginAttempt {
  readonly address: string;
  readonly accountName: string;
}

/**
 * Counts failed logins by address and by account name, each in a window that starts with the first failure.
 * An address from which the account logged in before waits only for its own failures, so that nobody else can
 * lock out the machines of the account. Names that do not exist are counted as well, so that a refusal does
 * not reveal whether a name exists.
 */
export interface LoginThrottle {
  /** Milliseconds until such a login is checked again; 0: now. */
  waitMs(attempt: LoginAttempt): number;
  fail(attempt: LoginAttempt): void;
  succeed(attempt: LoginAttempt): void;
}

/** Failures of many addresses or names, each in its own window. */
class FailureCounts {
  readonly #counts = new LRUCache<string, { readonly since: number; readonly count: number }>({
    ...entriesAtMost(REMEMBERED_MAX),
  });
  readonly #max: number;
  readonly #windowMs: number;
  readonly #now: () => number;

  constructor(max: number, windowMs: number, now: () => number) {
    this.#max = max;
    this.#windowMs = windowMs;
    this.#now = now;
  }

  #current(subject: string) {
    const entry = this.#counts.get(subject);
    return entry !== undefined && this.#now() < entry.since + this.#windowMs ? entry : undefined;
  }

  waitMs(subject: string): number {
    const entry = this.#current(subject);
    return entry && entry.count >= this.#max ? entry.since + this.#windowMs - this.#now() : 0;
  }

  add(subject: string): void {
    const entry = this.#current(subject);
    this.#counts.set(subject, { since: entry?.since ?? this.#now(), count: (entry?.count ?? 0) + 1 });
  }
}

/** @param now monotonic milliseconds */
export function createLoginThrottle(limits: LoginThrottleLimits, now: () => number): LoginThrottle {
  const { failuresMax, windowMs } = limits;
  const byAddress = new FailureCounts(failuresMax, windowMs, now);
  const byAccount = new FailureCounts(failuresMax * ACCOUNT_FACTOR, windowMs, now);
  const knownUntil = new LRUCache<string, number>(entriesAtMost(REMEMBERED_MAX));
  const pairOf = ({ address, accountName }: LoginAttempt) =>
    JSON.stringify([accountName, addressClass(address)]);

  return {
    waitMs: (attempt) => {
      const isKnown = (knownUntil.get(pairOf(attempt)) ?? 0) > now();
      const ofAddress = byAddress.waitMs(addressClass(attempt.address));
      return isKnown ? ofAddress : Math.max(ofAddress, byAccount.waitMs(attempt.accountName));
    },
    fail: (attempt) => {
      byAddress.add(addressClass(attempt.address));
      byAccount.add(attempt.accountName);
    },
    succeed: (attempt) => void knownUntil.set(pairOf(attempt), now() + KNOWN_MS),
  };
}
