import { createHash, randomBytes } from 'node:crypto';
import * as v from 'valibot';
import { shown } from '../lib/schema.ts';
import type { PasswordHash } from './password.ts';

/**
 * A user name that describes the machine: `site/cpu#zen4,nvcap#9.0` is the account `site` on a machine with the
 * features `cpu:zen4` and `nvcap:9.0`. `#` replaces the colon, which would end a user name in HTTP Basic.
 * @see https://www.rfc-editor.org/rfc/rfc7617#section-2
 */
export interface Selector {
  readonly user: string;
  readonly features: readonly string[];
}

const FEATURES_MAX = 64;
const SELECTOR_MAX_CHARACTERS = 1024;
const FEATURE = /^[A-Za-z0-9][A-Za-z0-9._+-]*(?:#[A-Za-z0-9][A-Za-z0-9._+-]*)?$/;

/** Parses a selector; undefined when `userName` is none, or malformed. */
export function parseSelector(userName: string): Selector | undefined {
  if (userName.length > SELECTOR_MAX_CHARACTERS) return undefined;
  const slash = userName.indexOf('/');
  if (slash < 1) return undefined;
  const written = userName.slice(slash + 1).split(',');
  if (written.length > FEATURES_MAX || !written.every((text) => FEATURE.test(text))) return undefined;
  const features = [...new Set(written.map((text) => text.replace('#', ':')))].sort();
  return { user: userName.slice(0, slash), features };
}

/** The account's name in a user name: all of it, or the part before the slash of a selector. */
export function accountNameOf(userName: string): string {
  const slash = userName.indexOf('/');
  return slash < 0 ? userName : userName.slice(0, slash);
}

/**
 * The selector of a machine with `features` below the account `user`. Omits features that a user name cannot
 * contain.
 */
export function formatSelector(user: string, features: readonly string[]): string {
  const written = features.map((feature) => feature.replace(':', '#')).filter((text) => FEATURE.test(text));
  return `${user}/${[...new Set(written)].sort().join(',')}`;
}

/** A named set of features; its login selects it. */
export interface MachineType {
  readonly name: string;
  /** The user name: `qnib-type1`, unless the file sets another one. */
  readonly login: string;
  /** In canonical form; `match: exact` compares all of them. */
  readonly features: readonly string[];
  /** The type's own password, or the account's. */
  readonly password: PasswordHash;
}

/**
 * Roles, which limit the rights of an account: `admin` manages the site over the network, `publisher` pushes
 * and pulls, `puller` only pulls.
 */
export const ACCOUNT_ROLES = ['admin', 'publisher', 'puller'] as const;
export type AccountRole = (typeof ACCOUNT_ROLES)[number];

/** A person's identity at an OpenID provider. `subject` never changes, unlike names and mail addresses. */
export interface OidcSubject {
  readonly issuer: string;
  readonly subject: string;
  /** True when the rule of the last login grants rights by groups alone. */
  readonly groupsOnly?: boolean | undefined;
}

/** A user of the site, with its machine types. */
export interface Account {
  readonly user: string;
  /** Undefined: only machine types with their own passwords can log in, and selectors cannot. */
  readonly password: PasswordHash | undefined;
  readonly types: readonly MachineType[];
  /** Patterns of the repositories that it may pull, including those of its groups. */
  readonly repositories: readonly string[];
  /** Patterns of the repositories that it may push to; empty: it may not push. */
  readonly push: readonly string[];
  /** Groups that grant it further rights. */
  readonly groups: readonly string[];
  /** Access tokens, which its logins accept in place of the password. */
  readonly tokens: readonly AccessToken[];
  /** Machines that may enrol. */
  readonly enrolments: readonly Enrolment[];
  /**
   * Path of a file in the format of docker's config.json. For this account, its upstream logins replace those
   * of the mirror.
   */
  readonly upstreamLogins: string | undefined;
  /** Identifies the state of that file; absent until it has been checked. */
  readonly loginsStamp?: string;
  /** True when the account may add and remove its own machine types over the network. */
  readonly managesMachines: boolean;
  /**
   * `admin`: it manages all accounts of the site over the network. `puller`: it may not push, whatever its
   * groups grant. Undefined: only its patterns limit it.
   */
  readonly role: AccountRole | undefined;
  /** The person who logs in to this account at an OpenID provider. */
  readonly oidc?: OidcSubject | undefined;
  /** Path of the file that defines it. */
  readonly file: string;
}

/** The account's role. Without a role in its file: `publisher` when it may push, else `puller`. */
export function roleOf({ role, push }: Pick<Account, 'role' | 'push'>): AccountRole {
  return role ?? (push.length > 0 ? 'publisher' : 'puller');
}

/** Names become parts of file names, user names and log lines, where a colon or a slash is a separator. */
export const NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$/;

/** The name of a user, a login, a machine type, a group or a token. */
export const AccountName = v.pipe(
  v.string(),
  v.regex(
    NAME,
    ({ input }) => `${shown(input)} is not a name: it may contain letters, digits and . _ - @ only`,
  ),
);

/** The account and the features that a user name stands for. */
export interface AccountIdentity {
  readonly login: string;
  readonly account: Account;
  readonly features: readonly string[];
  readonly password: PasswordHash;
  /** Set for a person in a web session, who has presented no password. */
  readonly isPerson?: true;
  /** The access token that the client presented instead of the password; it may narrow the rights. */
  readonly token?: AccessToken;
}

const withTokens = new WeakMap<AccountIdentity, Map<AccessToken, AccountIdentity>>();

/**
 * Returns the identity with its token: the same object for the same pair, because caches use identities as
 * keys.
 */
export function withToken(identity: AccountIdentity, token: AccessToken): AccountIdentity {
  const tokens = withTokens.get(identity) ?? new Map<AccessToken, AccountIdentity>();
  withTokens.set(identity, tokens);
  const known = tokens.get(token);
  if (known !== undefined) return known;
  const found = { ...identity, token };
  tokens.set(token, found);
  return found;
}

/**
 * A long random password for a program, such as a CI job. It has a name, an expiry and at most the rights of
 * its account. The machine file stores only its hash.
 */
export interface AccessToken {
  readonly name: string;
  /** SHA-256 of the token, base64url. Nobody can guess 256 random bits, so a slow hash would add nothing. */
  readonly sha256: string;
  /** Milliseconds of the wall clock; undefined: the token does not expire. */
  readonly expiresMs: number | undefined;
  /** Patterns of repositories that narrow the account's: both must match. Undefined: only the account's count. */
  readonly repositories: readonly string[] | undefined;
  /** True when it may push what its account may push. */
  readonly push: boolean;
  /** The only machine type that it may log in as; undefined: it opens every login of the account. */
  readonly type: string | undefined;
}

/** Allows one machine to exchange a one-time secret for an access token of its own. */
export interface Enrolment {
  /** The name of the access token that the machine receives. */
  readonly name: string;
  /** The machine's type. */
  readonly type: string;
  /** SHA-256 of the secret, base64url. */
  readonly sha256: string;
  /** Milliseconds of the wall clock. */
  readonly expiresMs: number;
}

/** True when the access token opens this login of its account. */
export function opensLogin({ type }: AccessToken, { types }: Pick<Account, 'types'>, login: string): boolean {
  return type === undefined || types.some((one) => one.name === type && one.login === login);
}

/** The fixed prefix lets secret scanners find a token that somebody published by mistake. */
const PREFIX = 'metahub_';
const TOKEN_BYTES = 32;
const TOKEN = /^metahub_[A-Za-z0-9_-]{43}$/;
const ENROLMENT_PREFIX = 'metahub_enrol_';
const ENROLMENT = /^metahub_enrol_[A-Za-z0-9_-]{43}$/;
export const TOKEN_HASH = /^[A-Za-z0-9_-]{43}$/;

/** Creates a token. Only its hash is stored. */
export function createAccessToken(): { readonly text: string; readonly sha256: string } {
  return createSecret(PREFIX);
}

/** Creates the secret of an enrolment. Only its hash is stored. */
export function createEnrolmentSecret(): { readonly text: string; readonly sha256: string } {
  return createSecret(ENROLMENT_PREFIX);
}

function createSecret(prefix: string) {
  const text = `${prefix}${randomBytes(TOKEN_BYTES).toString('base64url')}`;
  return { text, sha256: hashOf(text) };
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}

/** The hash of an access token; undefined when `password` does not have the form of one. */
export function tokenHashOf(password: string): string | undefined {
  return TOKEN.test(password) ? hashOf(password) : undefined;
}

/** The hash of an enrolment's secret; undefined when `text` does not have the form of one. */
export function enrolmentHashOf(text: string): string | undefined {
  return ENROLMENT.test(text) ? hashOf(text) : undefined;
}

/** True when the token has expired. @param nowMs milliseconds of the wall clock */
export function isExpired({ expiresMs }: AccessToken, nowMs: number): boolean {
  return expiresMs !== undefined && nowMs >= expiresMs;
}
