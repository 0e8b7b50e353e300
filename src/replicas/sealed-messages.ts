import { randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { entriesAtMost } from '../lib/lru.ts';
import type { Sealer } from '../lib/seal.ts';
import {
  BEAT,
  ID_BYTES,
  MESSAGE,
  MESSAGE_AGE_MAX_MS,
  MESSAGE_MAX_BYTES,
  PEERS_MAX,
  parseBy,
} from './sealed-format.ts';

/** Maximum number of remembered messages. The replica accepts each message once. */
const SEEN_MAX = 50_000;

/**
 * `stranger`: the beat of a replica that has not heard this one. `missed`: this replica has refused an earlier message of the
 * sender, which had not heard it.
 */
export type Received =
  | { readonly kind: 'invalid' | 'own' | 'own-beat' | 'stranger' }
  | {
      readonly kind: 'accepted';
      readonly topic: string;
      readonly body: unknown;
      readonly from: string;
      readonly missed: boolean;
    };

interface Heard {
  readonly beat: string;
  readonly atMs: number;
}

/**
 * Seals the messages of a replica, and opens those of others: each once, and only for a limited time. A message names the
 * latest beat of every replica that its sender has heard. So a replica knows that a message was sent after a beat of its own, by
 * its own monotonic clock: no clocks are compared, and a replay to a replica that has started anew is refused.
 */
export class SealedMessages {
  readonly #replica = randomBytes(ID_BYTES).toString('base64url');
  readonly #sealer: Sealer;
  readonly #channel: string;
  readonly #now: () => number;
  /** Own beats -> when they were sent. */
  readonly #beats = new Map<string, number>();
  /** Latest beats of replicas that have heard this one. */
  readonly #known = new LRUCache<string, Heard>({ max: PEERS_MAX });
  /** Latest beats of others, which somebody may replay: they push out none of the known ones. */
  readonly #strangers = new LRUCache<string, Heard>({ max: PEERS_MAX });
  readonly #refused = new LRUCache<string, true>({ max: PEERS_MAX });
  readonly #seen = new LRUCache<string, true>(entriesAtMost(SEEN_MAX));

  /** @param now monotonic milliseconds */
  constructor(sealer: Sealer, channel: string, now: () => number) {
    this.#sealer = sealer;
    this.#channel = channel;
    this.#now = now;
  }

  seal(topic: string, body: unknown): string {
    const id = randomBytes(ID_BYTES).toString('base64url');
    if (topic === BEAT) this.#noteBeat(id);
    const heard = [...this.#known.values(), ...this.#strangers.values()]
      .filter((one) => this.#isRecent(one.atMs))
      .map(({ beat }) => beat);
    const message = { id, from: this.#replica, topic, body, heard };
    return this.#sealer.seal(JSON.stringify(message), this.#channel);
  }

  open(sealed: string): Received {
    const isBounded = sealed.length <= MESSAGE_MAX_BYTES;
    const message = isBounded ? parseBy(this.#sealer.open(sealed, this.#channel), MESSAGE) : undefined;
    if (message === undefined) return { kind: 'invalid' };
    const { id, from, topic, body, heard } = message;
    if (from === this.#replica) return { kind: this.#isOwnBeat(id) ? 'own-beat' : 'own' };
    if (this.#seen.has(id)) return { kind: 'invalid' };
    if (!heard.some((beat) => this.#isOwnBeat(beat))) return this.#refuse(id, from, topic);
    this.#seen.set(id, true);
    if (topic === BEAT) this.#known.set(from, { beat: id, atMs: this.#now() });
    this.#strangers.delete(from);
    return { kind: 'accepted', topic, body, from, missed: this.#refused.delete(from) };
  }

  #refuse(id: string, from: string, topic: string): Received {
    if (this.#isRecent(this.#known.get(from)?.atMs)) return { kind: 'invalid' };
    if (topic !== BEAT) {
      this.#refused.set(from, true);
      return { kind: 'invalid' };
    }
    this.#strangers.set(from, { beat: id, atMs: this.#now() });
    return { kind: 'stranger' };
  }

  #noteBeat(id: string): void {
    for (const [beat, sentMs] of this.#beats) {
      if (this.#isRecent(sentMs)) break;
      this.#beats.delete(beat);
    }
    this.#beats.set(id, this.#now());
  }

  #isOwnBeat(id: string): boolean {
    return this.#isRecent(this.#beats.get(id));
  }

  #isRecent(atMs: number | undefined): boolean {
    return atMs !== undefined && this.#now() - atMs <= MESSAGE_AGE_MAX_MS;
  }
}
