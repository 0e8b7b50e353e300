import { createHash, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import * as v from 'valibot';
import type { SharedState } from '../../lib/shared-state.ts';
import type { Gap } from '../../selection/gap-schema.ts';

/**
 * `mine`: this replica sends the event. `delivered`: another replica has sent it. Else another replica is
 * sending it, and may fail: ask again after that time.
 */
type GapTurn = 'mine' | 'delivered' | { readonly askAgainMs: number };

/** Decides which replica sends the event of a gap. */
export interface GapTurns {
  take(gap: Gap): Promise<GapTurn>;
  /** Keeps the turn for the pause, after which this replica sends the event again. */
  keep(gap: Gap, pauseMs: number): Promise<void>;
  /** Call it when the receiver has accepted the event from this replica. */
  noteDelivered(gap: Gap): Promise<void>;
  /** Call it when the receiver accepted the event in an earlier run. */
  remember(gap: Gap): void;
  /**
   * Sets the callback, which gets a test for the gap whose event another replica has delivered. Replaces an
   * earlier callback.
   */
  onDelivered(callback: (isIt: (gap: Gap) => boolean) => void): void;
  /** Passes on to other replicas the events that this replica has not delivered. */
  release(): Promise<void>;
}

export interface GapTurnsTimes {
  /** Maximum duration of a turn, in milliseconds. After that another replica takes it. */
  readonly turnMs: number;
  readonly askAgainMs: number;
}

const TIMES: GapTurnsTimes = { turnMs: 60_000, askAgainMs: 15_000 };
const DELIVERED_MS = 30 * 24 * 60 * 60_000;
/** Maximum number of remembered gaps: that of recorded gaps. */
const GAPS_MAX = 1000;

/** A turn may end between the failed claim and the read, so the claim is tried again once. */
const ATTEMPTS = 2;

const Key = v.pipe(v.string(), v.regex(/^[\w-]{43}$/));
const TURN = v.object({ by: v.pipe(v.string(), v.maxLength(32)), isDelivered: v.boolean() });
const DELIVERED = v.object({ key: Key });

/** The key does not depend on the event's source, which may differ between replicas. */
function keyOf({ image, fit, platform, wanted }: Gap): string {
  const text = JSON.stringify([image, fit, platform, wanted]);
  return createHash('sha256').update(text).digest('base64url');
}

const nameOf = (key: string) => `gap event ${key}`;

class SharedGapTurns implements GapTurns {
  readonly #state: SharedState;
  readonly #times: GapTurnsTimes;
  readonly #by = randomBytes(12).toString('base64url');
  readonly #sending = { by: this.#by, isDelivered: false };
  readonly #delivered = new LRUCache<string, true>({ max: GAPS_MAX });
  readonly #taken = new Set<string>();
  #callback = (_isIt: (gap: Gap) => boolean): void => {};

  constructor(state: SharedState, times: GapTurnsTimes) {
    this.#state = state;
    this.#times = times;
    state.subscribe('gap delivered', DELIVERED, ({ key }) => {
      this.#noteElsewhere(key);
      this.#callback((gap) => keyOf(gap) === key);
    });
    // Redis may have lost its content.
    state.onReturn(() => void this.#storeDelivered());
  }

  async take(gap: Gap): Promise<GapTurn> {
    const key = keyOf(gap);
    if (this.#delivered.has(key)) return 'delivered';
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const result = await this.#state.claim(nameOf(key), this.#sending, this.#times.turnMs, 'background');
      if (result !== 'taken') break;
      const turn = await this.#turnOf(key);
      if (turn !== undefined) return turn;
    }
    // Takes the turn even when its holder is unknown: otherwise nobody might send the event.
    await this.#setSending(key, this.#times.turnMs);
    this.#taken.add(key);
    return 'mine';
  }

  async keep(gap: Gap, pauseMs: number): Promise<void> {
    const key = keyOf(gap);
    const turn = await this.#turnOf(key);
    if (turn === undefined) await this.#setSending(key, pauseMs + this.#times.turnMs);
  }

  async noteDelivered(gap: Gap): Promise<void> {
    const key = keyOf(gap);
    this.#taken.delete(key);
    this.#delivered.set(key, true);
    await this.#store(key);
    await this.#state.publish('gap delivered', { key });
  }

  remember(gap: Gap): void {
    const key = keyOf(gap);
    this.#delivered.set(key, true);
    if (this.#state.trouble === undefined) void this.#store(key);
  }

  onDelivered(callback: (isIt: (gap: Gap) => boolean) => void): void {
    this.#callback = callback;
  }

  async release(): Promise<void> {
    for (const key of this.#taken) {
      const turn = await this.#state.get(nameOf(key), TURN, 'background');
      // Redis may have lost this turn meanwhile, and another replica may have taken or delivered it.
      if (turn?.by === this.#by && !turn.isDelivered) await this.#setSending(key, 1);
    }
    this.#taken.clear();
  }

  /** Notes that another replica has delivered the event. Only that replica writes the record of it to Redis. */
  #noteElsewhere(key: string): void {
    this.#taken.delete(key);
    this.#delivered.set(key, true);
  }

  /** Returns the turn of another replica; undefined when there is none, or when the value is invalid. */
  async #turnOf(key: string): Promise<GapTurn | undefined> {
    const turn = await this.#state.get(nameOf(key), TURN, 'background');
    if (turn === undefined) return undefined;
    if (turn.isDelivered) {
      this.#noteElsewhere(key);
      return 'delivered';
    }
    return turn.by === this.#by ? undefined : { askAgainMs: this.#times.askAgainMs };
  }

  #setSending(key: string, ttlMs: number): Promise<boolean> {
    return this.#state.set(nameOf(key), this.#sending, ttlMs, 'background');
  }

  #store(key: string): Promise<boolean> {
    return this.#state.set(nameOf(key), { by: this.#by, isDelivered: true }, DELIVERED_MS, 'background');
  }

  async #storeDelivered(): Promise<void> {
    for (const key of [...this.#delivered.keys()])
      if (this.#state.trouble === undefined) await this.#store(key);
  }
}

/** Keeps the turns in the shared state. When that is unavailable, each replica sends all events itself. */
export function createGapTurns(state: SharedState, times: Partial<GapTurnsTimes> = {}): GapTurns {
  return new SharedGapTurns(state, { ...TIMES, ...times });
}
