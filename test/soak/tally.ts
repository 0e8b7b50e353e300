/** Counts by name. */
export class Tally {
  readonly #counts = new Map<string, number>();

  add(name: string, count = 1): void {
    this.#counts.set(name, this.of(name) + count);
  }

  of(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  get total(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
  }

  /** `reset 12, stall 3`, most frequent first. */
  toString(): string {
    const rows = [...this.#counts].sort(([, a], [, b]) => b - a);
    return rows.map(([name, count]) => `${name} ${count}`).join(', ') || 'none';
  }
}
