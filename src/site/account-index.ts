import type { Account, AccountIdentity } from './account.ts';
import { problemWithFeatures, readMachineFeature } from './machine-features.ts';
import { MachineFileError } from './machine-file.ts';
import { parseSelector } from './selector.ts';

/** Every login of the site. */
export interface AccountIndex {
  readonly accounts: readonly Account[];
  /** What `userName` stands for: a machine type, an account, or an account with a selector; undefined: nobody. */
  find(userName: string): AccountIdentity | undefined;
}

/** A user name that describes its machine, under its account's password. */
function describe(userName: string, accounts: ReadonlyMap<string, Account>): AccountIdentity | undefined {
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

/** @throws {MachineFileError} when two files give the same login. */
export function createAccountIndex(accounts: readonly Account[]): AccountIndex {
  const users = new Map<string, Account>();
  const logins = new Map<string, AccountIdentity>();
  for (const account of accounts) {
    const own = account.password ? [{ login: account.user, features: [], password: account.password }] : [];
    const other = users.get(account.user);
    if (other)
      throw new MachineFileError(
        `${account.file}: the user ${account.user} is taken already, in ${other.file}`,
      );
    users.set(account.user, account);
    for (const { login, features, password } of [...own, ...account.types]) {
      const taken = logins.get(login);
      if (taken)
        throw new MachineFileError(
          `${account.file}: the login ${login} is taken already, in ${taken.account.file}`,
        );
      logins.set(login, { login, account, features, password });
    }
  }
  return { accounts, find: (userName) => logins.get(userName) ?? describe(userName, users) };
}
