import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { ConfigError } from '../lib/config-error.ts';
import { readTextFile } from '../lib/regular-file.ts';
import type { Account } from './account.ts';
import type { GroupRights, Groups } from './machine-file.ts';
import { workOnMachineFile } from './machine-work.ts';

/** Maximum size of a machine file, in bytes. */
export const FILE_MAX_BYTES = 1024 * 1024;
/** The file of groups, in the folder of machine files. */
const GROUPS_FILE = /^groups\.ya?ml$/;
/**
 * A file that changed less than this before it was read may change again with the same time stamp, in
 * milliseconds.
 */
const TIME_STAMP_MS = 100;

interface ParsedFile {
  readonly stamp: string;
  readonly content: Account | Groups;
}

/** True when a file of this name may define an account. */
export function isAccountFile(name: string): boolean {
  return !GROUPS_FILE.test(name);
}

type OwnRights = Pick<Account, 'role' | 'repositories' | 'push' | 'groups'> & Partial<Pick<Account, 'file'>>;

/** Adds the rights of the account's groups. @throws {ConfigError} for a group that does not exist. */
export function withGroups<Rights extends OwnRights>(account: Rights, groups: Groups): Rights {
  if (account.groups.length === 0 && account.role !== 'puller') return account;
  const granted = account.groups.map((name) => {
    const rights = groups.get(name);
    if (rights !== undefined) return rights;
    throw new ConfigError('invalid-value', `there is no group ${name} in groups.yaml`, {
      file: account.file,
    });
  });
  const all = (own: readonly string[], key: keyof GroupRights) => [
    ...new Set([...own, ...granted.flatMap((rights) => rights[key])]),
  ];
  return {
    ...account,
    repositories: all(account.repositories, 'repositories'),
    push: account.role === 'puller' ? [] : all(account.push, 'push'),
  };
}

/** The state of one file. `stamp` changes with the content. */
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
    // Another process has removed it since the listing.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** An absent or inaccessible file also has a stamp. Whoever reads it reports the error. */
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

/** True when a file of upstream logins has changed since its account was read. */
export async function haveLoginsChanged(accounts: readonly Account[]): Promise<boolean> {
  const changed = accounts.map(
    async (account) => (await withLoginsStamp(account)).loginsStamp !== account.loginsStamp,
  );
  return (await Promise.all(changed)).includes(true);
}

/** Reads the machine files of one folder; does not parse an unchanged file again. */
export class MachineReader {
  readonly folder: string;
  #parsed = new Map<string, ParsedFile>();

  constructor(folder: string) {
    this.folder = folder;
  }

  /** Lists the machine files in the order of their names; empty when the folder does not exist. */
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

  /** @throws {ConfigError} for an invalid file; other errors name the path */
  async read(): Promise<readonly Account[]> {
    const { accounts, groups } = await this.readAll();
    return Promise.all(accounts.map((account) => withLoginsStamp(withGroups(account, groups))));
  }

  /** Reads the accounts as their files define them, and the groups. */
  async readAll(): Promise<{ readonly accounts: readonly Account[]; readonly groups: Groups }> {
    const files = await this.list();
    const parsed = await Promise.all(files.map((file) => this.#parse(file)));
    this.#parsed = new Map(parsed.map((entry, at) => [files[at]?.path ?? '', entry]));
    const accounts: Account[] = [];
    const groups = new Map<string, GroupRights>();
    for (const { content } of parsed) {
      if ('user' in content) accounts.push(content);
      else for (const [name, rights] of content) groups.set(name, rights);
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
    const text = await readTextFile(path, { maxBytes: FILE_MAX_BYTES });
    const kind = isAccountFile(basename(path)) ? 'read-account' : 'read-groups';
    const content = await workOnMachineFile({ kind, text, file: path });
    const isSettled = readMs - changedMs > TIME_STAMP_MS;
    return { stamp: isSettled ? stamp : '', content };
  }
}
