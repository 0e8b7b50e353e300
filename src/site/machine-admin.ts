import { mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Owner, replaceFile } from '../lib/atomic-file.ts';
import { ConfigError } from '../lib/config-error.ts';
import { writeConfigFile } from '../lib/config-file.ts';
import { type FileLock, withFileLock } from '../lib/file-lock.ts';
import { OWN_LINKS } from '../lib/link-path.ts';
import { SerialQueue } from '../lib/queue.ts';
import { readTextFile } from '../lib/regular-file.ts';
import type { Account } from './account.ts';
import { formatNewAccount, type NewAccount } from './account-edit.ts';
import { createAccountIndex } from './account-index.ts';
import {
  checkGroupName,
  groupsFileFor,
  missingGroup,
  refuseMembers,
  withGroup,
  withoutGroup,
} from './group-edit.ts';
import type { MachineEdit } from './machine-edit.ts';
import { asMachineError, asUnreadable } from './machine-errors.ts';
import { type GroupRights, type Groups, readGroupsFile, readMachineFile } from './machine-file.ts';
import { isAccountFile, MachineReader, withGroups } from './machine-reader.ts';
import { workOnMachineFile } from './machine-work.ts';
import type { PasswordHash } from './password.ts';

/** The account that makes a change over the network. The operator, on the command line, has none. */
export interface Author {
  readonly user: string;
  /** The author's password when the change was authorised. The change is refused if it has changed since. */
  readonly password: PasswordHash;
  /** True when the author, as the files define it now, may still make the change. Absent: always. */
  readonly mayStill?: (author: Account) => boolean;
}

/** Conditions of a change. */
export interface ChangeConditions {
  readonly author?: Author | undefined;
  /** Throws when the account's file has changed since the change was authorised. */
  readonly expect?: ((account: Account) => void) | undefined;
}

/** Conditions of a change of a group. `expect` gets its current rights; undefined: it does not exist. */
export interface GroupConditions {
  readonly author?: Author | undefined;
  readonly expect?: ((rights: GroupRights | undefined) => void) | undefined;
}

/**
 * Changes the accounts of a folder. A lock serialises the changes of all processes. A change is checked
 * completely before anything is written. @throws {ConfigError} from every method.
 */
export interface MachineAdmin {
  /** With the rights of their groups. */
  readonly accounts: () => Promise<readonly Account[]>;
  /** As their files define them, without the rights of their groups. */
  readonly ownAccounts: () => Promise<readonly Account[]>;
  addAccount(account: NewAccount, conditions?: ChangeConditions): Promise<Account>;
  /** Makes one change; resolves to the account as its file then defines it. */
  change(user: string, edit: MachineEdit, conditions?: ChangeConditions): Promise<Account>;
  removeAccount(user: string, conditions?: ChangeConditions): Promise<void>;
  readonly groups: () => Promise<Groups>;
  /** Adds a group, or replaces its rights. */
  setGroup(name: string, rights: GroupRights, conditions?: GroupConditions): Promise<void>;
  /** Removes a group of which no account is a member. */
  removeGroup(name: string, conditions?: GroupConditions): Promise<void>;
}

/** Mode of new files: other users of the machine must not read password hashes. */
const MODE = 0o640;
const LOCK_FILE = '.lock';
/** The pause after a change lets another process take the lock. It is longer after a slow change. */
const PAUSE_MS = 25;
const PAUSE_FACTOR = 3;

/** A new file belongs to root and the folder's group. */
async function ownerFor(folder: string): Promise<Owner | undefined> {
  return process.getuid?.() === 0 ? { uid: 0, gid: (await stat(folder)).gid } : undefined;
}

export interface MachineAdminOptions {
  /** How long a change waits for another process's lock, in milliseconds. */
  readonly lockTimeoutMs?: number;
  /** Called after every change. */
  readonly onChanged?: (() => void) | undefined;
}

class FolderAdmin implements MachineAdmin {
  readonly #reader: MachineReader;
  readonly #options: MachineAdminOptions;
  readonly #queue = new SerialQueue();

