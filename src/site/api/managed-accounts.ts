import type { Account, AccountIdentity } from '../account.ts';
import type { NewAccount } from '../account-edit.ts';
import type { MachineAdmin } from '../machine-admin.ts';
import type { MachineEdit } from '../machine-edit.ts';
import type { GroupRights } from '../machine-file.ts';
import { ApiProblem } from './api-problem.ts';

/** Limits of an account that is managed over the network. Every change parses its whole file again. */
const TYPES_MAX = 500;
const TOKENS_MAX = 500;
/** Every account that is read gets the rights of its groups, so their number is limited, too. */
const GROUPS_MAX = 500;

/** The identity that calls the API. */
export interface ApiCaller {
  readonly identity: AccountIdentity;
  readonly isAdmin: boolean;
}

/** Throws when the account is not in the state that the client expects. */
export type AccountExpectation = (account: Account) => void;

/** Throws when the group is not in the state that the client expects; undefined: it does not exist. */
export type GroupExpectation = (rights: GroupRights | undefined) => void;

export interface ManagedAccountsOptions {
  /** Undefined: the site has no folder of machine files. */
  readonly admin: MachineAdmin | undefined;
  /** Accounts that the program defines, not a file. */
  readonly fixed: readonly Account[];
  /** Reads the machine files again. */
  readonly onChanged: () => Promise<void>;
}

/** The part of an account that an edit changes. */
export type ChangeSubject = 'account' | 'types' | 'tokens' | 'groups';

function subjectOf({ kind }: MachineEdit): ChangeSubject {
  if (kind.endsWith('-token')) return 'tokens';
  return kind.endsWith('-type') ? 'types' : 'account';
}

/**
 * True when the account's own rights allow it to change this part of `user`. `user` is undefined for a group,
 * which belongs to no account.
 */
function mayChange(
  { user: own, role, managesMachines }: Account,
  user: string | undefined,
  subject: ChangeSubject,
  isPerson: boolean,
): boolean {
  if (role === 'admin') return true;
  if (own !== user) return false;
  // Programs know passwords. Whoever finds one must not be able to create a token that outlives it.
  return (managesMachines && subject === 'types') || (isPerson && subject === 'tokens');
}

function ownLossNextStep(verb: 'edit' | 'remove'): string {
  return `Ask another administrator, or run metahub machine ${verb} on the site’s own machine.`;
}

/**
 * Keeps an administrator from giving up its own role or password. Since the author of every change stays an
 * administrator, the site always has one. Two administrators cannot demote each other at the same time
 * either: `mayStill` checks the author's role again under the lock.
 */
function refuseOwnLoss(edit: MachineEdit): void {
  if (edit.kind !== 'change-account') return;
  const { role = 'admin', password } = edit.change;
  if (role === 'admin' && password !== null) return;
  const what = role === 'admin' ? 'password' : 'role';
  throw new ApiProblem('not-allowed', `an administrator cannot take its own ${what} away`, {
    nextStep: ownLossNextStep('edit'),
  });
}

/**
 * Lists and changes the accounts of a site within the caller's rights: an administrator's rights cover all
 * accounts, those of any other account only itself.
 * @throws {ApiProblem, ConfigError} from every method.
 */
export class ManagedAccounts {
  readonly #options: ManagedAccountsOptions;

  constructor(options: ManagedAccountsOptions) {
    this.#options = options;
  }

  /** Lists the visible accounts as their files define them, sorted by name. */
  async list({ identity, isAdmin }: ApiCaller): Promise<readonly Account[]> {
    const { admin, fixed } = this.#options;
    const all = [...fixed, ...((await admin?.ownAccounts()) ?? [])];
    const visible = isAdmin ? all : all.filter(({ user }) => user === identity.account.user);
    return visible.sort((a, b) => (a.user < b.user ? -1 : 1));
  }

  /**
   * Finds a visible account. @throws {ApiProblem} the same problem for an invisible account as for one that
   * does not exist
   */
  async find(caller: ApiCaller, user: string): Promise<Account> {
    const found = (await this.list(caller)).find((account) => account.user === user);
    if (found) return found;
    const nextStep = caller.isAdmin ? undefined : 'An account sees itself only; an administrator sees all.';
    throw new ApiProblem('no-resource', `there is no account ${user}`, { nextStep });
  }

  async change(
    caller: ApiCaller,
    user: string,
    edit: MachineEdit,
    expect?: AccountExpectation,
  ): Promise<Account> {
    const account = await this.find(caller, user);
    const subject = subjectOf(edit);
    const admin = this.requireAdmin(caller, user, subject);
    if (user === caller.identity.account.user) refuseOwnLoss(edit);
    this.#checkLimits(account, edit);
    const author = this.#author(caller, user, subject);
    const changed = await admin.change(user, edit, { author, expect });
    await this.#options.onChanged();
    return changed;
  }

