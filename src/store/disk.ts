import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Log } from '../lib/log.ts';
import { type Layout, prepareLayout } from './layout.ts';

/** The size of a file system, and how much of it this process may still write. */
export interface DiskSpace {
  readonly totalBytes: number;
  readonly freeBytes: number;
}

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
const DEFAULT_BOUND_BYTES = 50 * GIB;
const DEFAULT_BOUND_SHARE = 1 / 10;

/** Reads the file system of a directory that exists or will exist. Undefined when that fails. */
export async function readDiskSpace(directory: string): Promise<DiskSpace | undefined> {
  try {
    const { bsize, blocks, bavail } = await statfs(directory);
    return { totalBytes: bsize * blocks, freeBytes: bsize * bavail };
  } catch (error) {
    const parent = dirname(directory);
    const isAbsent = (error as NodeJS.ErrnoException).code === 'ENOENT';
    return isAbsent && parent !== directory ? readDiskSpace(parent) : undefined;
  }
}

/** The default limit of the cache: a tenth of the file system, at most 50 GiB. */
export async function defaultCacheBytes(directory: string): Promise<number> {
  const space = await readDiskSpace(directory);
  if (space === undefined) return DEFAULT_BOUND_BYTES;
  return Math.min(DEFAULT_BOUND_BYTES, Math.floor(space.totalBytes * DEFAULT_BOUND_SHARE));
}

export interface FreeSpaceFloorOptions {
  readonly directory: string;
  /** The share of the file system that the cache leaves free, 0 to 1. With 0 it may fill the disk. */
  readonly minFreeShare: number;
  readonly log: Log;
  readonly read?: typeof readDiskSpace;
}

/** Content that is being written, and how much of it is still to come. */
export interface ArrivingContent {
  leftBytes: number;
}

/** The last bytes of a disk are left to other programs: even a small write fails before it uses them. */
const LAST_BYTES = 16 * MIB;
const LAST_SHARE = 1 / 100;

/**
 * The free space that the cache leaves to other programs. Logs once when the disk falls below it, and once
 * after.
 */
export class FreeSpaceFloor {
  readonly #options: FreeSpaceFloorOptions;
  readonly #arrivals = new Set<ArrivingContent>();
  #isLow = false;

  constructor(options: FreeSpaceFloorOptions) {
    this.#options = options;
  }

  /** Counts content of this size as about to be written, until {@link end}. */
  begin(sizeBytes: number): ArrivingContent {
    const arrival = { leftBytes: sizeBytes };
    this.#arrivals.add(arrival);
    return arrival;
  }

  end(arrival: ArrivingContent): void {
    this.#arrivals.delete(arrival);
  }

  /**
   * By how many bytes the disk falls below the floor when this arrival, and those that began before it, are
   * complete; 0 when there is room. Of several that are too much together, the first ones are written.
   */
  shortageUpTo(arrival: ArrivingContent): Promise<number> {
    return this.#shortage(() => {
      let neededBytes = 0;
      for (const each of this.#arrivals) {
        neededBytes += each.leftBytes;
        if (each === arrival) break;
      }
      return neededBytes;
    });
  }

  /** By how many bytes a write of this size would bring the disk below the floor; 0 when there is room. */
  shortageFor(sizeBytes: number): Promise<number> {
    return this.#shortage(() => sizeBytes);
  }

  async #shortage(neededBytes: () => number): Promise<number> {
    const { minFreeShare } = this.#options;
    if (minFreeShare === 0) return 0;
    const space = await this.#read();
    if (space === undefined) return 0;
    const floorBytes = space.totalBytes * minFreeShare;
    this.#note(space, floorBytes);
    return Math.max(0, Math.ceil(floorBytes + neededBytes() - space.freeBytes));
  }

  /** @throws {Error} ENOSPC when a small write would use the last bytes of the disk. */
  async refuseLastBytes(): Promise<void> {
    if (this.#options.minFreeShare === 0) return;
    const space = await this.#read();
    if (space === undefined) return;
    const lastBytes = Math.min(LAST_BYTES, space.totalBytes * LAST_SHARE);
    if (space.freeBytes >= lastBytes) return;
    throw Object.assign(new Error('the last bytes of the disk are left to other programs'), {
      code: 'ENOSPC',
    });
  }

  #read(): Promise<DiskSpace | undefined> {
    return (this.#options.read ?? readDiskSpace)(this.#options.directory);
  }

  #note({ freeBytes }: DiskSpace, floorBytes: number): void {
    const isLow = freeBytes < floorBytes;
    if (isLow === this.#isLow) return;
    this.#isLow = isLow;
    const { directory, log } = this.#options;
    const fields = { directory, freeBytes, floorBytes: Math.ceil(floorBytes) };
    if (isLow) log('notice', 'disk-low', 'the disk is filling up: the cache evicts', fields);
    else log('info', 'disk-low-over', 'the disk has room again', fields);
  }
}

interface Trouble {
  readonly reason: string;
  readonly nextStep: string;
}