  constructor(reader: MachineReader, options: MachineAdminOptions) {
    this.#reader = reader;
    this.#options = options;
  }

  readonly accounts = (): Promise<readonly Account[]> => this.#reader.read();

  readonly ownAccounts = async (): Promise<readonly Account[]> => (await this.#readAll()).accounts;

  async addAccount(written: NewAccount, { author }: ChangeConditions = {}): Promise<Account> {
    const { user } = written;
    await mkdir(this.#folder, { recursive: true, mode: 0o750 });
    const file = join(this.#folder, `${user}.yaml`);
    if (!isAccountFile(`${user}.yaml`)) {
      const why = `an account cannot have the name ${user}: it is the name of the groups’ file`;
      throw new ConfigError('invalid-value', why);
    }
    const text = formatNewAccount(written);
    // Validates the user name before it becomes part of a path, so that it cannot lead out of the folder.
    const account = readMachineFile(text, file);
    return this.#locked(async () => {
      await this.#checkAuthor(author);
      const exists = () =>
        new ConfigError('exists', `there is an account ${user} already`, { file: this.#folder });
      const accounts = await this.ownAccounts();
      if (accounts.some((other) => other.user === user || other.file === file)) throw exists();
      await this.#check(account);
      if (!(await this.#create(file, text))) throw exists();
      return account;
    });
  }

  async change(user: string, edit: MachineEdit, { author, expect }: ChangeConditions = {}): Promise<Account> {
    // Before the lock, because an absent folder cannot be locked: the error then names the account.
    await this.#accountOf(user);
    return this.#locked(async (lock) => {
      await this.#checkAuthor(author);
      const before = await this.#accountOf(user);
      expect?.(before);
      const { file } = before;
      const source = await readTextFile(file);
      const { text, account } = await workOnMachineFile({ kind: 'edit', text: source, file, edit });
      await this.#check(account);
      await this.#replace(file, source, text, lock);
      return { ...account, file };
    });
  }

  async removeAccount(user: string, { author, expect }: ChangeConditions = {}): Promise<void> {
    await this.#accountOf(user);
    await this.#locked(async () => {
      await this.#checkAuthor(author);
      const account = await this.#accountOf(user);
      expect?.(account);
      await rm(account.file);
    });
  }

  readonly groups = async (): Promise<Groups> => (await this.#readAll()).groups;

  async setGroup(name: string, rights: GroupRights, conditions: GroupConditions = {}): Promise<void> {
    checkGroupName(name);
    await mkdir(this.#folder, { recursive: true, mode: 0o750 });
    await this.#changeGroups(name, conditions, (source, file) => withGroup(source, name, rights, file));
  }

  async removeGroup(name: string, conditions: GroupConditions = {}): Promise<void> {
    // Before the lock, because an absent folder cannot be locked: the error then names the group.
    if (!(await this.groups()).has(name)) throw missingGroup(name, this.#folder);
    await this.#changeGroups(name, conditions, (source, file, accounts) => {
      refuseMembers(name, accounts, file);
      return withoutGroup(source, name, file);
    });
  }

  async #changeGroups(
    name: string,
    { author, expect }: GroupConditions,
    edit: (source: string, file: string, accounts: readonly Account[]) => string,
  ): Promise<void> {
    await this.#locked(async (lock) => {
      await this.#checkAuthor(author);
      const { accounts, groups } = await this.#readAll();
      expect?.(groups.get(name));
      const { file, source } = await groupsFileFor(name, this.#folder);
      const text = edit(source ?? '', file, accounts);
      const others = [...groups].filter(([other]) => other !== name);
      const changed = new Map([...others, ...readGroupsFile(text, file)]);
      createAccountIndex(accounts.map((account) => withGroups(account, changed)));
      if (source === undefined) await this.#create(file, text);
      else await this.#replace(file, source, text, lock);
    });
  }

