/** The figures of one contender in one round. A higher rate is better. */
export interface Figure {
  /** In the benchmark's own unit: requests/s, GB/s. */
  readonly rate: number;
  /** Seconds of the server's CPU time for one unit of work: a request, a GB. */
  readonly cpu?: number;
  /** Bytes written to disk by all processes. */
  readonly writtenBytes?: number;
}

export interface Outcome {
  readonly name: string;
  /** The median over rounds. */
  readonly rate: number;
  /** The minimum over rounds: the cost of the work without noise from other processes. */
  readonly cpu: number | undefined;
  /** The median over rounds. */
  readonly writtenBytes: number | undefined;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

/** A measured table: every contender, and ratios between two of them in the same round. */
export interface Measured {
  readonly outcomes: readonly Outcome[];
  /** The median over rounds of `a`'s rate divided by `b`'s. */
  ratio(a: string, b: string): number;
}

/** Measures every contender once per round, in turn, so that noise of the machine affects all of them. */
export async function measure(
  rounds: number,
  contenders: Readonly<Record<string, () => Promise<Figure>>>,
): Promise<Measured> {
  const figures: Record<string, Figure[]> = {};
  const names = Object.keys(contenders);
  for (let round = 0; round < rounds; round++) {
    for (const name of names) {
      const figure = await contenders[name]?.();
      if (figure !== undefined) figures[name] = [...(figures[name] ?? []), figure];
    }
  }
  const ratesOf = (name: string) => (figures[name] ?? []).map(({ rate }) => rate);
  return {
    outcomes: names.map((name) => {
      const cpus = (figures[name] ?? []).flatMap(({ cpu }) => (cpu === undefined ? [] : [cpu]));
      const written = (figures[name] ?? []).flatMap(({ writtenBytes }) => writtenBytes ?? []);
      return {
        name,
        rate: median(ratesOf(name)),
        cpu: cpus.length === 0 ? undefined : Math.min(...cpus),
        writtenBytes: written.length === 0 ? undefined : median(written),
      };
    }),
    ratio: (a, b) => {
      const others = ratesOf(b);
      return median(ratesOf(a).map((rate, round) => rate / (others[round] ?? Number.NaN)));
    },
  };
}
