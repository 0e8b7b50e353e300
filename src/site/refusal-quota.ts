import { addressClass } from '../lib/address.ts';

/** Lines of one reason per window: of an address (of IPv6: one /64), and of all. */
const ADDRESS_LINES = 10;
const ALL_LINES = 100;

/** Refusals that got no line of their own. */
export interface CountedRefusals<Reason> {
  readonly reason: Reason;
  /** Undefined: of more addresses than are counted apart. */
  readonly address: string | undefined;
  readonly repeats: number;
}

interface Counts {
  lines: number;
  /** By class of address; undefined: the others. */
  readonly byAddress: Map<string | undefined, { lines: number; repeats: number }>;
}

/**
 * Decides which refusals of a window get a line: whoever asks without end must not fill the log, or hide in it what others are
 * refused for. A reason has its own bounds, so that cheap refusals hide no guessed passwords.
 */
export class RefusalQuota<Reason> {
  readonly #counts = new Map<Reason, Counts>();

  /** False: the refusal is counted only. */
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

  /** What was counted only, and forgets it: another window begins. */
  *drain(): Generator<CountedRefusals<Reason>> {
    for (const [reason, { byAddress }] of this.#counts) {
      for (const [address, { repeats }] of byAddress) if (repeats > 0) yield { reason, address, repeats };
    }
    this.#counts.clear();
  }
}
