import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Document,
  isMap,
  isScalar,
  isSeq,
  parseDocument,
  stringify,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import type { Account } from './account.ts';
import { createAccountIndex } from './account-index.ts';
import { MachineFileError, readMachineFile } from './machine-file.ts';
import { FILE_MAX_BYTES, readMachineFolder } from './machine-folder.ts';

/** A machine type as it is to be written. */
export interface NewType {
  readonly name: string;
  readonly features: readonly string[];
  readonly login?: string | undefined;
  /** The written hash; absent: the account's own password. */
  readonly password?: string | undefined;
}

/** The text of a new account's file; without a password, each of its types needs one. */
export function newAccount(user: string, password: string | undefined): string {
  return stringify({ user, ...(password === undefined ? {} : { password }) });
}

function parseForEdit(source: string, file: string): Document {
  const document = parseDocument(source);
  const [broken] = document.errors;
  if (broken) throw new MachineFileError(`${file}: ${broken.message.split('\n', 1)[0]}`, { cause: broken });
  return document;
}

function typesOf(document: Document): YAMLSeq | undefined {
  const types = document.get('types');
  return isSeq(types) ? types : undefined;
}

function positionOf(types: YAMLSeq | undefined, name: string): number {
  const isNamed = (item: unknown) =>
    isMap(item) && isScalar(item.get('name', true)) && item.get('name') === name;
  return types?.items.findIndex(isNamed) ?? -1;
}

/** The text with one more type, comments and order kept. @throws {MachineFileError} when there is one of that name. */
export function withType(source: string, type: NewType, file: string): string {
  const document = parseForEdit(source, file);
  if (positionOf(typesOf(document), type.name) >= 0)
    throw new MachineFileError(`${file} has a type ${type.name} already`);
  const { name, features, login, password } = type;
  const node = document.createNode({
    name,
    features,
    ...(login === undefined ? {} : { login }),
    ...(password === undefined ? {} : { password }),
  }) as YAMLMap;
  const list = node.get('features', true);
  if (isSeq(list)) list.flow = true;
  if (typesOf(document)) document.addIn(['types'], node);
  else document.set('types', document.createNode([node]));
  return String(document);
}

/** The text without a type. @throws {MachineFileError} when there is none of that name. */
export function withoutType(source: string, name: string, file: string): string {
  const document = parseForEdit(source, file);
  const position = positionOf(typesOf(document), name);
  if (position < 0) throw new MachineFileError(`${file} has no type ${name}`);
  document.deleteIn(['types', position]);
  return String(document);
}

/** The text with another password: the account's, or a type's own. @throws {MachineFileError} when there is no such type. */
export function withPassword(
  source: string,
  type: string | undefined,
  password: string,
  file: string,
): string {
  const document = parseForEdit(source, file);
  if (type === undefined) {
    document.set('password', password);
    return String(document);
  }
  const position = positionOf(typesOf(document), type);
  if (position < 0) throw new MachineFileError(`${file} has no type ${type}`);
  document.setIn(['types', position, 'password'], password);
  return String(document);
}

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
    createAccountIndex([...others, readMachineFile(text, file)]);
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
