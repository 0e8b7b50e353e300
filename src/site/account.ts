import type { AccessToken } from './access-token.ts';
import type { PasswordHash } from './password.ts';

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
