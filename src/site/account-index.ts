import { LRUCache } from 'lru-cache';
import { ConfigError } from '../lib/config-error.ts';
import { entriesAtMost } from '../lib/lru.ts';
import {
  type AccessToken,
  type Account,
  type AccountIdentity,
  accountNameOf,
  type Enrolment,
  opensLogin,
  parseSelector,
} from './account.ts';
import { problemWithFeatures, readMachineFeature } from './machine-features.ts';
import type { PasswordHash } from './password.ts';

/** Maximum number of selectors whose identity the index remembers. */
const SELECTORS_MAX = 4096;

/** Every login of the site. */
export interface AccountIndex {
  readonly accounts: readonly Account[];
  /**
   * Returns the password that opens `userName`; undefined when there is no such account. Takes the same time
   * for every name, because the features of a selector are parsed only after its password was verified.
   */
  passwordOf(userName: string): PasswordHash | undefined;
  /** Returns the access token that opens `userName` and has this hash. */
  tokenOf(userName: string, sha256: string): AccessToken | undefined;
  /** Returns the enrolment whose secret has this hash, with its account. */
  enrolmentOf(sha256: string): { readonly account: Account; readonly enrolment: Enrolment } | undefined;
  /**
   * Finds the machine type, the account, or the account with a selector that `userName` names; undefined for
   * anything else.
   */
  find(userName: string): AccountIdentity | undefined;
}

/**
 * The identity that a selector names; undefined when the account has no password, or for features that no
 * machine has.
 */
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

/** @throws {ConfigError} when two files define the same login. */
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
  const described = new LRUCache<string, AccountIdentity>(entriesAtMost(SELECTORS_MAX));
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
      const found = account?.tokens.find((token) => token.sha256 === sha256);
      return account && found && opensLogin(found, account, userName) ? found : undefined;
    },
    enrolmentOf: (sha256) => {
      for (const account of accounts) {
        const enrolment = account.enrolments.find((one) => one.sha256 === sha256);
        if (enrolment !== undefined) return { account, enrolment };
      }
      return undefined;
    },
    find: (userName) => logins.get(userName) ?? describe(userName),
  };
}
