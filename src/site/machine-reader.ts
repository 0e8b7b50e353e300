import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Account } from './account.ts';
import { readMachineFile } from './machine-file.ts';
import { MachineFileError } from './machine-file-error.ts';

/** Largest machine file that is read, in bytes. */
export const FILE_MAX_BYTES = 1024 * 1024;
/** A file changed this shortly before it was read may change again without another time stamp. */
const TIME_STAMP_MS = 100;

interface ParsedFile {
  readonly stamp: string;
  readonly account: Account;
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

  /** @throws {MachineFileError} for a file that cannot be served; other errors name the path. */
  async read(): Promise<readonly Account[]> {
    const files = await this.list();
    const parsed = await Promise.all(files.map((file) => this.#parse(file)));
    this.#parsed = new Map(parsed.map((entry) => [entry.account.file, entry]));
    return parsed.map(({ account }) => account);
  }

  async #parse({ path, stamp, sizeBytes, changedMs }: FileState): Promise<ParsedFile> {
    const known = this.#parsed.get(path);
    if (known?.stamp === stamp) return known;
    if (sizeBytes > FILE_MAX_BYTES) {
      throw new MachineFileError('too-large', `it is larger than ${FILE_MAX_BYTES} bytes`, { file: path });
    }
    const readMs = Date.now();
    const account = readMachineFile(await readFile(path, 'utf8'), path);
    const isSettled = readMs - changedMs > TIME_STAMP_MS;
    return { stamp: isSettled ? stamp : '', account };
  }
}
