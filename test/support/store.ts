import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cached, revokeRefused } from '../../src/mirror/cache.ts';
import type { CacheOptions } from '../../src/mirror/cache-options.ts';
import { openStore, type StoreOptions } from '../../src/store/store.ts';
import { createFakeRegistry, type FakeRegistry } from './fake-registry.ts';
import { afterTest, closing } from './upstream.ts';

/** A line that a store or a cache logged. */
interface LoggedLine {
  readonly level: string;
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** An empty directory, removed after the test. */
export async function dataDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'metahub-store-'));
  // A download without a client may still rename its last file.
  afterTest(() => rm(directory, { recursive: true, force: true, maxRetries: 5 }));
  return directory;
}

/** Opens a store of a gigabyte below `directory` with a recorded log. It is closed after the test. */
export async function storeAt(directory: string, options: Partial<StoreOptions> = {}) {
  const lines: LoggedLine[] = [];
  const log = (level: string, event: string, _message: string, fields = {}) =>
    lines.push({ level, event, fields });
  const store = closing(
    await openStore({ directory, maxBytes: 1e9, log, now: () => Date.now(), ...options }),
  );
  return { store, lines, layout: join(directory, 'v1') };
}

export interface CacheAtOptions extends Partial<CacheOptions> {
  readonly upstream?: FakeRegistry;
  readonly maxBytes?: number;
  /** Milliseconds of the store's wall clock. */
  readonly wallClock?: () => number;
}

/** A cache with a store below `directory` in front of a registry in memory. Tags are looked up each time. */
export async function cacheAt(directory: string, options: CacheAtOptions = {}) {
  const { upstream = createFakeRegistry(), maxBytes = 1e9, wallClock = Date.now, ...rest } = options;
  const opened = await storeAt(directory, { maxBytes, now: wallClock });
  const log = (level: string, event: string, _message: string, fields = {}) => {
    opened.lines.push({ level, event, fields });
  };
  const cache = closing(
    cached({
      next: revokeRefused(upstream, opened.store),
      store: opened.store,
      log,
      now: () => performance.now(),
      tagMaxAgeMs: 0,
      retryMs: 0,
      ...rest,
    }),
  );
  return { ...opened, upstream, cache };
}
