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
  /** Number of uses that it remembers. */
  readonly max: number;
  /**
   * What happens when it is full. `forget` forgets the oldest use, so that nobody who is not logged in can lock
   * others out. `refuse` refuses all uses until the oldest has expired, so that none counts twice.
   */
  readonly whenFull: 'forget' | 'refuse';
  /** What replicas share; undefined: there is one replica. */
  readonly shared: SharedState | undefined;
}

export type Use = 'first' | 'used' | 'full';

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
    const { name, lifetimeMs, max, whenFull, shared } = options;
    // A use at another replica counts even when this one is full.
    const roomForOthers = whenFull === 'refuse' ? max : 0;
    this.#used = new LRUCache({ ...entriesAtMost(max + roomForOthers), ttl: lifetimeMs, ttlResolution: 0 });
    shared?.subscribe(name, USED, ({ key }) => void this.#used.set(key, true));
  }

  #isFull(): boolean {
    const { max, whenFull } = this.#options;
    if (whenFull === 'forget' || this.#used.size < max) return false;
    this.#used.purgeStale();
    return this.#used.size >= max;
  }

  /** Notes a use. `used`: the text was used before. */
  async use(text: string): Promise<Use> {
    const { name, lifetimeMs, shared } = this.#options;
    const key = createHash('sha256').update(text).digest('base64url');
    if (this.#used.has(key)) return 'used';
    if (this.#isFull()) return 'full';
    // Before the claim, because the same text may arrive again while the claim runs.
    this.#used.set(key, true);
    if (shared === undefined) return 'first';
    if ((await shared.claim(`${name} ${key}`, null, lifetimeMs, 'background')) === 'taken') return 'used';
    // Every replica remembers the use, even when Redis loses the claim.
    await shared.publish(name, { key });
    return 'first';
  }
}
