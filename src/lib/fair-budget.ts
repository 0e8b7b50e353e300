/** Who memory or time is charged to: a client, and the source of what it requested. */
export interface Share {
  readonly client: string;
  readonly source: string;
}

/** A share without limits of its own: only the total limit applies. */
export const NO_SHARE: Share = { client: '', source: '' };

/** A client, or a source, may use up to three times what is free, which is three quarters when it is alone. */
const MARGIN = 3;

/**
 * Limits what many shares use together, in bytes or in requests. No share can use everything: one client from one
 * source gets at most about as much as is left free.
 * @see https://doi.org/10.1109/90.664262 (dynamic thresholds for shared buffers)
 */
export class FairBudget {
  readonly #most: number;
  #taken = 0;
  readonly #used = new Map<string, number>();
  readonly #held = new WeakMap<Buffer, { holders: number; readonly release: () => void }>();

  constructor(most: number) {
    this.#most = most;
  }

  get taken(): number {
    return this.#taken;
  }

  get free(): number {
    return this.#most - this.#taken;
  }

  /**
   * Takes an amount until the returned function is called. Undefined when too little is free, or the share has its
   * part.
   */
  tryTake(amount: number, share: Share = NO_SHARE): (() => void) | undefined {
    const { client, source } = share;
    const names =
      share === NO_SHARE ? [] : [`both ${client} ${source}`, `client ${client}`, `source ${source}`];
    const { free } = this;
    const isBeyond = names.some((name, at) => this.#usedBy(name) > free * (at === 0 ? 1 : MARGIN));
    if (isBeyond || amount > free) return undefined;
    this.#taken += amount;
    for (const name of names) this.#add(name, amount);
    let isTaken = true;
    return () => {
      if (!isTaken) return;
      isTaken = false;
      this.#taken -= amount;
      for (const name of names) this.#add(name, -amount);
    };
  }

  /** Takes a buffer's bytes. Concurrent holders of the same buffer count once, for the share that came first. */
  tryHold(bytes: Buffer, share: Share): (() => void) | undefined {
    const held = this.#held.get(bytes) ?? this.#hold(bytes, share);
    if (held === undefined) return undefined;
    held.holders += 1;
    let isHolder = true;
    return () => {
      if (!isHolder) return;
      isHolder = false;
      held.holders -= 1;
      if (held.holders > 0) return;
      this.#held.delete(bytes);
      held.release();
    };
  }

  #hold(bytes: Buffer, share: Share) {
    const release = this.tryTake(bytes.length, share);
    if (release === undefined) return undefined;
    const held = { holders: 0, release };
    this.#held.set(bytes, held);
    return held;
  }

  #usedBy(name: string): number {
    return this.#used.get(name) ?? 0;
  }

  #add(name: string, amount: number): void {
    const used = this.#usedBy(name) + amount;
    if (used === 0) this.#used.delete(name);
    else this.#used.set(name, used);
  }
}
