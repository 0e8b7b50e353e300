import { ConfigError } from '../lib/config-error.ts';
import type { Log } from '../lib/log.ts';
import type { Account } from './account.ts';
import { type AccountIndex, createAccountIndex } from './account-index.ts';
import { haveLoginsChanged, type MachineReader } from './machine-reader.ts';

/** A request checks the folder again when the last check is older than this, in milliseconds. */
const CHECK_EVERY_MS = 1000;

/** Identifies the state of the folder without parsing its files. */
async function stampOf(reader: MachineReader): Promise<string> {
  return (await reader.list()).map(({ path, stamp }) => `${path} ${stamp}`).join('\n');
}

/** Hashes of access tokens that accounts have lost (`gone`) or got again (`back`). */
export interface TokenChanges {
  readonly gone: readonly string[];
  readonly back: readonly string[];
}

/**
 * How long this replica refuses a token that another replica reported as revoked, in milliseconds, even while
 * the folder still contains it: a network file system may show the change a minute later.
 */
const REFUSED_MS = 10 * 60_000;
/** Maximum number of refused tokens that the folder does not contain. Those that it contains are never forgotten. */
const ABSENT_MAX = 10_000;

export interface MachineFolder {
  readonly directory: () => AccountIndex;
  /** True when `refresh` would return at once, without a check of the files. */
  isFresh(): boolean;
  /** Checks whether the files have changed, at most once a second, and loads them if so. */
  refresh(): Promise<void>;
  /** Checks at once, because the caller has just changed the files. Refuses the tokens in `gone`. */
  reread(tokens?: TokenChanges): Promise<void>;
}

export interface MachineFolderOptions {
  /** Undefined: the only accounts are `fixed`. */
  readonly reader: MachineReader | undefined;
  /** Accounts that the program defines, not a file. */
  readonly fixed: readonly Account[];
  readonly log: Log;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Called after the files were read again. */
  readonly onChanged?: ((tokens: TokenChanges) => void) | undefined;
}

function tokenHashes(accounts: readonly Account[]): ReadonlySet<string> {
  return new Set(accounts.flatMap(({ tokens }) => tokens.map(({ sha256 }) => sha256)));
}

/** @param isRefused returns true when the site refuses the token with this hash */
function withoutTokens(accounts: readonly Account[], isRefused: (sha256: string) => boolean) {
  return accounts.map((account) =>
    account.tokens.some(({ sha256 }) => isRefused(sha256))
      ? { ...account, tokens: account.tokens.filter(({ sha256 }) => !isRefused(sha256)) }
      : account,
  );
}

/**
 * Loads the folder's accounts and follows its changes. When a file becomes invalid later, logs that once and
 * keeps the former accounts, so that a typing error does not lock out the site.
 * @throws {ConfigError} when a file is invalid at the start.
 */
export async function openMachineFolder({
  reader,
  fixed,
  ...options
}: MachineFolderOptions): Promise<MachineFolder> {
  if (reader === undefined) {
    const directory = createAccountIndex(fixed);
    const nothing = () => Promise.resolve();
    return { directory: () => directory, isFresh: () => true, refresh: nothing, reread: nothing };
  }
  return FolderWatch.open({ reader, fixed, ...options });
}

type FolderWatchOptions = MachineFolderOptions & { readonly reader: MachineReader };

class FolderWatch implements MachineFolder {
  readonly #reader: MachineReader;
  readonly #fixed: readonly Account[];
  readonly #log: Log;
  readonly #now: () => number;
  readonly #onChanged: (tokens: TokenChanges) => void;
  /**
   * Hash of a token that is refused even while the folder contains it -> until when, in monotonic
   * milliseconds. The one that was reported last is the last.
   */
  readonly #refused = new Map<string, number>();
  #stamp: string;
  /** The accounts in the files, including refused tokens. */
  #accounts: readonly Account[];
  #directory: AccountIndex;
  #checkedAt: number;
  /** True when the files have changed since the last check began. */
  #isOutdated = false;
  #checking: Promise<void> | undefined;
  /** The last problem that was logged. */
  #problem: string | undefined;

