import { LRUCache } from 'lru-cache';
import { ConfigError } from '../lib/config-error.ts';
import {
  type AccessToken,
  type Account,
  type AccountIdentity,
  accountNameOf,
  parseSelector,
} from './account.ts';
import { problemWithFeatures, readMachineFeature } from './machine-features.ts';
import type { PasswordHash } from './password.ts';

/** Selectors whose identity is remembered. */
const SELECTORS_MAX = 4096;

/** Every login of the site. */
export interface AccountIndex {
  readonly accounts: readonly Account[];
  /**
   * The password that opens `userName`; undefined when there is no such account. Takes the same time for every name: what a
   * selector says of its machine is read only once the password is known to be right.
   */
  passwordOf(userName: string): PasswordHash | undefined;
  /** The access token of the account of `userName` that has this hash. */
  tokenOf(userName: string, sha256: string): AccessToken | undefined;
  /** The machine type, the account, or the account with a selector that `userName` stands for; else undefined. */
  find(userName: string): AccountIdentity | undefined;
}

/** The identity of a user name that describes its machine, under its account's password. */
function identityOfSelector(
  userName: string,
  accounts: ReadonlyMap<string, Account>,
): AccountIdentity | undefined {
  const selector = parseSelector(userName);
  const account = selector && accounts.get(selector.user);
  if (account?.password === undefined) return undefined;
  const features: string[] = [];
  for (const text of selector?.features ?? []) {
    const feature = readMachineFeature(text);
    if (feature.kind === 'unknown') return undefined;
    features.push(feature.text);
  }
  if (problemWithFeatures(features) !== undefined) return undefined;
  return { login: userName, account, features: [...new Set(features)].sort(), password: account.password };
}

/** @throws {ConfigError} when two files give the same login. */
export function createAccountIndex(accounts: readonly Account[]): AccountIndex {
  const users = new Map<string, Account>();
  const logins = new Map<string, AccountIdentity>();
  const taken = (what: string, file: string, otherFile: string) =>
    new ConfigError('exists', `the ${what} is taken already`, { file, otherFile });
  for (const account of accounts) {
    const own = account.password ? [{ login: account.user, features: [], password: account.password }] : [];
    const other = users.get(account.user);
    if (other) throw taken(`user ${account.user}`, account.file, other.file);
    users.set(account.user, account);
    for (const { login, features, password } of [...own, ...account.types]) {
      const known = logins.get(login);
      if (known) throw taken(`login ${login}`, account.file, known.account.file);
      logins.set(login, { login, account, features, password });
    }
  }
  const described = new LRUCache<string, AccountIdentity>({ max: SELECTORS_MAX });
  const describe = (userName: string): AccountIdentity | undefined => {
    const known = described.get(userName);
    if (known !== undefined) return known;
    const identity = identityOfSelector(userName, users);
    if (identity !== undefined) described.set(userName, identity);
    return identity;
  };
  return {
    accounts,
    passwordOf: (userName) => logins.get(userName)?.password ?? users.get(accountNameOf(userName))?.password,
    tokenOf: (userName, sha256) => {
      const account = logins.get(userName)?.account ?? users.get(accountNameOf(userName));
      return account?.tokens.find((token) => token.sha256 === sha256);
    },
    find: (userName) => logins.get(userName) ?? describe(userName),
  };
}
