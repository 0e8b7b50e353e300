import { ConfigError } from '../lib/config-error.ts';
import type { Log } from '../lib/log.ts';
import type { Account } from './account.ts';
import { type AccountIndex, createAccountIndex } from './account-index.ts';
import { haveLoginsChanged, type MachineReader } from './machine-reader.ts';

/** A request that comes this long after the last check of the folder causes another one, in milliseconds. */
const CHECK_EVERY_MS = 1000;

/** Tells one state of the folder from another without parsing it. */
async function stampOf(reader: MachineReader): Promise<string> {
  return (await reader.list()).map(({ path, stamp }) => `${path} ${stamp}`).join('\n');
}

export interface MachineFolder {
  readonly directory: () => AccountIndex;
  /** True when `refresh` would return at once: the accounts are as fresh as they need to be. */
  isFresh(): boolean;
  /** Checks whether the files have changed, at most once a second, and serves what they say now. */
  refresh(): Promise<void>;
}

export interface MachineFolderOptions {
  /** Undefined: only `fixed`. */
  readonly reader: MachineReader | undefined;
  /** Accounts that no file defines. */
  readonly fixed: readonly Account[];
  readonly log: Log;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/**
 * The folder's accounts, kept up to date. A file that becomes invalid later changes nothing and is reported once: a slip
 * of an editor must not lock the site out.
 * @throws {ConfigError} when a file is invalid at the start.
 */
export async function openMachineFolder({
  reader,
  fixed,
  log,
  now,
}: MachineFolderOptions): Promise<MachineFolder> {
  if (reader === undefined) {
    const directory = createAccountIndex(fixed);
    return { directory: () => directory, isFresh: () => true, refresh: () => Promise.resolve() };
  }
  return FolderWatch.open(reader, fixed, log, now);
}

class FolderWatch implements MachineFolder {
  readonly #reader: MachineReader;
  readonly #fixed: readonly Account[];
  readonly #log: Log;
  readonly #now: () => number;
  #stamp: string;
  #directory: AccountIndex;
  #checkedAt: number;
  #checking: Promise<void> | undefined;
  /** The last problem that was reported. */
  #problem: string | undefined;

  static async open(reader: MachineReader, fixed: readonly Account[], log: Log, now: () => number) {
    const stamp = await stampOf(reader);
    const directory = createAccountIndex([...fixed, ...(await reader.read())]);
    return new FolderWatch({ reader, fixed, log, now }, stamp, directory);
  }

  private constructor(
    options: Required<MachineFolderOptions> & { readonly reader: MachineReader },
    stamp: string,
    directory: AccountIndex,
  ) {
    this.#reader = options.reader;
    this.#fixed = options.fixed;
    this.#log = options.log;
    this.#now = options.now;
    this.#stamp = stamp;
    this.#directory = directory;
    this.#checkedAt = options.now();
  }

  readonly directory = (): AccountIndex => this.#directory;

  isFresh(): boolean {
    return this.#checking === undefined && this.#now() - this.#checkedAt < CHECK_EVERY_MS;
  }

  refresh(): Promise<void> {
    if (this.isFresh()) return Promise.resolve();
    this.#checking ??= this.#check().finally(() => {
      this.#checking = undefined;
      this.#checkedAt = this.#now();
    });
    return this.#checking;
  }

  async #check(): Promise<void> {
    let seen = this.#stamp;
    try {
      seen = await stampOf(this.#reader);
      if (seen === this.#stamp && !(await haveLoginsChanged(this.#directory.accounts))) return;
      this.#directory = createAccountIndex([...this.#fixed, ...(await this.#reader.read())]);
      this.#stamp = seen;
      this.#problem = undefined;
      const accounts = this.#directory.accounts.length;
      this.#log('notice', 'machines-reloaded', 'machine types read again', {
        folder: this.#reader.folder,
        accounts,
      });
    } catch (error) {
      // An invalid file stays invalid until it changes; a file that could not be read may be readable at the next check.
      if (error instanceof ConfigError) this.#stamp = seen;
      const why = (error as Error).message;
      if (why !== this.#problem) {
        this.#log(
          'warning',
          'machines-not-reloaded',
          'machine types not read again: the former ones are served',
          { why },
        );
      }
      this.#problem = why;
    }
  }
}
