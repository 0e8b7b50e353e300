import { createHash, randomBytes } from 'node:crypto';

/**
 * A long random password that programs log in with (CI, say): it has a name, an end, and perhaps fewer rights than its
 * account. Written to the machine file as a hash.
 */
export interface AccessToken {
  readonly name: string;
  /** SHA-256 of the token, base64url. 256 random bits cannot be guessed, so that a slow hash would add nothing. */
  readonly sha256: string;
  /** Milliseconds of the wall clock; undefined: it does not expire. */
  readonly expiresMs: number | undefined;
  /** Patterns of repositories, besides the account's own: both have to match. Undefined: only the account's. */
  readonly repositories: readonly string[] | undefined;
}

/** A fixed start lets secret scanners find a token that was published by mistake. */
const PREFIX = 'metahub_';
const TOKEN_BYTES = 32;
const TOKEN = /^metahub_[A-Za-z0-9_-]{43}$/;
export const TOKEN_HASH = /^[A-Za-z0-9_-]{43}$/;

/** A new token; only its hash is ever stored. */
export function createAccessToken(): { readonly text: string; readonly sha256: string } {
  const text = `${PREFIX}${randomBytes(TOKEN_BYTES).toString('base64url')}`;
  return { text, sha256: hashOf(text) };
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}

/** The hash of `password` when it has the form of a token; undefined for all other passwords. */
export function tokenHashOf(password: string): string | undefined {
  return TOKEN.test(password) ? hashOf(password) : undefined;
}

export function isExpired({ expiresMs }: AccessToken, nowMs: number): boolean {
  return expiresMs !== undefined && nowMs >= expiresMs;
}
