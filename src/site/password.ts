import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';

/** How much work one guess costs. `ln` is the logarithm of scrypt's N; memory is 128 * 2^ln * r bytes. */
export interface ScryptCost {
  readonly ln: number;
  readonly r: number;
  readonly p: number;
}

/**
 * 32 MiB and about 150 ms a guess: OWASP's equivalent of N=2^17 with the least memory, as a mirror shares its node.
 * @see https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html#scrypt
 */
export const DEFAULT_COST: ScryptCost = { ln: 15, r: 8, p: 3 };

/** A read `$scrypt$ln=15,r=8,p=3$salt$hash`; `text` is the line it was read from. */
export interface PasswordHash {
  readonly text: string;
  readonly cost: ScryptCost;
  readonly salt: Uint8Array;
  readonly hash: Uint8Array;
}

const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** No line of a file may ask for more memory than this for one guess, in bytes. */
const MEMORY_MAX_BYTES = 256 * 1024 * 1024;
/** Longer passwords are refused unhashed. */
export const PASSWORD_MAX_BYTES = 1024;

const WRITTEN =
  /^\$scrypt\$ln=(?<ln>\d{1,2}),r=(?<r>\d{1,2}),p=(?<p>\d{1,2})\$(?<salt>[A-Za-z0-9+/]{11,86})\$(?<hash>[A-Za-z0-9+/]{22,86})$/;

const memoryOf = ({ ln, r }: ScryptCost) => 128 * 2 ** ln * r;

/**
 * The password hash that `text` spells, or undefined: passlib's form, base64 without padding.
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

/** A new hash of `password`, salted at random. */
export async function hashPassword(password: string, cost: ScryptCost = DEFAULT_COST): Promise<PasswordHash> {
  const salt = randomBytes(SALT_BYTES);
  const hash = await derive(password, cost, salt, HASH_BYTES);
  const { ln, r, p } = cost;
  const text = `$scrypt$ln=${ln},r=${r},p=${p}$${unpadded(salt)}$${unpadded(hash)}`;
  return { text, cost, salt, hash };
}

/** Is `password` the one that was hashed? Takes the same time wherever the two differ. */
export async function verifyPassword(password: string, { cost, salt, hash }: PasswordHash): Promise<boolean> {
  return timingSafeEqual(await derive(password, cost, salt, hash.length), hash);
}
