import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { ConfigError } from '../lib/config-error.ts';
import type { Account } from './account.ts';
import type { Groups } from './machine-file.ts';
import { workOnMachineFile } from './machine-thread.ts';

/** Largest machine file that is read, in bytes. */
export const FILE_MAX_BYTES = 1024 * 1024;
/** The file of the groups, among those of the accounts. */
const GROUPS_FILE = /^groups\.ya?ml$/;
/** A file changed this shortly before it was read may change again without another time stamp. */
const TIME_STAMP_MS = 100;

interface ParsedFile {
  readonly stamp: string;
  readonly content: Account | Groups;
}

/** May a file of this name define an account? */
export function isAccountFile(name: string): boolean {
  return !GROUPS_FILE.test(name);
}

/** The account with the rights of its groups. @throws {ConfigError} for a group that does not exist. */
export function withGroups(account: Account, groups: Groups): Account {
  if (account.groups.length === 0) return account;
  const granted = account.groups.flatMap((name) => {
    const repositories = groups.get(name);
    if (repositories !== undefined) return repositories;
    throw new ConfigError('invalid-value', `there is no group ${name} in groups.yaml`, {
      file: account.file,
    });
  });
  return { ...account, repositories: [...new Set([...account.repositories, ...granted])] };
}

/** The state of one file: other bytes have another stamp. */
export interface FileState {
  readonly path: string;
  readonly stamp: string;
  readonly sizeBytes: number;
  readonly changedMs: number;
}

async function stateOf(path: string): Promise<FileState | undefined> {
  try {
    const { mtimeMs, ctimeMs, size, ino } = await stat(path);
    return { path, stamp: [mtimeMs, ctimeMs, size, ino].join(' '), sizeBytes: size, changedMs: ctimeMs };
  } catch (error) {
    // Removed since the folder was listed.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** A file that is absent, or may not be looked at, is in a state as well: its reader will say so. */
async function loginsStampOf(path: string): Promise<string> {
  return stateOf(path).then(
    (state) => state?.stamp ?? 'absent',
    ({ code }: NodeJS.ErrnoException) => `${code}`,
  );
}

async function withLoginsStamp(account: Account): Promise<Account> {
  const { upstreamLogins } = account;
  if (upstreamLogins === undefined) return account;
  return { ...account, loginsStamp: await loginsStampOf(upstreamLogins) };
}

/** Has a file changed in which an account's upstream logins are, since the account was read? */
export async function haveLoginsChanged(accounts: readonly Account[]): Promise<boolean> {
  const changed = accounts.map(
    async (account) => (await withLoginsStamp(account)).loginsStamp !== account.loginsStamp,
  );
  return (await Promise.all(changed)).includes(true);
}

/** Reads the machine files of one folder; a file that has not changed is not parsed again. */
export class MachineReader {
  readonly folder: string;
  #parsed = new Map<string, ParsedFile>();

  constructor(folder: string) {
    this.folder = folder;
  }

  /** The machine files, in order of their names; none when there is no folder. */
  async list(): Promise<readonly FileState[]> {
    try {
      const names = (await readdir(this.folder)).filter((name) => /^[^.].*\.ya?ml$/.test(name)).sort();
      const states = await Promise.all(names.map((name) => stateOf(join(this.folder, name))));
      return states.filter((state) => state !== undefined);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  }

  /** @throws {ConfigError} for a file that cannot be served; other errors name the path. */
  async read(): Promise<readonly Account[]> {
    const { accounts, groups } = await this.readAll();
    return Promise.all(accounts.map((account) => withLoginsStamp(withGroups(account, groups))));
  }

  /** Accounts as their files define them, and the groups. */
  async readAll(): Promise<{ readonly accounts: readonly Account[]; readonly groups: Groups }> {
    const files = await this.list();
    const parsed = await Promise.all(files.map((file) => this.#parse(file)));
    this.#parsed = new Map(parsed.map((entry, at) => [files[at]?.path ?? '', entry]));
    const accounts: Account[] = [];
    const groups = new Map<string, readonly string[]>();
    for (const { content } of parsed) {
      if ('user' in content) accounts.push(content);
      else for (const [name, repositories] of content) groups.set(name, repositories);
    }
    return { accounts, groups };
  }

  async #parse({ path, stamp, sizeBytes, changedMs }: FileState): Promise<ParsedFile> {
    const known = this.#parsed.get(path);
    if (known?.stamp === stamp) return known;
    if (sizeBytes > FILE_MAX_BYTES) {
      throw new ConfigError('too-large', `it is larger than ${FILE_MAX_BYTES} bytes`, { file: path });
    }
    const readMs = Date.now();
    const text = await readFile(path, 'utf8');
    const kind = isAccountFile(basename(path)) ? 'read-account' : 'read-groups';
    const content = await workOnMachineFile({ kind, text, file: path });
    const isSettled = readMs - changedMs > TIME_STAMP_MS;
    return { stamp: isSettled ? stamp : '', content };
  }
}
