import { type DiskTrouble, isFull } from './disk-trouble.ts';
import type { Inventory } from './inventory.ts';
import { type Layout, prepareLayout } from './layout.ts';

/** Writes that may fail without anything else failing. */
export interface DiskWrites {
  /** Runs a write of about so many bytes; where the disk is full, evicts and tries once more. Answers whether it worked. */
  attempt(sizeBytes: number, write: () => Promise<void>): Promise<boolean>;
  /** A write failed: true when something was done about it, so that it is worth another try; else it has been reported. */
  remedy(error: Error, sizeBytes: number): Promise<boolean>;
  /** A write failed that is not tried again. */
  refuse(error: Error, sizeBytes: number): false;
}

export interface DiskWritesOptions {
  readonly layout: Layout;
  readonly inventory: Inventory;
  readonly trouble: DiskTrouble;
}

/** Makes room where the disk is full and directories where they are gone, and reports what remains. */
export function createDiskWrites({ layout, inventory, trouble }: DiskWritesOptions): DiskWrites {
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
    try {
      await write();
    } catch (error) {
      if (!(await remedy(error as Error, sizeBytes))) return false;
      try {
        await write();
      } catch (again) {
        return refuse(again as Error, sizeBytes);
      }
    }
    return true;
  }

  return { attempt, remedy, refuse };
}
