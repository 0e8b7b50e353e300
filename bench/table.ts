import type { Measured } from './rounds.ts';

/** A goal: how many times as fast as another contender. */
export interface Ratio {
  readonly of: string;
  readonly against: string;
  readonly goal?: number;
}

/** A goal for one figure: its maximum. */
export interface Limit {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  readonly atMost: number;
}

/** One measured path, ready for printing. */
export interface Section {
  readonly title: string;
  /** How it was measured, one sentence. */
  readonly how: string;
  readonly unit: string;
  readonly measured: Measured;
  readonly ratios: readonly Ratio[];
  readonly limits?: readonly Limit[];
}

function number(value: number): string {
  if (!Number.isFinite(value)) return '–';
  return value >= 100 ? Math.round(value).toLocaleString('en-US') : value.toPrecision(3);
}

/** CPU time in the largest unit that keeps the value above one. */
function cpu(seconds: number | undefined): string {
  if (seconds === undefined) return '';
  return seconds < 0.01 ? `${(seconds * 1e6).toFixed(1)} µs` : `${seconds.toFixed(2)} s`;
}

function row(...cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

/** Formats a section as Markdown: contenders, then ratios. */
export function toMarkdown({ title, how, unit, measured, ratios }: Section): string {
  const { outcomes } = measured;
  const hasCpu = outcomes.some(({ cpu: used }) => used !== undefined);
  const hasWritten = outcomes.some(({ writtenBytes }) => writtenBytes !== undefined);
  const work = unit.split('/')[0]?.replace(/s$/, '');
  const head = [
    'server',
    unit,
    ...(hasCpu ? [`CPU for one ${work}`] : []),
    ...(hasWritten ? ['written to disk'] : []),
  ];
  const rows = outcomes.map(({ name, rate, cpu: used, writtenBytes }) =>
    row(
      name,
      number(rate),
      ...(hasCpu ? [cpu(used)] : []),
      ...(hasWritten ? [`${Math.round((writtenBytes ?? 0) / 1e6)} MB`] : []),
    ),
  );
  const lines = ratios.map(
    ({ of, against }) => `- ${of} against ${against}: **${number(measured.ratio(of, against))}**`,
  );
  return [
    `### ${title}`,
    '',
    how,
    '',
    row(...head),
    `|---|${'---:|'.repeat(head.length - 1)}`,
    ...rows,
    ...(lines.length === 0 ? [] : ['', ...lines]),
    '',
  ].join('\n');
}

/** All goals of these sections in one table. */
export function goalsTable(sections: readonly Section[]): string {
  const rows = sections.flatMap(({ title, measured, ratios, limits = [] }) => [
    ...ratios.flatMap(({ of, against, goal }) => {
      if (goal === undefined) return [];
      const ratio = measured.ratio(of, against);
      return [
        row(
          `${title}: ${of} against ${against}`,
          number(ratio),
          `at least ${number(goal)}`,
          met(ratio >= goal),
        ),
      ];
    }),
    ...limits.map(({ what, value, unit, atMost }) =>
      row(
        `${title}: ${what}`,
        `${number(value)} ${unit}`,
        `at most ${number(atMost)} ${unit}`,
        met(value <= atMost),
      ),
    ),
  ]);
  return ['### Goals', '', row('what', 'measured', 'goal', ''), '|---|---:|---:|---|', ...rows, ''].join(
    '\n',
  );
}

function met(isMet: boolean): string {
  return isMet ? 'reached' : '**missed**';
}
