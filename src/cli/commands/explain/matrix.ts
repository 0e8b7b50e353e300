import { wrap } from '../../../lib/text.ts';
import type { Verdict } from '../../../selection/select.ts';
import { demandsText, heading, type Page, painted, platformText } from './format.ts';
import type { Explanation } from './run.ts';

const CELL: Readonly<Record<Verdict['status'], string>> = {
  winner: 'WINS',
  eligible: 'runs',
  ineligible: '-',
  denied: '-',
  foreign: '.',
  attestation: '',
  unjudged: '',
};
const CELL_WIDTH = 5;

type Explanations = readonly [Explanation, ...Explanation[]];

/**
 * Returns the positions of entries that some host could get. Others, such as attestations, would be empty
 * columns.
 */
function columnsOf([first, ...others]: Explanations): readonly number[] {
  const all = [first, ...others].flatMap(({ selection }) => selection?.verdicts ?? []);
  const shown = all.filter(({ status }) => status !== 'attestation' && status !== 'unjudged');
  return [...new Set(shown.map(({ position }) => position))].sort((a, b) => a - b);
}

/** Formats for several hosts which entry each gets, and for each entry which hosts can run it. */
export function renderMatrix(explanations: Explanations, page: Page): string {
  const columns = columnsOf(explanations);
  const nameWidth = Math.max('HOST'.length, ...explanations.map(({ host }) => host.name.length));
  const header = columns.map((position) => `#${position + 1}`.padStart(CELL_WIDTH)).join('');
  const head = painted(`${'HOST'.padEnd(nameWidth)} ${header}  GETS`, 'head', page);
  const rows = explanations.map((explanation) => {
    const cells = columns.map((position) => {
      const status = explanation.selection?.verdicts[position]?.status ?? 'unjudged';
      const text = CELL[status].padStart(CELL_WIDTH);
      return status === 'winner' ? painted(text, 'strong', page) : text;
    });
    return `${explanation.host.name.padEnd(nameWidth)} ${cells.join('')}  ${gets(explanation)}`;
  });
  const legend = painted(
    'WINS: the host gets this entry; runs: the host can run it; -: the host cannot run it; .: another platform',
    'dim',
    page,
  );
  const entries = columns.flatMap((position) => entryLines(position, explanations, page));
  return `${[heading(explanations[0]), head, ...rows, legend, '', ...entries].join('\n')}\n`;
}

function gets({ answer }: Explanation): string {
  switch (answer.kind) {
    case 'original':
      return 'the original';
    case 'derived':
      return answer.selection.winner === undefined ? 'no matching manifest' : 'a derived index';
    case 'entry':
      return 'the entry itself';
    case 'refused':
      return 'no matching manifest';
  }
}

function entryLines(position: number, explanations: Explanations, page: Page): readonly string[] {
  const verdicts = explanations.map(({ selection }) => selection?.verdicts[position]);
  const judged =
    verdicts.find((verdict) => verdict !== undefined && verdict.status !== 'foreign') ?? verdicts[0];
  if (judged === undefined) return [];
  const runs = explanations
    .filter((_, at) => ['winner', 'eligible'].includes(verdicts[at]?.status ?? ''))
    .map(({ host }) => host.name);
  const demands = demandsText(judged);
  const what = `#${position + 1} ${platformText(judged.entry)}${demands === '' ? '' : `, demands ${demands}`}`;
  const on = runs.length === 0 ? 'runs on none of these hosts' : `runs on ${runs.join(', ')}`;
  return [...wrap(what, page.width), ...wrap(on, page.width - 3).map((line) => `   ${line}`)];
}
