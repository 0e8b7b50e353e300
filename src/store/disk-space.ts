import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Log } from '../lib/log.ts';

/** A file system's size, and what of it this user may still fill. */
export interface DiskSpace {
  readonly totalBytes: number;
  readonly freeBytes: number;
}

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
const DEFAULT_BOUND_BYTES = 50 * GIB;
const DEFAULT_BOUND_SHARE = 1 / 10;

/** Of the file system that a directory lies on, or will lie on; undefined when it cannot be read. */
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

/** The bound of a cache whose operator names none: a tenth of the file system, and no more than 50 GiB. */
export async function defaultCacheBytes(directory: string): Promise<number> {
  const space = await readDiskSpace(directory);
  if (space === undefined) return DEFAULT_BOUND_BYTES;
  return Math.min(DEFAULT_BOUND_BYTES, Math.floor(space.totalBytes * DEFAULT_BOUND_SHARE));
}

export interface FreeSpaceFloorOptions {
  readonly directory: string;
  /** The share of the file system that stays free, 0 to 1; 0: the cache may fill it. */
  readonly minFreeShare: number;
  readonly log: Log;
  readonly read?: typeof readDiskSpace;
}

/** Not even a small write goes into the last bytes of a disk: others need them more. */
const LAST_BYTES = 16 * MIB;
const LAST_SHARE = 1 / 100;

/** The free space that the cache leaves to other programs. Logs once when the disk falls below it. */
export class FreeSpaceFloor {
  readonly #options: FreeSpaceFloorOptions;
  #isLow = false;

  constructor(options: FreeSpaceFloorOptions) {
    this.#options = options;
  }

  /** How many bytes the disk would be below the floor with so many more on it; 0: it has room. */
  async shortageFor(sizeBytes: number): Promise<number> {
    const { minFreeShare } = this.#options;
    if (minFreeShare === 0) return 0;
    const space = await this.#read();
    if (space === undefined) return 0;
    const floorBytes = space.totalBytes * minFreeShare;
    this.#note(space, floorBytes);
    return Math.max(0, Math.ceil(floorBytes + sizeBytes - space.freeBytes));
  }

  /** @throws {Error} ENOSPC where a small write would go into the last bytes of the disk. */
  async refuseLastBytes(): Promise<void> {
    if (this.#options.minFreeShare === 0) return;
    const space = await this.#read();
    if (space === undefined) return;
    const lastBytes = Math.min(LAST_BYTES, space.totalBytes * LAST_SHARE);
    if (space.freeBytes >= lastBytes) return;
    throw Object.assign(new Error('the last bytes of the disk are left to others'), { code: 'ENOSPC' });
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
    if (isLow) log('notice', 'disk-low', 'the disk runs full: the cache gives room back', fields);
    else log('info', 'disk-low-over', 'the disk has room again', fields);
  }
}
