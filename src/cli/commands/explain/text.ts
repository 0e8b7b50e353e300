import type { HostProfile } from '../../../host/profile.ts';
import { printable, timesText, wrap } from '../../../lib/text.ts';
import { formatPlatform } from '../../../oci/manifest.ts';
import { minimumRequirements } from '../../../selection/minimum-requirements.ts';
import { formatFailure, type Verdict, type VerdictStatus } from '../../../selection/select.ts';
import type { BenchmarkResult } from '../../benchmark-results.ts';
import { documentText } from '../../output.ts';
import { UserError } from '../../user-error.ts';
import { demandsText, heading, type Page, painted, platformText } from './format.ts';
import type { ExplainSubject } from './load.ts';
import { type Explanation, measuredOf } from './run.ts';

const WORD: Readonly<Record<VerdictStatus, string>> = {
  winner: 'wins',
  eligible: 'runs here',
  ineligible: 'no',
  denied: 'denied',
  foreign: 'other platform',
  attestation: 'attestation',
  unjudged: 'not judged',
};

/** Width of the columns before the reason. */
const INDENT = 5;
const DEMANDS_MAX = 48;

/** Formats for one host each entry with its demands and verdict, then the mirror's answer. */
export function renderText(explanation: Explanation, page: Page): string {
  const { host, selection } = explanation;
  const table = selection === undefined ? '' : `\n${tableOf(explanation, selection.verdicts, page)}`;
  return `${heading(explanation)}for ${host.name}: ${hostText(host.profile)}\n${table}\n${answerText(explanation, page)}`;
}

function hostText({ platform, cpu, features }: HostProfile): string {
  const gpus = features.filter((feature) => /^(nvcap|gfx):/.test(feature));
  return [formatPlatform(platform), `cpu:${cpu.microarchitecture}`, ...gpus].join(', ');
}

function tableOf(explanation: Explanation, verdicts: readonly Verdict[], page: Page): string {
  if (verdicts.length === 0) return 'The index is empty.\n';
  const rows = verdicts.map((verdict) => ({
    verdict,
    platform: platformText(verdict.entry),
    demands: demandsText(verdict),
  }));
  const platformWidth = Math.max('PLATFORM'.length, ...rows.map(({ platform }) => platform.length));
  const demandsWidth = Math.min(
    DEMANDS_MAX,
    Math.max('DEMANDS'.length, ...rows.map(({ demands }) => demands.length)),
  );
  const line = (mark: string, number: string, platform: string, demands: string, verdict: string) =>
    `${mark}${number.padStart(3)} ${platform.padEnd(platformWidth)}  ${demands.padEnd(demandsWidth)}  ${verdict}`.trimEnd();
  const head = painted(line(' ', '#', 'PLATFORM', 'DEMANDS', 'VERDICT'), 'head', page);
  const body = rows.map(({ verdict, platform, demands }) => {
    const { position, status } = verdict;
    const text = line(status === 'winner' ? '>' : ' ', String(position + 1), platform, demands, WORD[status]);
    const measured = measuredOf(explanation, verdict.entry.digest).map(measuredText);
    return [inColour(text, status, page), ...reasonLines(verdict, measured, page)].join('\n');
  });
  return `${[head, ...body].join('\n')}\n`;
}

function inColour(text: string, status: VerdictStatus, page: Page): string {
  if (status === 'winner') return painted(text, 'strong', page);
  return status === 'eligible' || status === 'ineligible' ? text : painted(text, 'dim', page);
}

/** Formats a measurement: `measured here: 1.80x the generic entry (GFLOPS: ([0-9.]+); OMP_NUM_THREADS=4)`. */
function measuredText({ median, metric, timesGeneric, permutation }: BenchmarkResult): string {
  const what = timesGeneric === null ? `${median}` : `${timesText(timesGeneric)} the generic entry`;
  return `measured here: ${what} (${[metric, permutation].filter((part) => part !== '').join('; ')})`;
}

/** Formats the lines below an entry: the reason, when it says more than the verdict, and the measurements. */
function reasonLines(
  { status, reason, ranking, failures }: Verdict,
  measured: readonly string[],
  page: Page,
): readonly string[] {
  if (status === 'foreign' || status === 'attestation') return [];
  const reasons = failures.length > 0 ? failures.map(formatFailure) : [ranking ?? reason];
  return [...reasons, ...measured].flatMap((one) =>
    wrap(printable(one), page.width - INDENT).map((text) =>
      painted(`${' '.repeat(INDENT)}${text}`, 'dim', page),
    ),
  );
}

const LABEL_WIDTH = 9;

type TextRow = readonly [label: string, text: string];

function answerLines({ subject, answer }: Explanation, page: Page): readonly TextRow[] {
  switch (answer.kind) {
    case 'original': {
      const { digest, bytes } = subject.source;
      return [
        ['answer', 'the original, byte for byte'],
        ['digest', digest],
        ['bytes', String(bytes.length)],
      ];
    }
    case 'derived':
      return [
        ['answer', 'a derived index'],
        ['digest', answer.digest],
        ['bytes', String(answer.bytes.length)],
      ];
    case 'entry':
      return [
        ['answer', 'the manifest of the winner itself'],
        ['digest', answer.entry.digest],
      ];
    case 'refused':
      return [['answer', painted('refused: no matching manifest', 'bad', page)]];
  }
}

function answerText(explanation: Explanation, page: Page): string {
  const { answer, notes, subject } = explanation;
  const rows = [
    ...answerLines(explanation, page),
    ...wrapped('because', answer.reason, page),
    ...notes.flatMap(({ text }) => wrapped('note', text, page)),
    ...suggestionRows(subject, page),
  ];
  return rows.map(([label, text]) => `${label.padEnd(LABEL_WIDTH)}${text}\n`).join('');
}

function wrapped(label: string, text: string, page: Page): readonly TextRow[] {
  return wrap(printable(text), page.width - LABEL_WIDTH).map((line, at) => [at === 0 ? label : '', line]);
}

function suggestionRows({ suggestion }: Explanation['subject'], page: Page): readonly TextRow[] {
  if (suggestion === undefined) return [];
  const text = `the catalogue has a list that answers this tag with the image that fits: metahub catalog enable ${suggestion}`;
  return wrapped('hint', text, page);
}

/**
 * Formats the minimum hardware that can run the image, for each platform.
 * @throws {UserError} when the image is not an index, and so does not state what it needs.
 */
export function renderLeast({ name, source, policy }: ExplainSubject, json: boolean): string {
  const { document } = source;
  if (document.kind !== 'index') {
    throw new UserError(`${name} is not an index, so it does not state which hardware it needs`, {
      nextStep: 'Only an image index has entries with demands.',
    });
  }
  const least = minimumRequirements(document, policy);
  if (json) return documentText<'explain-requires'>({ image: name, digest: source.digest, least });
  if (least.length === 0) return 'no host can run any entry of it\n';
  const width = Math.max(...least.map(({ platform }) => printable(platform).length));
  return least
    .map(({ platform, features, positions }) => {
      const what = features.length === 0 ? 'any host' : features.join(' and ');
      const which = positions.map((position) => position + 1).join(', ');
      const noun = positions.length === 1 ? 'entry' : 'entries';
      return `${printable(platform).padEnd(width)}  ${printable(what)}  (${noun} ${which})\n`;
    })
    .join('');
}