const FREE_SPACE = 'Free space on it, or name a directory on another disk (--data DIR).';
const ALLOW = 'Let the user of this process write the directory, or name another one (--data DIR).';
const RAISE_LIMIT = 'Raise the limit of open files (LimitNOFILE= of the service, ulimit -n).';

const TROUBLES: Readonly<Record<string, Trouble>> = {
  ENOSPC: { reason: 'the disk is full', nextStep: FREE_SPACE },
  EDQUOT: { reason: 'the disk quota is used up', nextStep: FREE_SPACE },
  EACCES: { reason: 'permission is denied', nextStep: ALLOW },
  EPERM: { reason: 'permission is denied', nextStep: ALLOW },
  EROFS: {
    reason: 'the disk is read-only',
    nextStep: 'Mount it writable, or name a directory on another disk (--data DIR).',
  },
  EMFILE: { reason: 'the process has no file handles left', nextStep: RAISE_LIMIT },
  ENFILE: { reason: 'the system has no file handles left', nextStep: 'Raise fs.file-max (sysctl).' },
  EIO: {
    reason: 'the disk fails',
    nextStep: 'Look at the log of the kernel, and name a directory on another disk (--data DIR).',
  },
};

/**
 * Logs once when writes begin to fail, not for each write, and once when they work again. Pulls continue
 * meanwhile, straight from upstream.
 */
export function createDiskHealth(directory: string, log: Log) {
  let current: string | undefined;
  let reason: string | undefined;
  /** On a full disk a small write may still succeed. Only a write of at least this size ends the trouble. */
  let neededBytes = 0;
  return {
    /** Why the cache cannot write now, for example `the disk is full`. */
    trouble: (): string | undefined => reason,
    /** Reports a failed write of this size. */
    report: (error: Error, sizeBytes = 0): void => {
      const code = (error as NodeJS.ErrnoException).code ?? error.name;
      if (code === current) return;
      neededBytes = isFull(error) ? sizeBytes : 0;
      current = code;
      const trouble = TROUBLES[code];
      reason = trouble?.reason ?? error.message;
      log('warning', 'cache-unwritable', 'the cache cannot write; pulls continue without it', {
        directory,
        reason,
        code,
        ...(trouble === undefined ? {} : { nextStep: trouble.nextStep }),
      });
    },
    /** Reports a successful write of this size. */
    over: (sizeBytes: number): void => {
      if (current === undefined || sizeBytes < neededBytes) return;
      current = reason = undefined;
      log('notice', 'cache-writable', 'the cache writes again', { directory });
    },
  };
}

export type DiskHealth = ReturnType<typeof createDiskHealth>;

/** True when the write would succeed if other content were removed. */
export function isFull(error: Error): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/** Writes whose failure must not fail the request that causes them. */
export interface BestEffortWrites {
  /**
   * Runs a write of about this size. On a full disk it evicts content and tries once more. Resolves with true
   * when the write succeeded.
   */
  attempt(sizeBytes: number, write: () => Promise<void>): Promise<boolean>;
  /**
   * Handles a failed write. Resolves with true when a retry is worthwhile; otherwise it has reported the
   * failure.
   */
  remedy(error: Error, sizeBytes: number): Promise<boolean>;
  /** Reports a failed write that is not retried. */
  refuse(error: Error, sizeBytes: number): false;
}

/** What makes room on a full disk. */
interface Evictable {
  readonly heldBytes: number;
  freeUp(sizeBytes: number): Promise<void>;
}

export interface BestEffortWriteOptions {
  readonly layout: Layout;
  readonly inventory: Evictable;
  readonly trouble: DiskHealth;
  readonly floor: FreeSpaceFloor;
}

/** Evicts when the disk is full, recreates missing directories, and reports what still fails. */
export function createBestEffortWrites({
  layout,
  inventory,
  trouble,
  floor,
}: BestEffortWriteOptions): BestEffortWrites {
  function refuse(error: Error, sizeBytes: number): false {
    // The directory is missing because it could not be created, and that has been reported.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') trouble.report(error, sizeBytes);
    return false;
  }

  async function remedy(error: Error, sizeBytes: number): Promise<boolean> {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      // The directory was removed meanwhile, or could not be created at the start.
      return prepareLayout(layout).then(
        () => true,
        (reason: Error) => refuse(reason, 0),
      );
    }
    if (!isFull(error)) return refuse(error, sizeBytes);
    const before = inventory.heldBytes;
    await inventory.freeUp(sizeBytes);
    return inventory.heldBytes < before || refuse(error, sizeBytes);
  }

  async function attempt(sizeBytes: number, write: () => Promise<void>): Promise<boolean> {
    const writeWithinFloor = async () => {
      await floor.refuseLastBytes();
      await write();
    };
    try {
      await writeWithinFloor();
    } catch (error) {
      if (!(await remedy(error as Error, sizeBytes))) return false;
      try {
        await writeWithinFloor();
      } catch (again) {
        return refuse(again as Error, sizeBytes);
      }
    }
    return true;
  }

  return { attempt, remedy, refuse };
}
