import type { Log } from '../lib/log.ts';
import type { FreeSpaceFloor } from './disk-space.ts';
import type { Eviction } from './eviction.ts';
import { type Layout, prepareLayout } from './layout.ts';

const MEANING: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EACCES: 'permission is denied',
  EPERM: 'permission is denied',
  EROFS: 'the disk is read-only',
  EMFILE: 'the process has no file handles left',
  ENFILE: 'the system has no file handles left',
  EIO: 'the disk fails',
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
      reason = MEANING[code] ?? error.message;
      log('warning', 'cache-unwritable', 'the cache cannot write; pulls continue without it', {
        directory,
        reason,
        code,
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

export interface BestEffortWriteOptions {
  readonly layout: Layout;
  readonly inventory: Eviction;
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
