import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Account } from './account.ts';
import { createDirectory } from './directory.ts';
import { type NewType, newAccount, withoutType, withPassword, withType } from './machine-edit.ts';
import { MachineFileError, readMachineFile } from './machine-file.ts';
import { FILE_MAX_BYTES, readMachineFolder } from './machine-folder.ts';

/** The accounts of a folder, to be changed: every change is checked as a whole before any of it is written. */
export interface MachineAdmin {
  readonly accounts: () => Promise<readonly Account[]>;
  /** Adds an account. @throws {MachineFileError} when there is one of that user name. */
  addAccount(user: string, password: string | undefined): Promise<void>;
  addType(user: string, type: NewType): Promise<void>;
  removeAccount(user: string): Promise<void>;
  removeType(user: string, name: string): Promise<void>;
  setPassword(user: string, type: string | undefined, password: string): Promise<void>;
}

/** For the owner and the folder's group: hashes are nobody else's business. */
const MODE = 0o640;

/** Replaces a file whole, with the mode it had, or the folder's group when it is new. */
async function replace(path: string, folder: string, text: string): Promise<void> {
  const former = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  const temporary = join(folder, `.${randomBytes(6).toString('hex')}.tmp`);
  const file = await open(temporary, 'wx', MODE);
  try {
    await file.writeFile(text);
    await file.sync();
    await file.close();
    const { uid, gid } = former ?? { uid: process.getuid?.() ?? 0, gid: (await stat(folder)).gid };
    if (process.getuid?.() === 0) await chown(temporary, uid, gid);
    await chmod(temporary, (former?.mode ?? MODE) & 0o777);
    await rename(temporary, path);
  } finally {
    await file.close();
    await rm(temporary, { force: true });
  }
}

/** Reads the folder anew for every change: people edit its files by hand, too. */
export function createMachineAdmin(folder: string): MachineAdmin {
  async function accountOf(user: string): Promise<Account> {
    const found = (await readMachineFolder(folder)).find((account) => account.user === user);
    if (!found) throw new MachineFileError(`there is no account ${user} in ${folder}`);
    return found;
  }

  /** Refuses a text that would not be served beside the other accounts. */
  async function check(text: string, file: string): Promise<void> {
    // A file that is not read again would keep every other account's changes, a revoked login's too, from being read.
    if (Buffer.byteLength(text) > FILE_MAX_BYTES)
      throw new MachineFileError(`${file}: it would be too large`);
    const others = (await readMachineFolder(folder)).filter((account) => account.file !== file);
    createDirectory([...others, readMachineFile(text, file)]);
  }

  async function edit(user: string, change: (source: string, file: string) => string): Promise<void> {
    const { file } = await accountOf(user);
    const text = change(await readFile(file, 'utf8'), file);
    await check(text, file);
    await replace(file, folder, text);
  }

  return {
    accounts: () => readMachineFolder(folder),
    addAccount: async (user, password) => {
      await mkdir(folder, { recursive: true, mode: 0o750 });
      const file = join(folder, `${user}.yaml`);
      const text = newAccount(user, password);
      // Read before the path is used: a user name is letters, digits and a few signs, never a way out of the folder.
      readMachineFile(text, file);
      if (
        (await readMachineFolder(folder)).some((account) => account.user === user || account.file === file)
      ) {
        throw new MachineFileError(`there is an account ${user} in ${folder} already`);
      }
      await check(text, file);
      await replace(file, folder, text);
    },
    addType: (user, type) => edit(user, (source, file) => withType(source, type, file)),
    removeAccount: async (user) => rm((await accountOf(user)).file),
    removeType: (user, name) => edit(user, (source, file) => withoutType(source, name, file)),
    setPassword: (user, type, password) =>
      edit(user, (source, file) => withPassword(source, type, password, file)),
  };
}
