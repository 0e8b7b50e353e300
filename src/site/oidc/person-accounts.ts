import { randomBytes } from 'node:crypto';
import { ConfigError, type ConfigErrorCode } from '../../lib/config-error.ts';
import { type Account, createAccessToken, type OidcSubject } from '../account.ts';
import type { PersonChange } from '../account-edit.ts';
import type { AuditReason } from '../audit.ts';
import type { MachineAdmin } from '../machine-admin.ts';

import { hashPassword } from '../password.ts';
import { isAccountOf } from './session.ts';
import type { Person } from './settings.ts';

/** Why MetaHub refuses a person whom the provider has authenticated. */
export type PersonRefusal = Extract<
  AuditReason,
  'no-rule' | 'no-account' | 'account-of-another' | 'not-writable'
>;

/** The provider has authenticated the person, but the site refuses them. */
export class PersonRefusedError extends Error {
  override readonly name = 'PersonRefusedError';
  readonly code: PersonRefusal;

  constructor(code: PersonRefusal, message: string) {
    super(message);
    this.code = code;
  }
}

export interface PersonAccountsOptions {
  /** Undefined: the site has no folder of machine files. */
  readonly admin: MachineAdmin | undefined;
  /** Returns the names of the site's groups. MetaHub ignores other groups in a claim. */
  readonly groups: () => Promise<readonly string[]>;
  /** Reads the machine files again. */
  readonly onChanged: () => Promise<void>;
}

function isSame(one: readonly string[], other: readonly string[]): boolean {
  return JSON.stringify([...one].sort()) === JSON.stringify([...other].sort());
}

function identityOf({ issuer, subject, isGrouped }: Person): OidcSubject {
  return { issuer, subject, ...(isGrouped && { groupsOnly: true }) };
}

/**
 * Codes of the error when no account of this name can be added: another account or a machine's login has the
 * name, or `groups` is the name of the groups' file.
 */
const NAME_TAKEN: readonly ConfigErrorCode[] = ['exists', 'invalid-value'];

function ofAnother(user: string): PersonRefusedError {
  const why = `the account ${user} belongs to somebody else: ask an administrator to rename or bind it`;
  return new PersonRefusedError('account-of-another', why);
}

/**
 * Checks the owner of the account. Call it under the lock, too.
 * @throws {PersonRefusedError} for the account of another person
 */
function checkOwner(account: Account, person: Person): void {
  if (isAccountOf(account, person)) return;
  throw ofAnother(person.user);
}

/**
 * Creates the account of a person at the first login, and sets its role and groups from the claims at each
 * login.
 */
export class PersonAccounts {
  readonly #options: PersonAccountsOptions;

  constructor(options: PersonAccountsOptions) {
    this.#options = options;
  }

  /** Opens or creates the person's account, and updates it from the claims. @throws {PersonRefusedError | ConfigError} */
  async open(person: Person): Promise<Account> {
    const admin = this.#admin();
    const found = (await admin.ownAccounts()).find(({ user }) => user === person.user);
    if (found !== undefined) checkOwner(found, person);
    if (person.isShared) {
      if (found) return found;
      throw new PersonRefusedError(
        'no-account',
        `there is no account ${person.user}: ask an administrator to add it`,
      );
    }
    const known = new Set(await this.#options.groups());
    const groups = person.groups.filter((name) => known.has(name));
    // A publisher needs a group, because only a group says where it may push.
    const role = person.role === 'publisher' && groups.length === 0 ? undefined : person.role;
    const change = { oidc: identityOf(person), role, groups };
    if (found === undefined) return this.#create(admin, person, change);
    // Stryker disable next-line OptionalChaining: an account of this person has `oidc`; checkOwner() has refused others.
    const isGrouped = found.oidc?.groupsOnly === true;
    if (found.role === role && isGrouped === person.isGrouped && isSame(found.groups, groups)) return found;
    const expect = (account: Account) => checkOwner(account, person);
    return this.#changed(await admin.change(person.user, { kind: 'change-person', change }, { expect }));
  }

  /** Creates an access token of the person; replaces one of the same name. */
  async makeToken(
    { user, tokens }: Account,
    person: Person,
    { name, expires, push }: { readonly name: string; readonly expires: Date; readonly push: boolean },
  ): Promise<string> {
    const admin = this.#admin();
    const { text, sha256 } = createAccessToken();
    const conditions = { expect: (account: Account) => checkOwner(account, person) };
    if (tokens.some((token) => token.name === name)) {
      await admin.change(user, { kind: 'remove-token', name }, conditions);
    }
    const token = { name, sha256, expires, push };
    await this.#changed(await admin.change(user, { kind: 'add-token', token }, conditions));
    return text;
  }

  async #create(admin: MachineAdmin, person: Person, { oidc, role, groups }: PersonChange): Promise<Account> {
    const { user } = person;
    // Every account needs a password. Nobody knows this one, so only the provider and tokens open the
    // account.
    const { text: password } = await hashPassword(randomBytes(32).toString('base64url'));
    const rights = groups.length === 0 ? {} : { groups };
    try {
      return await this.#changed(await admin.addAccount({ user, password, role, ...rights, oidc }));
    } catch (error) {
      if (!(error instanceof ConfigError && NAME_TAKEN.includes(error.code))) throw error;
      // A login of the same person may have created the account meanwhile.
      const made = (await admin.ownAccounts()).find((account) => account.user === user);
      if (made !== undefined && isAccountOf(made, person)) return this.open(person);
      throw ofAnother(user);
    }
  }

  async #changed(account: Account): Promise<Account> {
    await this.#options.onChanged();
    return account;
  }

  #admin(): MachineAdmin {
    if (this.#options.admin !== undefined) return this.#options.admin;
    throw new PersonRefusedError(
      'not-writable',
      'this site has no directory of machine files: ask the operator to set --machines DIR',
    );
  }
}