  async add(caller: ApiCaller, account: NewAccount): Promise<Account> {
    const { user } = account;
    const admin = this.requireAdmin(caller, user, 'account');
    const added = await admin.addAccount(account, { author: this.#author(caller, user, 'account') });
    await this.#options.onChanged();
    return added;
  }

  async remove(caller: ApiCaller, user: string, expect: AccountExpectation): Promise<void> {
    await this.find(caller, user);
    const admin = this.requireAdmin(caller, user, 'account');
    if (user === caller.identity.account.user) {
      throw new ApiProblem('not-allowed', 'an account cannot remove itself', {
        nextStep: ownLossNextStep('remove'),
      });
    }
    await admin.removeAccount(user, { author: this.#author(caller, user, 'account'), expect });
    await this.#options.onChanged();
  }

  /** Lists the visible groups, sorted by name: all of them for an administrator, for any other account its own. */
  async groups(caller: ApiCaller): Promise<readonly (readonly [name: string, rights: GroupRights])[]> {
    const all = [...((await this.#options.admin?.groups()) ?? [])];
    const visible = caller.isAdmin
      ? all
      : all.filter(([name]) => caller.identity.account.groups.includes(name));
    return visible.sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** Adds a group, or replaces its rights. Resolves to true when the group is new. */
  async setGroup(
    caller: ApiCaller,
    name: string,
    rights: GroupRights,
    expect: GroupExpectation,
  ): Promise<boolean> {
    const admin = this.requireAdmin(caller, undefined, 'groups');
    let isNew = false;
    const count = (await admin.groups()).size;
    await admin.setGroup(name, rights, {
      author: this.#author(caller, undefined, 'groups'),
      expect: (now) => {
        expect(now);
        isNew = now === undefined;
        if (isNew && count >= GROUPS_MAX) throw full('the site', GROUPS_MAX, 'groups');
      },
    });
    await this.#options.onChanged();
    return isNew;
  }

  async removeGroup(caller: ApiCaller, name: string, expect: GroupExpectation): Promise<void> {
    const admin = this.requireAdmin(caller, undefined, 'groups');
    await admin.removeGroup(name, { author: this.#author(caller, undefined, 'groups'), expect });
    await this.#options.onChanged();
  }

  /** True when the caller may change this part of the account. */
  mayEdit({ identity }: ApiCaller, user: string, subject: ChangeSubject): boolean {
    const { account, token, isPerson = false } = identity;
    const isWritable = this.#options.admin !== undefined && token === undefined;
    return isWritable && mayChange(account, user, subject, isPerson);
  }

  /** Returns the writer of machine files. @throws {ApiProblem} when the caller may not change this part of the account */
  requireAdmin({ identity }: ApiCaller, user: string | undefined, subject: ChangeSubject): MachineAdmin {
    const { account, token, isPerson = false } = identity;
    // Whoever finds an access token must not be able to create logins with it.
    if (token !== undefined) {
      throw new ApiProblem('not-allowed', 'an access token cannot change anything', {
        nextStep: `Log in with the password of ${account.user}.`,
      });
    }
    if (!mayChange(account, user, subject, isPerson)) {
      throw new ApiProblem('not-allowed', `${account.user} may not change this`, {
        nextStep: 'It needs role: admin, or managesMachines: true for its own types.',
      });
    }
    const { admin } = this.#options;
    if (admin !== undefined) return admin;
    throw new ApiProblem('read-only', 'this site has no directory of machine files', {
      nextStep: 'The operator serves one with --machines DIR.',
    });
  }

  #author({ identity }: ApiCaller, user: string | undefined, subject: ChangeSubject) {
    const { account, password, isPerson = false } = identity;
    return {
      user: account.user,
      password,
      mayStill: (author: Account) => mayChange(author, user, subject, isPerson),
    };
  }

  #checkLimits({ user, types, tokens, enrolments }: Account, edit: MachineEdit): void {
    if (edit.kind === 'add-type' && types.length >= TYPES_MAX) throw full(user, TYPES_MAX, 'machine types');
    const added = edit.kind === 'add-token' ? edit.token : edit.kind === 'add-enrolment' && edit.enrolment;
    if (!added) return;
    // An enrolment becomes a token and replaces the token of its name, so both count as one.
    const names = new Set([...tokens, ...enrolments].map(({ name }) => name));
    if (!names.has(added.name) && names.size >= TOKENS_MAX)
      throw full(user, TOKENS_MAX, 'tokens and enrolments');
  }
}

function full(owner: string, max: number, what: string): ApiProblem {
  return new ApiProblem('limit', `${owner} already has ${max} ${what}, the maximum over the network`, {
    nextStep: 'Remove one that is no longer used.',
  });
}
