import { readdir, rm, stat, utimes } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Digest } from '../oci/digest.ts';
import { digestOfFile, type Layout } from './layout.ts';
import type { Records } from './record.ts';

interface Holding {
  readonly sizeBytes: number;
  usedMs: number;
  /** When the use was last written down. */
  notedMs: number;
  pins: number;
}

export interface InventoryOptions {
  readonly layout: Layout;
  readonly records: Records;
  /** All content together, in bytes. */
  readonly maxBytes: number;
  /** Wall-clock milliseconds. */
  readonly now: () => number;
  readonly onEvicted: (digest: Digest, sizeBytes: number) => void;
}

/** Uses are written down at most this often: the order of eviction needs no more. */
const NOTE_EVERY_MS = 60 * 60 * 1000;
/** An announced answer of our own is asked for within seconds; a runtime that was suspended may take longer. */
const DERIVED_KEPT_MS = 24 * 60 * 60 * 1000;

/** What is held, how large it is and when it was last used; keeps the whole below a bound. */
export class Inventory {
  readonly #options: InventoryOptions;
  readonly #holdings = new Map<Digest, Holding>();
  #heldBytes = 0;
  #reservedBytes = 0;
  #scanned: Promise<void> | undefined;
  #evicting: Promise<void> = Promise.resolve();

  constructor(options: InventoryOptions) {
    this.#options = options;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** What is held, used longest ago first. */
  get holdings(): readonly {
    readonly digest: Digest;
    readonly sizeBytes: number;
    readonly usedMs: number;
  }[] {
    return [...this.#holdings]
      .map(([digest, { sizeBytes, usedMs }]) => ({ digest, sizeBytes, usedMs }))
      .sort((a, b) => a.usedMs - b.usedMs);
  }

  /** Reads what is on disk, once; content can be used before this is done. */
  scan(): Promise<void> {
    this.#scanned ??= this.#scan();
    return this.#scanned;
  }

  async #scan(): Promise<void> {
    const { layout, now } = this.#options;
    for (const directory of layout.blobDirectories) {
      for (const name of await readdir(directory).catch(() => [])) {
        const digest = digestOfFile(basename(directory), name);
        if (digest === undefined || this.#holdings.has(digest)) continue;
        const file = await stat(join(directory, name)).catch(() => undefined);
        const record = await stat(layout.record(digest)).catch(() => undefined);
        if (!file?.isFile() || this.#holdings.has(digest)) continue;
        // A clock that was ahead once must not make content immortal.
        const usedMs = Math.min(record?.mtimeMs ?? file.mtimeMs, now());
        this.#holdings.set(digest, { sizeBytes: file.size, usedMs, notedMs: usedMs, pins: 0 });
        this.#heldBytes += file.size;
      }
    }
  }

  /** Content of this size is held, and has just been used. */
  use(digest: Digest, sizeBytes: number): void {
    const nowMs = this.#options.now();
    const known = this.#holdings.get(digest);
    if (known?.sizeBytes !== sizeBytes) {
      this.#heldBytes += sizeBytes - (known?.sizeBytes ?? 0);
      this.#holdings.set(digest, { sizeBytes, usedMs: nowMs, notedMs: nowMs, pins: known?.pins ?? 0 });
      return;
    }
    known.usedMs = nowMs;
    if (Math.abs(nowMs - known.notedMs) < NOTE_EVERY_MS) return;
    known.notedMs = nowMs;
    const time = new Date(nowMs);
    utimes(this.#options.layout.record(digest), time, time).catch(() => {
      // Only the order of eviction after the next start is a little older for it.
    });
  }

  /** Keeps content from being evicted until the function that is returned is called. */
  pin(digest: Digest): () => void {
    const holding = this.#holdings.get(digest);
    if (!holding) return () => {};
    holding.pins += 1;
    let pinned = true;
    return () => {
      if (pinned) holding.pins -= 1;
      pinned = false;
    };
  }

  forget(digest: Digest): void {
    this.#heldBytes -= this.#holdings.get(digest)?.sizeBytes ?? 0;
    this.#holdings.delete(digest);
  }

  /** Sets room aside for what is on its way in; call what is returned when it has come in or been given up. */
  reserve(sizeBytes: number): () => void {
    this.#reservedBytes += sizeBytes;
    let reserved = true;
    return () => {
      if (reserved) this.#reservedBytes -= sizeBytes;
      reserved = false;
    };
  }

  /** Evicts what has not been used for longest until everything, and `extraBytes` more, is within the bound. */
  makeRoom(extraBytes = 0): Promise<void> {
    this.#evicting = this.#evicting.then(async () => {
      await this.scan();
      await this.#evictDownTo(this.#options.maxBytes - this.#reservedBytes - extraBytes);
    });
    return this.#evicting;
  }

  /** Evicts at least so many bytes, if they are there: the disk is full before the bound is reached. */
  freeUp(sizeBytes: number): Promise<void> {
    this.#evicting = this.#evicting.then(async () => {
      await this.scan();
      await this.#evictDownTo(this.#heldBytes - sizeBytes);
    });
    return this.#evicting;
  }

  async #evictDownTo(targetBytes: number): Promise<void> {
    if (this.#heldBytes <= targetBytes) return;
    const oldestFirst = [...this.#holdings].sort(([, a], [, b]) => a.usedMs - b.usedMs);
    for (const wave of ['blob', 'manifest', 'derived'] as const) {
      const able: (readonly [Digest, Holding])[] = [];
      for (const [digest, holding] of oldestFirst) {
        if (holding.pins > 0 || this.#holdings.get(digest) !== holding) continue;
        const kind = (await this.#options.records.find(digest))?.kind ?? 'blob';
        const isWanted = kind === 'derived' && this.#options.now() - holding.usedMs < DERIVED_KEPT_MS;
        if (kind === wave && !isWanted) able.push([digest, holding]);
      }
      // Manifests are small and what every pull begins with: they are not given up for room that they cannot make.
      const ableBytes = able.reduce((sum, [, { sizeBytes }]) => sum + sizeBytes, 0);
      if (wave !== 'blob' && this.#heldBytes - ableBytes > targetBytes) return;
      for (const [digest, holding] of able) {
        if (this.#heldBytes <= targetBytes) return;
        if (holding.pins === 0 && this.#holdings.get(digest) === holding) await this.#evict(digest, holding);
      }
    }
  }

  async #evict(digest: Digest, { sizeBytes }: Holding): Promise<void> {
    const { layout, records, onEvicted } = this.#options;
    try {
      await rm(layout.blob(digest), { force: true });
      await records.remove(digest);
    } catch {
      // A read-only disk gives nothing back; what cannot be removed stays counted, and is not tried in a loop.
      return;
    }
    this.forget(digest);
    onEvicted(digest, sizeBytes);
  }
}