  static async open(options: FolderWatchOptions) {
    const stamp = await stampOf(options.reader);
    const accounts = [...options.fixed, ...(await options.reader.read())];
    return new FolderWatch(options, stamp, accounts);
  }

  private constructor(options: FolderWatchOptions, stamp: string, accounts: readonly Account[]) {
    this.#reader = options.reader;
    this.#fixed = options.fixed;
    this.#log = options.log;
    this.#now = options.now;
    this.#onChanged = options.onChanged ?? (() => {});
    this.#stamp = stamp;
    this.#accounts = accounts;
    this.#directory = createAccountIndex(accounts);
    this.#checkedAt = options.now();
  }

  readonly directory = (): AccountIndex => this.#directory;

  isFresh(): boolean {
    if (this.#checking !== undefined || this.#isOutdated) return false;
    return this.#now() - this.#checkedAt < CHECK_EVERY_MS;
  }

  refresh(): Promise<void> {
    if (this.isFresh()) return Promise.resolve();
    this.#checking ??= this.#check().finally(() => {
      this.#checking = undefined;
      this.#checkedAt = this.#now();
    });
    return this.#checking;
  }

  async reread({ gone, back }: TokenChanges = { gone: [], back: [] }): Promise<void> {
    for (const sha256 of [...gone, ...back]) this.#refused.delete(sha256);
    for (const sha256 of gone) this.#refused.set(sha256, this.#now() + REFUSED_MS);
    if (gone.length + back.length > 0) this.#serve(this.#accounts);
    this.#isOutdated = true;
    // A running check may have begun before the change, so wait for it and check again.
    await this.#checking;
    await this.refresh();
  }

  #serve(accounts: readonly Account[]): void {
    const nowMs = this.#now();
    for (const [sha256, untilMs] of this.#refused) if (untilMs <= nowMs) this.#refused.delete(sha256);
    this.#directory = createAccountIndex(withoutTokens(accounts, (sha256) => this.#refused.has(sha256)));
    this.#accounts = accounts;
    this.#forgetAbsent();
  }

  /** Forgets the oldest refusals of tokens that the folder does not contain: nobody can use those tokens. */
  #forgetAbsent(): void {
    if (this.#refused.size <= ABSENT_MAX) return;
    const present = tokenHashes(this.#accounts);
    const absent = [...this.#refused.keys()].filter((sha256) => !present.has(sha256));
    for (const sha256 of absent.slice(0, Math.max(0, absent.length - ABSENT_MAX)))
      this.#refused.delete(sha256);
  }

  async #check(): Promise<void> {
    let seen = this.#stamp;
    this.#isOutdated = false;
    try {
      seen = await stampOf(this.#reader);
      if (seen === this.#stamp && !(await haveLoginsChanged(this.#directory.accounts))) return;
      const before = tokenHashes(this.#accounts);
      this.#serve([...this.#fixed, ...(await this.#reader.read())]);
      this.#stamp = seen;
      this.#problem = undefined;
      const accounts = this.#directory.accounts.length;
      this.#log('notice', 'machines-reloaded', 'read the machine files again', {
        folder: this.#reader.folder,
        accounts,
      });
      const after = tokenHashes(this.#accounts);
      this.#onChanged({
        gone: [...before].filter((sha256) => !after.has(sha256)),
        back: [...after].filter((sha256) => !before.has(sha256)),
      });
    } catch (error) {
      // An invalid file stays invalid until it changes. An unreadable one may become readable, so it is tried
      // again.
      if (error instanceof ConfigError) this.#stamp = seen;
      const why = (error as Error).message;
      if (why !== this.#problem) {
        this.#log(
          'warning',
          'machines-not-reloaded',
          'cannot read the machine files again; serving the former accounts',
          { why },
        );
      }
      this.#problem = why;
    }
  }
}
