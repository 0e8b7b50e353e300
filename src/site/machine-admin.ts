import { mkdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { replaceFile } from '../lib/atomic-file.ts';
import { ConfigError } from '../lib/config-error.ts';
import { type FileLock, FileLockTimeoutError, withFileLock } from '../lib/file-lock.ts';
import { SerialQueue } from '../lib/queue.ts';
import type { Account } from './account.ts';
import { createAccountIndex } from './account-index.ts';
import { type MachineEdit, type NewToken, type NewType, newAccount } from './machine-edit.ts';
import { readMachineFile } from './machine-file.ts';
import { FILE_MAX_BYTES, isAccountFile, MachineReader, withGroups } from './machine-reader.ts';
import { workOnMachineFile } from './machine-thread.ts';
import type { PasswordHash } from './password.ts';

/** Who makes a change, when it is not the operator. */
export interface Author {
  /** The account's password when the change was authorised; the change is refused if it is another by now. */
  readonly password: PasswordHash;
}

/**
 * The accounts of a folder, to be changed. Every change is checked as a whole before any of it is written, and changes of
 * all processes take place one after the other: each one sees the outcome of the one before.
 * @throws {ConfigError} from every method, when the change is not possible.
 */
export interface MachineAdmin {
  readonly accounts: () => Promise<readonly Account[]>;
  addAccount(user: string, password: string | undefined): Promise<void>;
  addType(user: string, type: NewType, author?: Author): Promise<void>;
  removeAccount(user: string): Promise<void>;
  removeType(user: string, name: string, author?: Author): Promise<void>;
  setPassword(user: string, type: string | undefined, password: string): Promise<void>;
  addToken(user: string, token: NewToken): Promise<void>;
  removeToken(user: string, name: string): Promise<void>;
}

/** For the owner and the folder's group: password hashes are not for other users of the machine. */
const MODE = 0o640;
const LOCK_FILE = '.lock';
/**
 * A pause between two changes of one process: another process (the command line) can take the lock in it. After a change
 * of a large file it is longer: a flood of changes leaves time to others.
 */
const PAUSE_MS = 25;
const PAUSE_FACTOR = 3;

/** Root writes for others: a new file goes to the folder's group, a replaced one stays with its owner. */
async function ownerFor(path: string, folder: string): Promise<{ uid: number; gid: number } | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const former = await stat(path).catch(() => undefined);
  return former ?? { uid: 0, gid: (await stat(folder)).gid };
}

export interface MachineAdminOptions {
  /** How long a change waits for the lock of another process. */
  readonly lockTimeoutMs?: number;
}

/** What stops every change of a folder, in this room's terms; any other error as it is. */
function asMachineError(cause: unknown, folder: string): unknown {
  if (cause instanceof FileLockTimeoutError) {
    const why = 'another process is changing the machine files: try again';
    return new ConfigError('busy', why, { file: folder, cause });
  }
  const { code = '' } = cause as NodeJS.ErrnoException;
  if (!['EACCES', 'EPERM', 'EROFS'].includes(code)) return cause;
  const why = 'the folder of machine files cannot be written';
  return new ConfigError('read-only', why, { file: folder, cause });
}

