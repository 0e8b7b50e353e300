import { createHmac, randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errors, jwtVerify, SignJWT } from 'jose';
import { LRUCache } from 'lru-cache';
import { replaceFile } from '../lib/atomic-file.ts';
import { readTextFile } from '../lib/regular-file.ts';
import { type AccountIdentity, isExpired, opensLogin, withToken } from './account.ts';

/** The rights of a token, as in the token specification. */
export interface Grant {
  readonly type: 'repository';
  readonly name: string;
  readonly actions: readonly string[];
}

type TokenVerdict =
  | { readonly kind: 'valid'; readonly identity: AccountIdentity; readonly grants: readonly Grant[] }
  | { readonly kind: 'expired' }
  | { readonly kind: 'invalid' };

interface IssuedToken {
  readonly text: string;
  readonly lifetimeS: number;
  readonly issuedAt: Date;
}

/**
 * Signs and verifies the site's own tokens (JWT, HS256).
 * @see https://distribution.github.io/distribution/spec/auth/jwt/
 */
export interface TokenIssuer {
  issue(identity: AccountIdentity, grants: readonly Grant[]): Promise<IssuedToken>;
  /**
   * Verifies a token. It is also invalid when its login was removed, or when the login's password has changed
   * since.
   */
  verify(token: string): Promise<TokenVerdict>;
  /** Returns the content of a token whose signature was verified before; undefined for any other token. */
  recall(token: string): TokenClaims | undefined;
  /** Judges the content of a token, without waiting: its expiry, and its login and password, which may change. */
  judge(claims: TokenClaims): TokenVerdict;
}

/** The content of a token with a valid signature. */
export interface TokenClaims {
  readonly login: string;
  /** The access token that the client presented for it. */
  readonly via: string | undefined;
  readonly stamp: string;
  readonly grants: readonly Grant[];
  /** Wall-clock seconds. */
  readonly expires: number;
}

/**
 * Limit of the tokens whose signature is not verified again, in characters: of common ones, more than ten
 * thousand. A token may list 32 long names of repositories.
 */
const VERIFIED_MAX_CHARACTERS = 16 * 2 ** 20;
/** What a token costs besides its text and its content, which is as large. */
const VERIFIED_OVERHEAD = 256;

/** The name of both the issuer and the audience of the tokens: `service` in the challenge. */
export const SERVICE = 'metahub';
/**
 * Lifetime of a token, in seconds: long enough for a pull's requests, and short enough that a removed login
 * soon ends at other replicas.
 */
const LIFETIME_S = 300;
const ALGORITHM = 'HS256';
/** Maximum difference between the clocks of replicas, in seconds. */
const CLOCK_TOLERANCE_S = 5;

export interface TokensOptions {
  readonly key: Uint8Array;
  readonly find: (login: string) => AccountIdentity | undefined;
  /** The wall clock, in milliseconds. */
  readonly now: () => number;
  readonly lifetimeS?: number;
}

/** Parses grants as strictly as if another party had sent them. */
function readGrants(access: unknown): readonly Grant[] {
  if (!Array.isArray(access)) return [];
  return access.filter(
    (grant): grant is Grant =>
      grant?.type === 'repository' && typeof grant.name === 'string' && Array.isArray(grant.actions),
  );
}

/**
 * Returns the function that binds tokens to the password that they were issued for, without revealing
 * anything about it.
 */
function createStamps(key: Uint8Array): (identity: AccountIdentity) => string {
  const known = new WeakMap<AccountIdentity, string>();
  return (identity) => {
    const before = known.get(identity);
    if (before !== undefined) return before;
    const stamp = createHmac('sha256', key)
      .update(JSON.stringify([identity.login, identity.token?.sha256 ?? identity.password.text]))
      .digest('base64url')
      .slice(0, 16);
    known.set(identity, stamp);
    return stamp;
  };
}

