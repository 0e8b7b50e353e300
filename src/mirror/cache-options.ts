import type { Log } from '../lib/log.ts';
import type { ContentStore } from '../oci/content-store.ts';
import type { Repository, Tag } from '../oci/reference.ts';
import type { Registry } from '../oci/registry.ts';

/**
 * How the cache answered a request. `coalesced`: it joined a fetch under way. `bypass`: the content is streamed and not
 * stored.
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
  /** For how long a tag is not looked up again, in milliseconds. */
  readonly tagMaxAgeMs?: number;
  /** For how long a failed upstream is not asked again about a tag that can be served stale, in milliseconds. */
  readonly retryMs?: number;
  /** For how long a blob download continues after its last client has left, in milliseconds. */
  readonly lingerMs?: number;
}
