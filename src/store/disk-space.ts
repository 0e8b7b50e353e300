import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Log } from '../lib/log.ts';

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

/** The last bytes of a disk are left to other programs: even a small write fails before it uses them. */
const LAST_BYTES = 16 * MIB;
const LAST_SHARE = 1 / 100;

/**
 * The free space that the cache leaves to other programs. Logs once when the disk falls below it, and once
 * after.
 */
export class FreeSpaceFloor {
  readonly #options: FreeSpaceFloorOptions;
  #isLow = false;

  constructor(options: FreeSpaceFloorOptions) {
    this.#options = options;
  }

  /** By how many bytes a write of this size would bring the disk below the floor; 0 when there is room. */
  async shortageFor(sizeBytes: number): Promise<number> {
    const { minFreeShare } = this.#options;
    if (minFreeShare === 0) return 0;
    const space = await this.#read();
    if (space === undefined) return 0;
    const floorBytes = space.totalBytes * minFreeShare;
    this.#note(space, floorBytes);
    return Math.max(0, Math.ceil(floorBytes + sizeBytes - space.freeBytes));
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
