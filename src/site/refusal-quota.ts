import { addressClass } from '../lib/address.ts';

/** Maximum number of lines for one reason in a window: for each class of addresses (IPv6: a /64), and for all. */
const ADDRESS_LINES = 10;
const ALL_LINES = 100;

/** Refusals without a line of their own. */
export interface CountedRefusals<Reason> {
  readonly reason: Reason;
  /** Undefined: addresses beyond those that are counted separately. */
  readonly address: string | undefined;
  readonly repeats: number;
}

interface Counts {
  lines: number;
  /** By class of addresses; undefined: all addresses beyond the limit. */
  readonly byAddress: Map<string | undefined, { lines: number; repeats: number }>;
}

/**
 * Decides which refusals of a window get a line of the log. A client that is refused without end must not
 * fill the log, or hide in it the refusals of others. Each reason has its own bounds, so that cheap refusals
 * do not hide guesses of passwords.
 */
export class RefusalQuota<Reason> {
  readonly #counts = new Map<Reason, Counts>();

  /** Returns true when the refusal gets a line; false: it is only counted. */
  take(reason: Reason, address: string): boolean {
    let counts = this.#counts.get(reason);
    if (counts === undefined) {
      counts = { lines: 0, byAddress: new Map() };
      this.#counts.set(reason, counts);
    }
    const { byAddress } = counts;
    const of = addressClass(address);
    const key = byAddress.has(of) || byAddress.size < ALL_LINES ? of : undefined;
    let count = byAddress.get(key);
    if (count === undefined) {
      count = { lines: 0, repeats: 0 };
      byAddress.set(key, count);
    }
    if (key !== undefined && count.lines < ADDRESS_LINES && counts.lines < ALL_LINES) {
      count.lines += 1;
      counts.lines += 1;
      return true;
    }
    count.repeats += 1;
    return false;
  }

  /** Yields the refusals that were only counted, and begins the next window. */
  *drain(): Generator<CountedRefusals<Reason>> {
    for (const [reason, { byAddress }] of this.#counts) {
      for (const [address, { repeats }] of byAddress) if (repeats > 0) yield { reason, address, repeats };
    }
    this.#counts.clear();
  }
}
