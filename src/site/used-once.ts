import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import * as v from 'valibot';
import { entriesAtMost } from '../lib/lru.ts';
import type { SharedState } from '../lib/shared-state.ts';

export interface UsedOnceOptions {
  /**
   * The name of this memory in the shared state: the same at every replica, and different from every other
   * memory's.
   */
  readonly name: string;
  /** How long a use is remembered, in milliseconds: longer than the text itself is valid. */
  readonly lifetimeMs: number;
  /** What replicas share; undefined: there is one replica. */
  readonly shared: SharedState | undefined;
}

/** Maximum number of remembered uses. */
const USED_MAX = 10_000;
const USED = v.object({ key: v.pipe(v.string(), v.regex(/^[\w-]{43}$/)) });

/**
 * Remembers which texts have been used: at this replica or, with a shared state, at any replica. While the
 * shared state is unavailable, a replica knows its own uses and those that it learned of before.
 */
export class UsedOnce {
  readonly #options: UsedOnceOptions;
  readonly #used: LRUCache<string, true>;

  constructor(options: UsedOnceOptions) {
    this.#options = options;
    const { name, lifetimeMs, shared } = options;
    this.#used = new LRUCache({ ...entriesAtMost(USED_MAX), ttl: lifetimeMs });
    shared?.subscribe(name, USED, ({ key }) => void this.#used.set(key, true));
  }

  /** Notes a use. Resolves to false when the text was used before. */
  async use(text: string): Promise<boolean> {
    const { name, lifetimeMs, shared } = this.#options;
    const key = createHash('sha256').update(text).digest('base64url');
    if (this.#used.has(key)) return false;
    // Before the claim, because the same text may arrive again while the claim runs.
    this.#used.set(key, true);
    if (shared === undefined) return true;
    if ((await shared.claim(`${name} ${key}`, null, lifetimeMs, 'background')) === 'taken') return false;
    // Every replica remembers the use, even when Redis loses the claim.
    await shared.publish(name, { key });
    return true;
  }
}
