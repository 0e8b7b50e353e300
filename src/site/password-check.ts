import { createHmac, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { LoginThrottle } from './login-throttle.ts';
import { PASSWORD_MAX_BYTES, type PasswordHash, verifyPassword } from './password.ts';

/** Right, wrong, or not looked at because its address has failed too often (or too many wait). */
type Verdict =
  | { readonly kind: 'right' }
  | { readonly kind: 'wrong' }
  | { readonly kind: 'later'; readonly waitMs: number };

export interface PasswordCheck {
  /** `hash` undefined: there is no such login, which takes as long to find out as a wrong password. */
  check(login: string, password: string, hash: PasswordHash | undefined, address: string): Promise<Verdict>;
}

export interface PasswordCheckOptions {
  readonly failures: LoginThrottle;
  /** What passwords of unknown logins are compared with, of the usual cost. */
  readonly decoy: PasswordHash;
  readonly now: () => number;
  /** For how long a verified login is taken without hashing again. */
  readonly rememberMs?: number;
}

const REMEMBERED_MAX = 4096;
const REMEMBER_MS = 60 * 60_000;
/** Hashing runs in libuv's four threads, which files are read by too: half of them stay free for that. */
const HASHING_MAX = 2;
const WAITING_MAX = 1024;
const BUSY_WAIT_MS = 1000;

/** Runs at most `running` tasks at once; the rest wait in order. */
function createQueue(running: number) {
  const waiting: (() => void)[] = [];
  let active = 0;
  return {
    waiting: () => waiting.length,
    run: async <T>(task: () => Promise<T>): Promise<T> => {
      if (active >= running) await new Promise<void>((resolve) => waiting.push(resolve));
      else active += 1;
      try {
        return await task();
      } finally {
        const next = waiting.shift();
        if (next) next();
        else active -= 1;
      }
    },
  };
}

/**
 * Checks passwords at scrypt's price once, then by a keyed hash: a pull makes a dozen requests, each with the password.
 * The key is of this process, so what is held in memory is of no use elsewhere; a changed hash is another key.
 */
export function createPasswordCheck(options: PasswordCheckOptions): PasswordCheck {
  const { failures, decoy, now } = options;
  const key = randomBytes(32);
  const verified = new LRUCache<string, { readonly until: number }>({ max: REMEMBERED_MAX });
  const flights = new Map<string, Promise<Verdict>>();
  const queue = createQueue(HASHING_MAX);

  function fingerprint(login: string, password: string, hash: PasswordHash): string {
    return createHmac('sha256', key)
      .update(JSON.stringify([login, password, hash.text]))
      .digest('base64');
  }

  function later(address: string): Verdict | undefined {
    const waitMs = failures.waitMs(address);
    return waitMs > 0 ? { kind: 'later', waitMs } : undefined;
  }

  async function verify(password: string, hash: PasswordHash | undefined, address: string): Promise<Verdict> {
    if (queue.waiting() >= WAITING_MAX) return { kind: 'later', waitMs: BUSY_WAIT_MS };
    return queue.run(async () => {
      // Asked again in turn: a flood of guesses is let go as soon as the first ten have failed.
      const refused = later(address);
      if (refused) return refused;
      const matches = await verifyPassword(password, hash ?? decoy);
      if (matches && hash !== undefined) return { kind: 'right' };
      failures.add(address);
      return { kind: 'wrong' };
    });
  }

  return {
    check: async (login, password, hash, address) => {
      if (Buffer.byteLength(password) > PASSWORD_MAX_BYTES) {
        failures.add(address);
        return later(address) ?? { kind: 'wrong' };
      }
      const print = fingerprint(login, password, hash ?? decoy);
      const known = hash && verified.get(print);
      // A login that works is never locked out by a neighbour behind the same address.
      if (known && now() < known.until) return { kind: 'right' };
      const flying = flights.get(print);
      if (flying) return flying;
      const flight = verify(password, hash, address).finally(() => flights.delete(print));
      flights.set(print, flight);
      const verdict = await flight;
      if (verdict.kind === 'right') {
        verified.set(print, { until: now() + (options.rememberMs ?? REMEMBER_MS) });
      }
      return verdict;
    },
  };
}
