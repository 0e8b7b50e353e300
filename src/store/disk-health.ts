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
 * Says once that the disk refuses, not once per write, and says when it works again. Pulls go on meanwhile, straight
 * from upstream.
 */
export function createDiskHealth(directory: string, log: Log) {
  let current: string | undefined;
  let reason: string | undefined;
  /** On a full disk small writes still work now and then: this many bytes must have fitted before that is news. */
  let neededBytes = 0;
  return {
    /** Why nothing can be kept now: `the disk is full`. */
    trouble: (): string | undefined => reason,
    /** A write of so many bytes failed. */
    report: (error: Error, sizeBytes = 0): void => {
      const code = (error as NodeJS.ErrnoException).code ?? error.name;
      if (code === current) return;
      neededBytes = isFull(error) ? sizeBytes : 0;
      current = code;
      reason = MEANING[code] ?? error.message;
      log('warning', 'cache-unwritable', 'the cache cannot write; pulls go on without it', {
        directory,
        reason,
        code,
      });
    },
    /** A write of so many bytes worked. */
    over: (sizeBytes: number): void => {
      if (current === undefined || sizeBytes < neededBytes) return;
      current = reason = undefined;
      log('notice', 'cache-writable', 'the cache writes again', { directory });
    },
  };
}

export type DiskHealth = ReturnType<typeof createDiskHealth>;

/** Would the write work if something else were removed? */
export function isFull(error: Error): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/** Writes that may fail without anything else failing. */
export interface BestEffortWrites {
  /** Runs a write of about so many bytes; where the disk is full, evicts and tries once more. Answers whether it worked. */
  attempt(sizeBytes: number, write: () => Promise<void>): Promise<boolean>;
  /** A write failed: true when something was done about it, so that it is worth another try; else it has been reported. */
  remedy(error: Error, sizeBytes: number): Promise<boolean>;
  /** A write failed that is not tried again. */
  refuse(error: Error, sizeBytes: number): false;
}

export interface BestEffortWriteOptions {
  readonly layout: Layout;
  readonly inventory: Eviction;
  readonly trouble: DiskHealth;
  readonly floor: FreeSpaceFloor;
}

/** Makes room where the disk is full and directories where they are gone, and reports what remains. */
export function createBestEffortWrites({
  layout,
  inventory,
  trouble,
  floor,
}: BestEffortWriteOptions): BestEffortWrites {
  function refuse(error: Error, sizeBytes: number): false {
    // A file that cannot be made because its directory could not be made: that has been said.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') trouble.report(error, sizeBytes);
    return false;
  }

  async function remedy(error: Error, sizeBytes: number): Promise<boolean> {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      // The directory was removed under us, or could not be made before.
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