  get #folder(): string {
    return this.#reader.folder;
  }

  /** Runs one change while no other process changes the folder. */
  #locked<T>(change: (lock: FileLock) => Promise<T>): Promise<T> {
    const { lockTimeoutMs, onChanged } = this.#options;
    let tookMs = 0;
    const timed = (lock: FileLock) => {
      const startedMs = performance.now();
      return change(lock).finally(() => {
        tookMs = performance.now() - startedMs;
      });
    };
    const lockOptions = lockTimeoutMs === undefined ? {} : { timeoutMs: lockTimeoutMs };
    const turn = this.#queue.run(this.#folder, () =>
      withFileLock(join(this.#folder, LOCK_FILE), timed, lockOptions).catch((error: unknown) => {
        throw asMachineError(error, this.#folder);
      }),
    );
    // Only the next change waits for the pause, not the caller of this one.
    void this.#queue.run(this.#folder, () => delay(Math.max(PAUSE_MS, PAUSE_FACTOR * tookMs)));
    return turn.finally(onChanged);
  }

  async #readAll() {
    try {
      return await this.#reader.readAll();
    } catch (error) {
      throw asUnreadable(error, this.#folder);
    }
  }

  async #accountOf(user: string): Promise<Account> {
    const found = (await this.ownAccounts()).find((account) => account.user === user);
    if (!found) throw new ConfigError('missing', `there is no account ${user}`, { file: this.#folder });
    return found;
  }

  /** Call it under the lock, because the account and its rights may have changed before. */
  async #checkAuthor(author: Author | undefined): Promise<void> {
    if (author === undefined) return;
    const account = await this.#accountOf(author.user);
    const { file } = account;
    if (author.password.text !== account.password?.text) {
      throw new ConfigError('changed', `the password of ${author.user} has changed`, { file });
    }
    if (author.mayStill?.(account) === false) {
      throw new ConfigError('changed', `the rights of ${author.user} have changed`, { file });
    }
  }

  /** Refuses an account that contradicts the others, such as one with a login that another account has. */
  async #check(account: Account): Promise<void> {
    const { file } = account;
    const { accounts, groups } = await this.#readAll();
    const others = accounts.filter((account) => account.file !== file);
    try {
      createAccountIndex([...others, withGroups(account, groups)]);
    } catch (error) {
      this.#assertConsistent(accounts);
      throw error;
    }
  }

  /** @throws {ConfigError} when the files on disk contradict each other already */
  #assertConsistent(accounts: readonly Account[]): void {
    try {
      createAccountIndex(accounts);
    } catch (error) {
      throw asUnreadable(error, this.#folder);
    }
  }

  /** Writes a new file. Resolves to false when the file exists. */
  async #create(file: string, text: string): Promise<boolean> {
    const owner = await ownerFor(this.#folder);
    return replaceFile(file, Buffer.from(text), { mode: MODE, owner, durable: true, onlyIfAbsent: true });
  }

  /** Replaces the text `source` of the file, unless somebody has changed the file meanwhile. */
  async #replace(file: string, source: string, text: string, lock: FileLock): Promise<void> {
    await writeConfigFile(file, text, {
      mode: MODE,
      // Another user's link could lead root's write anywhere.
      mayFollow: OWN_LINKS,
      beforeMove: async () => {
        await lock.assertHeld();
        // People edit and remove the files by hand, too. A change must neither overwrite nor restore them.
        const now = await readTextFile(file).catch(() => undefined);
        if (now !== source) throw new ConfigError('changed', 'it has changed since: try again', { file });
      },
    });
  }
}

/** Changes the files of the reader's folder, which this process serves. */
export function createMachineAdmin(reader: MachineReader, options: MachineAdminOptions = {}): MachineAdmin {
  return new FolderAdmin(reader, options);
}

/** Changes the files of a folder that another process serves. */
export function openMachineAdmin(folder: string, options?: MachineAdminOptions): MachineAdmin {
  return createMachineAdmin(new MachineReader(folder), options);
}