/** Creates the issuer of tokens. Every process with the same key accepts them; none of them is stored. */
export function createTokenIssuer({ key, find, now, lifetimeS = LIFETIME_S }: TokensOptions): TokenIssuer {
  const stampOf = createStamps(key);
  const verified = new LRUCache<string, TokenClaims>({
    maxSize: VERIFIED_MAX_CHARACTERS,
    sizeCalculation: (_, token) => 2 * token.length + VERIFIED_OVERHEAD,
  });

  function identityOf({ login, via }: TokenClaims): AccountIdentity | undefined {
    const identity = find(login);
    if (identity === undefined || via === undefined) return identity;
    const token = identity.account.tokens.find(({ name }) => name === via);
    return token && opensLogin(token, identity.account, login) ? withToken(identity, token) : undefined;
  }

  /** Checks what can change at any time: the clock, and the accounts. */
  function judge(claims: TokenClaims): TokenVerdict {
    const nowS = Math.floor(now() / 1000);
    if (nowS - CLOCK_TOLERANCE_S >= claims.expires) return { kind: 'expired' };
    const identity = identityOf(claims);
    if (identity === undefined || claims.stamp !== stampOf(identity)) return { kind: 'invalid' };
    if (identity.token && isExpired(identity.token, now())) return { kind: 'expired' };
    return { kind: 'valid', identity, grants: claims.grants };
  }

  async function readClaims(token: string): Promise<TokenClaims> {
    const { payload } = await jwtVerify(token, key, {
      algorithms: [ALGORITHM],
      issuer: SERVICE,
      audience: SERVICE,
      currentDate: new Date(now()),
      clockTolerance: CLOCK_TOLERANCE_S,
      requiredClaims: ['sub', 'exp', 'stamp'],
    });
    return {
      login: payload.sub ?? '',
      via: typeof payload['via'] === 'string' ? payload['via'] : undefined,
      stamp: String(payload['stamp']),
      grants: readGrants(payload['access']),
      expires: payload.exp ?? 0,
    };
  }

  return {
    issue: async (identity, grants) => {
      const issuedAt = Math.floor(now() / 1000);
      const text = await new SignJWT({
        access: grants,
        stamp: stampOf(identity),
        ...(identity.token && { via: identity.token.name }),
      })
        .setProtectedHeader({ alg: ALGORITHM, typ: 'JWT' })
        .setIssuer(SERVICE)
        .setAudience(SERVICE)
        .setSubject(identity.login)
        .setIssuedAt(issuedAt)
        .setExpirationTime(issuedAt + lifetimeS)
        .sign(key);
      return { text, lifetimeS, issuedAt: new Date(issuedAt * 1000) };
    },
    verify: async (token) => {
      try {
        const claims = await readClaims(token);
        verified.set(token, claims);
        return judge(claims);
      } catch (error) {
        if (error instanceof errors.JWTExpired) return { kind: 'expired' };
        if (error instanceof errors.JOSEError) return { kind: 'invalid' };
        throw error;
      }
    },
    recall: (token) => verified.get(token),
    judge,
  };
}

const KEY_BYTES = 32;

/** The key file is not safe: a user who reads or replaces the key can sign tokens for every account. */
export class TokenKeyError extends Error {
  override readonly name = 'TokenKeyError';
  readonly path: string;

  constructor(path: string, why: string) {
    super(`${path} ${why}`);
    this.path = path;
  }
}

/** Creates a key for this process only. Its tokens end with the process. */
export function randomTokenKey(): Uint8Array {
  return randomBytes(KEY_BYTES);
}

interface Ownership {
  readonly uid: number;
  readonly mode: number;
}

/**
 * Returns why a file with this owner and mode is not safe; undefined when it is. It must belong to this user,
 * with no access for anyone else; or to root, and then a group may read it, because a container's secrets are
 * mounted in this way.
 */
export function keyFileProblem({ uid, mode }: Ownership, ownUid: number): string | undefined {
  const permissions = (mode & 0o777).toString(8).padStart(4, '0');
  if (uid !== ownUid && uid !== 0) return `belongs to another user (uid ${uid})`;
  const forbidden = uid === ownUid ? 0o077 : 0o027;
  return (mode & forbidden) === 0 ? undefined : `has mode ${permissions}: others may read or change it`;
}

async function readKey(path: string): Promise<Uint8Array | undefined> {
  // Stryker disable next-line OptionalChaining: every system on which the tests run has user IDs.
  const ownUid = process.geteuid?.();
  const check = (stats: Ownership) => {
    const problem = ownUid === undefined ? undefined : keyFileProblem(stats, ownUid);
    if (problem !== undefined) throw new TokenKeyError(path, problem);
  };
  const text = await readTextFile(path, { check }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const key = Buffer.from(text.trim(), 'base64');
  if (key.length < KEY_BYTES) throw new TokenKeyError(path, `holds no key of ${KEY_BYTES} bytes in base64`);
  return key;
}

/**
 * Loads the key that tokens are signed with, and creates it at first (mode 0600). Replicas behind one load
 * balancer share the file.
 * @throws {TokenKeyError} when the file contains no key, or when others may read or change it.
 * @throws {Error} that names the file when it cannot be read or created.
 */
export async function loadTokenKey(path: string): Promise<Uint8Array> {
  const known = await readKey(path);
  if (known) return known;
  // Creates one directory at most: with `recursive`, Node.js never returns on a file system that accepts
  // none, such as /proc.
  await mkdir(dirname(path), { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  const text = `${Buffer.from(randomTokenKey()).toString('base64')}\n`;
  // Of two replicas that start together, one creates the key and both use it.
  await replaceFile(path, Buffer.from(text), { mode: 0o600, onlyIfAbsent: true });
  const key = await readKey(path);
  if (key === undefined) throw new Error(`${path} vanished while it was made`);
  return key;
}