/** Changes the machine files below `reader`'s folder. */
export function createMachineAdmin(reader: MachineReader, options: MachineAdminOptions = {}): MachineAdmin {
  const { folder } = reader;
  const queue = new SerialQueue();
  const { lockTimeoutMs } = options;
  const lockOptions = lockTimeoutMs === undefined ? {} : { timeoutMs: lockTimeoutMs };

  /** Runs one change while no other process changes the folder. */
  function locked(change: (lock: FileLock) => Promise<void>): Promise<void> {
    let tookMs = 0;
    const turn = queue.run(folder, () =>
      withFileLock(
        join(folder, LOCK_FILE),
        async (lock) => {
          const startedMs = performance.now();
          await change(lock).finally(() => {
            tookMs = performance.now() - startedMs;
          });
        },
        lockOptions,
      ).catch((error: unknown) => {
        throw asMachineError(error, folder);
      }),
    );
    // The caller does not wait for the pause, the next change does.
    void queue.run(folder, () => delay(Math.max(PAUSE_MS, PAUSE_FACTOR * tookMs)));
    return turn;
  }

  async function accountOf(user: string): Promise<Account> {
    const found = (await reader.read()).find((account) => account.user === user);
    if (!found) throw new ConfigError('missing', `there is no account ${user}`, { file: folder });
    return found;
  }

  /** Refuses the text of an account that would not be served beside the others. */
  async function check(text: string, account: Account): Promise<void> {
    const { file } = account;
    // A file too large to be read would also keep changes of all other accounts, revocations too, from being read.
    if (Buffer.byteLength(text) > FILE_MAX_BYTES) {
      throw new ConfigError('too-large', 'it would be too large', { file });
    }
    const { accounts, groups } = await reader.readAll();
    const others = accounts.filter((account) => account.file !== file);
    createAccountIndex([...others, withGroups(account, groups)]);
  }

  async function change(user: string, author: Author | undefined, edit: MachineEdit): Promise<void> {
    // Before the lock, which needs the folder.
    await accountOf(user);
    await locked(async (lock) => {
      const { file, password } = await accountOf(user);
      if (author !== undefined && author.password.text !== password?.text) {
        throw new ConfigError('changed', `the password of ${user} has changed`, { file });
      }
      const source = await readFile(file, 'utf8');
      const { text, account } = await workOnMachineFile({ kind: 'edit', text: source, file, edit });
      await check(text, account);
      await replaceFile(file, Buffer.from(text), {
        mode: (await stat(file)).mode & 0o777,
        owner: await ownerFor(file, folder),
        durable: true,
        beforeMove: async () => {
          await lock.assertHeld();
          // People edit the files by hand, too, and remove them: an edit neither undoes that nor creates a file.
          const now = await readFile(file, 'utf8').catch(() => undefined);
          if (now !== source) {
            throw new ConfigError('changed', 'it was changed meanwhile: try again', { file });
          }
        },
      });
    });
  }

  return {
    accounts: () => reader.read(),
    addAccount: async (user, password) => {
      await mkdir(folder, { recursive: true, mode: 0o750 });
      const file = join(folder, `${user}.yaml`);
      if (!isAccountFile(`${user}.yaml`)) {
        throw new ConfigError('invalid-value', `an account cannot be called ${user}: the groups' file is`);
      }
      const text = newAccount(user, password);
      // Validates the user name before it becomes part of a path: it cannot lead out of the folder.
      const account = readMachineFile(text, file);
      await locked(async () => {
        const exists = () =>
          new ConfigError('exists', `there is an account ${user} already`, { file: folder });
        const accounts = await reader.read();
        if (accounts.some((account) => account.user === user || account.file === file)) throw exists();
        await check(text, account);
        const owner = await ownerFor(file, folder);
        const options = { mode: MODE, owner, durable: true, onlyIfAbsent: true };
        if (!(await replaceFile(file, Buffer.from(text), options))) throw exists();
      });
    },
    addType: (user, type, author) => change(user, author, { kind: 'add-type', type }),
    removeAccount: async (user) => {
      await accountOf(user);
      await locked(async () => rm((await accountOf(user)).file));
    },
    removeType: (user, name, author) => change(user, author, { kind: 'remove-type', name }),
    addToken: (user, token) => change(user, undefined, { kind: 'add-token', token }),
    removeToken: (user, name) => change(user, undefined, { kind: 'remove-token', name }),
    setPassword: (user, type, password) => change(user, undefined, { kind: 'set-password', type, password }),
  };
}

/** The admin of a folder that this process does not serve. */
export function openMachineAdmin(folder: string, options?: MachineAdminOptions): MachineAdmin {
  return createMachineAdmin(new MachineReader(folder), options);
}
