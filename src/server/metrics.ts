import { performance } from 'node:perf_hooks';
import type { Log } from '../lib/log.ts';

/** The values of a metric's labels, in the order of the label names. */
type LabelValues = readonly string[];

/** A counter. `child` looks label values up once, so that counting is one addition. */
interface Counter {
  child(...values: LabelValues): { add(amount?: number): void };
}

/** A histogram: how many values fell into each bucket. */
interface Histogram {
  child(...values: LabelValues): { observe(value: number): void };
}

/** A value that is read when metrics are scraped: one number, or one for each list of label values. */
type Reading = number | Iterable<readonly [LabelValues, number]>;

/**
 * The metrics of this process, in the text format of Prometheus. `known`: label values that have a sample from the
 * start, because a rate over a counter misses the event with which the counter appears.
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/
 * @see https://prometheus.io/docs/practices/instrumentation/#avoid-missing-metrics
 */
export interface Metrics {
  counter(name: string, help: string, labels?: readonly string[], known?: readonly LabelValues[]): Counter;
  histogram(
    name: string,
    help: string,
    buckets: readonly number[],
    labels?: readonly string[],
    known?: readonly LabelValues[],
  ): Histogram;
  gauge(name: string, help: string, read: () => Reading, labels?: readonly string[]): void;
  /** A counter whose value is kept elsewhere. */
  observedCounter(name: string, help: string, read: () => Reading, labels?: readonly string[]): void;
  text(): string;
  /** All metrics, for the documentation. */
  describe(): readonly MetricDescription[];
}

export interface MetricDescription {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
}

/** A sample: the suffix of its name, its label pairs, its value. */
type Sample = readonly [suffix: string, pairs: readonly (readonly [string, string])[], value: number];

interface Family extends MetricDescription {
  readonly samples: () => Iterable<Sample>;
}

/** Limit of samples of a metric: some label values come from clients. Beyond it they share the value `other`. */
const CHILDREN_MAX = 1000;
const SEPARATOR = '\u0000';

function escapeValue(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function pairsOf(labels: readonly string[], values: LabelValues): readonly (readonly [string, string])[] {
  return labels.map((label, position) => [label, values[position] ?? '']);
}

function formatFamily({ name, help, type, samples }: Family): string {
  const lines = [...samples()].map(([suffix, pairs, value]) => {
    const written = pairs.map(([label, text]) => `${label}="${escapeValue(text)}"`).join(',');
    return `${name}${suffix}${written === '' ? '' : `{${written}}`} ${value}`;
  });
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines].join('\n');
}

/** One state for each list of label values, limited in number. */
class Children<State> {
  readonly #states = new Map<string, { readonly values: LabelValues; readonly state: State }>();
  readonly #labels: readonly string[];
  readonly #create: () => State;

  constructor(labels: readonly string[], known: readonly LabelValues[], create: () => State) {
    this.#labels = labels;
    this.#create = create;
    for (const values of labels.length === 0 ? [[]] : known) this.at(values);
  }

  at(given: LabelValues): State {
    const found = this.#states.get(given.join(SEPARATOR));
    if (found !== undefined) return found.state;
    const values = this.#states.size < CHILDREN_MAX ? given : this.#labels.map(() => 'other');
    const key = values.join(SEPARATOR);
    const child = this.#states.get(key) ?? { values, state: this.#create() };
    this.#states.set(key, child);
    return child.state;
  }

  all(): Iterable<{ readonly values: LabelValues; readonly state: State }> {
    return this.#states.values();
  }
}

interface Distribution {
  /** How many values fell into each bucket, not cumulative. The last bucket has no upper limit. */
  readonly counts: number[];
  sum: number;
}

function* histogramSamples(
  labels: readonly string[],
  buckets: readonly number[],
  children: Children<Distribution>,
): Iterable<Sample> {
  for (const { values, state } of children.all()) {
    const pairs = pairsOf(labels, values);
    let total = 0;
    for (const [at, count] of state.counts.entries()) {
      total += count;
      yield ['_bucket', [...pairs, ['le', at < buckets.length ? String(buckets[at]) : '+Inf']], total];
    }
    yield ['_sum', pairs, state.sum];
    yield ['_count', pairs, total];
  }
}

function* readingSamples(labels: readonly string[], now: Reading): Iterable<Sample> {
  if (typeof now === 'number') yield ['', [], now];
  else for (const [values, value] of now) yield ['', pairsOf(labels, values), value];
}

export function createMetrics(): Metrics {
  const families: Family[] = [];
  return {
    counter: (name, help, labels = [], known = []) => {
      const children = new Children(labels, known, () => ({ total: 0 }));
      families.push({
        ...{ name, help, labels, type: 'counter' },
        samples: () =>
          [...children.all()].map(({ values, state }) => ['', pairsOf(labels, values), state.total]),
      });
      return {
        child: (...values) => {
          const state = children.at(values);
          return {
            add: (amount = 1) => {
              state.total += amount;
            },
          };
        },
      };
    },
    histogram: (name, help, buckets, labels = [], known = []) => {
      const create = (): Distribution => ({
        counts: Array.from({ length: buckets.length + 1 }, () => 0),
        sum: 0,
      });
      const children = new Children(labels, known, create);
      families.push({
        ...{ name, help, labels, type: 'histogram' },
        samples: () => histogramSamples(labels, buckets, children),
      });
      return {
        child: (...values) => {
          const state = children.at(values);
          return {
            observe: (value) => {
              let at = 0;
              while (at < buckets.length && value > (buckets[at] ?? 0)) at += 1;
              state.counts[at] = (state.counts[at] ?? 0) + 1;
              state.sum += value;
            },
          };
        },
      };
    },
    gauge: (name, help, read, labels = []) => {
      families.push({
        ...{ name, help, labels, type: 'gauge' },
        samples: () => readingSamples(labels, read()),
      });
    },
    observedCounter: (name, help, read, labels = []) => {
      families.push({
        ...{ name, help, labels, type: 'counter' },
        samples: () => readingSamples(labels, read()),
      });
    },
    text: () => `${families.map(formatFamily).join('\n')}\n`,
    describe: () => families.map(({ name, type, help, labels }) => ({ name, type, help, labels })),
  };
}

const INTERVAL_MS = 250;

/** A blocked event loop answers nobody. It is logged from this many milliseconds on. */
const BLOCKED_MS = 1000;

export interface EventLoopMonitor {
  start(): void;
  stop(): void;
}

/**
 * Reports after the fact that the event loop was blocked. While it is blocked, systemd's watchdog notices (see
 * cli/serve/systemd.ts).
 */
export function createEventLoopMonitor(log: Log, metrics: Metrics): EventLoopMonitor {
  const blocked = metrics.counter(
    'metahub_event_loop_blocked_seconds_total',
    'Time during which the event loop was blocked for a second or more.',
  );
  let timer: NodeJS.Timeout | undefined;
  return {
    start: () => {
      let dueMs = performance.now() + INTERVAL_MS;
      timer ??= setInterval(() => {
        const nowMs = performance.now();
        const lateMs = nowMs - dueMs;
        dueMs = nowMs + INTERVAL_MS;
        if (lateMs < BLOCKED_MS) return;
        blocked.child().add(lateMs / 1000);
        log('warning', 'event-loop-blocked', 'the event loop was blocked', { ms: Math.round(lateMs) });
      }, INTERVAL_MS).unref();
    },
    stop: () => {
      clearInterval(timer);
      timer = undefined;
    },
  };
}
