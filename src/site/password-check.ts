import { hash as hashOnce, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { FairSemaphore, QueueFullError } from '../lib/queue.ts';
import { SingleFlight } from '../lib/single-flight.ts';
import { addressClass, type LoginThrottle } from './login-throttle.ts';
import { PASSWORD_MAX_BYTES, type PasswordHash, verifyPassword } from './password.ts';

/** Right, wrong, or not checked: too many failures, or too many logins waiting. */
type PasswordVerdict =
  | { readonly kind: 'right' }
  | { readonly kind: 'wrong' }
  | { readonly kind: 'later'; readonly waitMs: number };

/** A password that a client presents. */
export interface PasswordAttempt {
  readonly password: string;
  /** The hash that it has to match; undefined: there is no such login, which the answer does not reveal. */
  readonly hash: PasswordHash | undefined;
  /** The account part of the user name as it was presented. */
  readonly accountName: string;
  readonly address: string;
  /** Aborts when the client leaves: its password is then not hashed any more. */
  readonly signal?: AbortSignal | undefined;
}

export interface PasswordCheck {
  /** True for a password that was verified lately; costs no hashing. */
  isRemembered(password: string, hash: PasswordHash | undefined): boolean;
  check(attempt: PasswordAttempt): Promise<PasswordVerdict>;
}

export interface PasswordCheckOptions {
  readonly throttle: LoginThrottle;
  /** What passwords of unknown logins are compared with, of the usual cost. */
  readonly decoy: PasswordHash;
  readonly now: () => number;
  /** For how long a verified password is accepted without hashing again. */
  readonly rememberMs?: number;
  /** Passwords hashed at once, and those that wait at most. */
  readonly hashingMax?: number;
  readonly waitingMax?: number;
}

const REMEMBERED_MAX = 4096;
const REMEMBER_MS = 60 * 60_000;
/** Hashing runs in libuv's four threads, which also read files: half of them stay free for that. */
const HASHING_MAX = 2;
const WAITING_MAX = 1024;
const BUSY_WAIT_MS = 1000;

/**
 * Checks passwords at scrypt's price once, then by a keyed hash of password and scrypt hash: a pull makes a dozen requests,
 * each with the password, and one account's machines present it under many user names. The key belongs to this process, so
 * the memory is of no use elsewhere; a changed password has another scrypt hash and is not remembered.
 */
export function createPasswordCheck(options: PasswordCheckOptions): PasswordCheck {
  const { throttle, decoy, now, rememberMs = REMEMBER_MS } = options;
  const key = randomBytes(32).toString('base64');
  const verifiedUntil = new LRUCache<string, number>({ max: REMEMBERED_MAX });
  const flights = new SingleFlight<PasswordVerdict>();
  const semaphore = new FairSemaphore(options.hashingMax ?? HASHING_MAX, options.waitingMax ?? WAITING_MAX);

  function fingerprint(password: string, hash: PasswordHash): string {
    // In one call, a fraction of what createHmac costs; the fingerprints never leave this process.
    return hashOnce('sha256', JSON.stringify([key, password, hash.text]), 'base64');
  }

  function throttled(attempt: PasswordAttempt): PasswordVerdict | undefined {
    const waitMs = throttle.waitMs(attempt);
    return waitMs > 0 ? { kind: 'later', waitMs } : undefined;
  }

  async function verify(attempt: PasswordAttempt, print: string): Promise<PasswordVerdict> {
    // Again in turn: the rest of a flood of guesses is dropped as soon as the first ones have failed.
    const refused = throttled(attempt);
    if (refused) return refused;
    const { password, hash } = attempt;
    if ((await verifyPassword(password, hash ?? decoy)) && hash !== undefined) {
      verifiedUntil.set(print, now() + rememberMs);
      return { kind: 'right' };
    }
    throttle.fail(attempt);
    return { kind: 'wrong' };
  }

  return {
    isRemembered: (password, hash) => {
      if (password.length > PASSWORD_MAX_BYTES) return false;
      // The decoy costs an unknown login the same look-up.
      const until = verifiedUntil.get(fingerprint(password, hash ?? decoy)) ?? 0;
      return hash !== undefined && now() < until;
    },
    check: async (attempt) => {
      const { password, hash, accountName, address, signal } = attempt;
      if (Buffer.byteLength(password) > PASSWORD_MAX_BYTES) {
        throttle.fail(attempt);
        return throttled(attempt) ?? { kind: 'wrong' };
      }
      const refused = throttled(attempt);
      if (refused) return refused;
      const print = fingerprint(password, hash ?? decoy);
      try {
        const verdict = await flights.share(
          JSON.stringify([print, accountName, addressClass(address)]),
          signal,
          (all) => semaphore.run([addressClass(address), accountName], all, () => verify(attempt, print)),
        );
        if (verdict.kind === 'right') throttle.succeed(attempt);
        return verdict;
      } catch (error) {
        if (error instanceof QueueFullError || signal?.aborted) {
          return { kind: 'later', waitMs: BUSY_WAIT_MS };
        }
        throw error;
      }
    },
  };
}
