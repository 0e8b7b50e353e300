/** Values of a metric's labels, in the order of their names. */
type LabelValues = readonly string[];

/** A count that only grows. `child` binds label values once, so that counting costs one addition. */
interface Counter {
  child(...values: LabelValues): { add(amount?: number): void };
}

/**
 * What the process counts, in Prometheus' text format.
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/
 */
export interface Metrics {
  counter(name: string, help: string, labels?: readonly string[]): Counter;
  /** A value read when it is asked for; one per list of label values, or a plain number. */
  gauge(
    name: string,
    help: string,
    read: () => number | Iterable<readonly [LabelValues, number]>,
    labels?: readonly string[],
  ): void;
  text(): string;
}

interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  readonly labels: readonly string[];
  readonly samples: () => Iterable<readonly [LabelValues, number]>;
}

/** Label values come from clients in part (a machine type's name): this many of one metric, and the rest are one. */
const CHILDREN_MAX = 1000;
const SEPARATOR = '\u0000';

function escapeValue(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function formatFamily({ name, help, type, labels, samples }: Family): string {
  const lines = [...samples()].map(([values, value]) => {
    const pairs = labels.map((label, position) => `${label}="${escapeValue(values[position] ?? '')}"`);
    return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}`;
  });
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines].join('\n');
}

export function createMetrics(): Metrics {
  const families: Family[] = [];
  return {
    counter: (name, help, labels = []) => {
      const children = new Map<string, { values: LabelValues; total: number }>();
      families.push({
        ...{ name, help, labels, type: 'counter' as const },
        samples: () => [...children.values()].map(({ values, total }) => [values, total] as const),
      });
      return {
        child: (...given) => {
          const isFull = children.size >= CHILDREN_MAX && !children.has(given.join(SEPARATOR));
          const values = isFull ? labels.map(() => 'other') : given;
          const key = values.join(SEPARATOR);
          const state = children.get(key) ?? { values, total: 0 };
          children.set(key, state);
          return {
            add: (amount = 1) => {
              state.total += amount;
            },
          };
        },
      };
    },
    gauge: (name, help, read, labels = []) => {
      families.push({
        ...{ name, help, labels, type: 'gauge' as const },
        samples: () => {
          const now = read();
          return typeof now === 'number' ? [[[], now] as const] : now;
        },
      });
    },
    text: () => `${families.map(formatFamily).join('\n')}\n`,
  };
}
