import type { Measured } from './rounds.ts';

/** A goal: how many times as fast as which other contender. */
export interface Ratio {
  readonly of: string;
  readonly against: string;
  readonly goal?: number;
}

/** One measured path, ready to be printed. */
export interface Section {
  readonly title: string;
  /** How it was measured, one sentence. */
  readonly how: string;
  readonly unit: string;
  readonly measured: Measured;
  readonly ratios: readonly Ratio[];
}

function number(value: number): string {
  if (!Number.isFinite(value)) return '–';
  return value >= 100 ? Math.round(value).toLocaleString('en-US') : value.toPrecision(3);
}

/** Processor time in the greatest unit that keeps it above one. */
function cpu(seconds: number | undefined): string {
  if (seconds === undefined) return '';
  return seconds < 0.01 ? `${(seconds * 1e6).toFixed(1)} µs` : `${seconds.toFixed(2)} s`;
}

/** A section as Markdown: contenders, then ratios with their goals. */
export function toMarkdown({ title, how, unit, measured, ratios }: Section): string {
  const rows = measured.outcomes.map(
    ({ name, rate, cpu: used }) => `| ${name} | ${number(rate)} | ${cpu(used)} |`,
  );
  const lines = ratios.map(({ of, against, goal }) => {
    const ratio = measured.ratio(of, against);
    const verdict =
      goal === undefined
        ? ''
        : ratio >= goal
          ? ` (goal ${number(goal)}: reached)`
          : ` (goal ${number(goal)}: missed)`;
    return `- ${of} against ${against}: **${number(ratio)}**${verdict}`;
  });
  return [
    `### ${title}`,
    '',
    how,
    '',
    `| server | ${unit} | CPU for one ${unit.split('/')[0]?.replace(/s$/, '')} |`,
    '|---|---:|---:|',
    ...rows,
    '',
    ...lines,
    '',
  ].join('\n');
}
