import { createHash, randomBytes } from 'node:crypto';
import type { PasswordHash } from './password.ts';

/**
 * A user name that describes the machine: `site/cpu#zen4,nvcap#9.0` is the account `site` on a machine with the features
 * `cpu:zen4` and `nvcap:9.0`. A colon would end a user name of HTTP's Basic scheme, so `#` stands for it.
 * @see https://www.rfc-editor.org/rfc/rfc7617#section-2
 */
export interface Selector {
  readonly user: string;
  readonly features: readonly string[];
}

const FEATURES_MAX = 64;
const SELECTOR_MAX_CHARACTERS = 1024;
const FEATURE = /^[A-Za-z0-9][A-Za-z0-9._+-]*(?:#[A-Za-z0-9][A-Za-z0-9._+-]*)?$/;

/** The selector that `userName` spells; undefined when it is none, or malformed. */
export function parseSelector(userName: string): Selector | undefined {
  if (userName.length > SELECTOR_MAX_CHARACTERS) return undefined;
  const slash = userName.indexOf('/');
  if (slash < 1) return undefined;
  const written = userName.slice(slash + 1).split(',');
  if (written.length > FEATURES_MAX || !written.every((text) => FEATURE.test(text))) return undefined;
  const features = [...new Set(written.map((text) => text.replace('#', ':')))].sort();
  return { user: userName.slice(0, slash), features };
}

/** The account part of a user name: what stands before the selector, or all of it. */
export function accountNameOf(userName: string): string {
  const slash = userName.indexOf('/');
  return slash < 0 ? userName : userName.slice(0, slash);
}

/** The user name by which a machine with `features` logs in as `user`; features that cannot be written so are left out. */
export function formatSelector(user: string, features: readonly string[]): string {
  const written = features.map((feature) => feature.replace(':', '#')).filter((text) => FEATURE.test(text));
  return `${user}/${[...new Set(written)].sort().join(',')}`;
}

/** A named profile that a login selects. */
export interface MachineType {
  readonly name: string;
  /** The user name, `qnib-type1` unless the file gives the type one of its own. */
  readonly login: string;
  /** Canonical; `match: exact` sees them all. */
  readonly features: readonly string[];
  /** Its own, or the account's. */
  readonly password: PasswordHash;
}

/** A user of the site, with the machine types that it may log in as. */
export interface Account {
  readonly user: string;
  /** Absent: only its machine types have passwords, and there are no selectors. */
  readonly password: PasswordHash | undefined;
  readonly types: readonly MachineType[];
  /** Patterns of the repositories that it may pull: its own and those of its groups. */
  readonly repositories: readonly string[];
  /** Patterns of the repositories that it may push to; none: it only pulls. */
  readonly push: readonly string[];
  /** Groups whose rights it has as well. */
  readonly groups: readonly string[];
  /** Tokens that open its logins beside the passwords. */
  readonly tokens: readonly AccessToken[];
  /** A file, in docker's form, of the logins that are presented upstream for it, instead of the mirror's own. */
  readonly upstreamLogins: string | undefined;
  /** Tells one state of that file from another; absent where it was not looked at. */
  readonly loginsStamp?: string;
  /** May it add and remove machine types over the network? */
  readonly managesMachines: boolean;
  /** Where it was read. */
  readonly file: string;
}

/** Logins and types are parts of file names, user names and log lines; a colon or a slash would end them. */
export const NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$/;

/** What a user name stands for. */
export interface AccountIdentity {
  readonly login: string;
  readonly account: Account;
  readonly features: readonly string[];
  readonly password: PasswordHash;
  /** The access token that was presented instead of the password; its rights may be fewer. */
  readonly token?: AccessToken;
}

const narrowed = new WeakMap<AccountIdentity, Map<AccessToken, AccountIdentity>>();

/** The identity with its token: one object for each pair, because what is worked out for an identity is kept by it. */
export function withToken(identity: AccountIdentity, token: AccessToken): AccountIdentity {
  const tokens = narrowed.get(identity) ?? new Map<AccessToken, AccountIdentity>();
  narrowed.set(identity, tokens);
  const known = tokens.get(token);
  if (known !== undefined) return known;
  const found = { ...identity, token };
  tokens.set(token, found);
  return found;
}

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
  /** May it push what its account may push? One that was made for pulling may not. */
  readonly push: boolean;
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
