import { hash as hashOnce, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { addressClass } from '../lib/address.ts';
import { entriesAtMost } from '../lib/lru.ts';
import { FairSemaphore, QueueFullError } from '../lib/queue.ts';
import { SingleFlight } from '../lib/single-flight.ts';
import type { LoginThrottle } from './login-throttle.ts';

/** The cost of one guess. `ln` is the logarithm of scrypt's N; the memory is 128 * 2^ln * r bytes. */
export interface ScryptCost {
  readonly ln: number;
  readonly r: number;
  readonly p: number;
}

/**
 * The cost of new hashes: 32 MiB and about 150 ms for each guess. OWASP lists it as equal to N=2^17 with less
 * memory, which matters because a mirror shares its node.
 * @see https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html#scrypt
 */
export const DEFAULT_COST: ScryptCost = { ln: 15, r: 8, p: 3 };

/** A parsed `$scrypt$ln=15,r=8,p=3$salt$hash`; `text` is the whole line. */
export interface PasswordHash {
  readonly text: string;
  readonly cost: ScryptCost;
  readonly salt: Uint8Array;
  readonly hash: Uint8Array;
}

const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** Maximum memory for one guess that a hash in a file may ask for, in bytes. */
const MEMORY_MAX_BYTES = 256 * 1024 * 1024;
/** Maximum length of a password, in bytes. Longer ones are refused without hashing. */
const PASSWORD_MAX_BYTES = 1024;

const WRITTEN =
  /^\$scrypt\$ln=(?<ln>\d{1,2}),r=(?<r>\d{1,2}),p=(?<p>\d{1,2})\$(?<salt>[A-Za-z0-9+/]{11,86})\$(?<hash>[A-Za-z0-9+/]{22,86})$/;

const memoryOf = ({ ln, r }: ScryptCost) => 128 * 2 ** ln * r;

/**
 * Parses a password hash in passlib's form (base64 without padding); undefined when malformed.
 * @see https://passlib.readthedocs.io/en/stable/lib/passlib.hash.scrypt.html#format-algorithm
 */
export function parsePasswordHash(text: string): PasswordHash | undefined {
  const groups = WRITTEN.exec(text)?.groups;
  if (groups === undefined) return undefined;
  const cost = { ln: Number(groups['ln']), r: Number(groups['r']), p: Number(groups['p']) };
  if (cost.ln < 1 || cost.r < 1 || cost.p < 1 || cost.p > 16 || memoryOf(cost) > MEMORY_MAX_BYTES) {
    return undefined;
  }
  const [salt, hash] = [groups['salt'] ?? '', groups['hash'] ?? ''].map((part) =>
    Buffer.from(part, 'base64'),
  );
  return salt && hash && { text, cost, salt, hash };
}

function derive(password: string, cost: ScryptCost, salt: Uint8Array, lengthBytes: number): Promise<Buffer> {
  const { ln, r, p } = cost;
  const options = { N: 2 ** ln, r, p, maxmem: memoryOf(cost) + 128 * r * (p + 2) + 1024 };
  return new Promise((resolve, reject) => {
    scrypt(password, salt, lengthBytes, options, (error, derived) =>
      error ? reject(error) : resolve(derived),
    );
  });
}

const unpadded = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '');

/** Hashes `password` with a random salt. */
export async function hashPassword(password: string, cost: ScryptCost = DEFAULT_COST): Promise<PasswordHash> {
  const salt = randomBytes(SALT_BYTES);
  const hash = await derive(password, cost, salt, HASH_BYTES);
  const { ln, r, p } = cost;
  const text = `$scrypt$ln=${ln},r=${r},p=${p}$${unpadded(salt)}$${unpadded(hash)}`;
  return { text, cost, salt, hash };
}

/** Resolves to true when `hash` is the hash of `password`. The comparison takes constant time. */
export async function verifyPassword(password: string, { cost, salt, hash }: PasswordHash): Promise<boolean> {
  return timingSafeEqual(await derive(password, cost, salt, hash.length), hash);
}

/** Right, wrong, or not checked because of too many failures or too many waiting logins. */
type PasswordVerdict =
  | { readonly kind: 'right' }
  | { readonly kind: 'wrong' }
  | { readonly kind: 'later'; readonly waitMs: number };

/** A password from a client. */
export interface PasswordAttempt {
  readonly password: string;
  /** The hash that it must match. Undefined: there is no such login, which the answer must not reveal. */
  readonly hash: PasswordHash | undefined;
  /** The account part of the presented user name. */
  readonly accountName: string;
  readonly address: string;
  /** Aborts when the client leaves, whose password is then not hashed. */
  readonly signal?: AbortSignal | undefined;
}

export interface PasswordCheck {
  /** True for a password that was verified recently. Costs no hashing. */
  isRemembered(password: string, hash: PasswordHash | undefined): boolean;
  check(attempt: PasswordAttempt): Promise<PasswordVerdict>;
}

export interface PasswordCheckOptions {
  readonly throttle: LoginThrottle;
  /** The hash that passwords of unknown logins are compared with, at the usual cost. */
  readonly decoy: PasswordHash;
  readonly now: () => number;
  /** How long a verified password is accepted without hashing it again, in milliseconds. */
  readonly rememberMs?: number;
  /** Maximum number of passwords that are hashed at the same time, and that wait for it. */
  readonly hashingMax?: number;
  readonly waitingMax?: number;
}

const REMEMBERED_MAX = 4096;
const REMEMBER_MS = 60 * 60_000;
/** Hashing runs in libuv's four threads, which also read files. Half of them stay free for that. */
const HASHING_MAX = 2;
const WAITING_MAX = 1024;
const BUSY_WAIT_MS = 1000;

/**
 * Creates the check of passwords. The first check of a password costs scrypt's price; later ones compare a
 * keyed hash of the password and its scrypt hash. This matters because a pull makes a dozen requests, each
 * with the password, and the machines of one account present it under many user names. The key exists only in
 * this process, so a fingerprint is worthless elsewhere. A changed password has another scrypt hash and is
 * checked again.
 */
export function createPasswordCheck(options: PasswordCheckOptions): PasswordCheck {
  const { throttle, decoy, now, rememberMs = REMEMBER_MS } = options;
  const key = randomBytes(32).toString('base64');
  const verifiedUntil = new LRUCache<string, number>(entriesAtMost(REMEMBERED_MAX));
  const flights = new SingleFlight<PasswordVerdict>();
  const semaphore = new FairSemaphore(options.hashingMax ?? HASHING_MAX, options.waitingMax ?? WAITING_MAX);

  function fingerprint(password: string, hash: PasswordHash): string {
    // One call costs a fraction of createHmac. HMAC is not needed, because the fingerprints never leave this
    // process.
    return hashOnce('sha256', JSON.stringify([key, password, hash.text]), 'base64');
  }

  function throttled(attempt: PasswordAttempt): PasswordVerdict | undefined {
    const waitMs = throttle.waitMs(attempt);
    return waitMs > 0 ? { kind: 'later', waitMs } : undefined;
  }

  async function verify(attempt: PasswordAttempt, print: string): Promise<PasswordVerdict> {
    // Asked again when its turn comes, so that the rest of a flood of guesses is dropped once the first ones
    // have failed.
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
      // Stryker disable next-line all: what is longer was never verified; it is only not worth a fingerprint.
      if (password.length > PASSWORD_MAX_BYTES) return false;
      // An unknown login looks up the decoy, so that it takes the same time.
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
