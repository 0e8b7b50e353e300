import type { Log } from '../lib/log.ts';
import type { ContentStore } from '../oci/content-store.ts';
import type { Repository, Tag } from '../oci/reference.ts';
import type { Registry } from '../oci/registry.ts';

/**
 * How the cache answered a request. `coalesced`: it joined a running fetch. `bypass`: the content was passed on and
 * not stored.
 */
export type CacheResult = 'hit' | 'miss' | 'coalesced' | 'stale' | 'bypass';

export interface CacheOptions {
  readonly next: Registry;
  readonly store: ContentStore;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly log: Log;
  /** Called once for each answer, for metrics. */
  readonly onResult?: (kind: 'manifest' | 'blob', result: CacheResult) => void;
  /** Called when a tag points to another digest than before. */
  readonly onTagMoved?: ((repository: Repository, tag: Tag) => void) | undefined;
  /** How long a tag's digest is used without asking upstream again, in milliseconds. */
  readonly tagMaxAgeMs?: number;
  /** How long a tag is served stale after a failure before upstream is asked again, in milliseconds. */
  readonly retryMs?: number;
  /** How long a blob download continues after its last client has left, in milliseconds. */
  readonly lingerMs?: number;
}
