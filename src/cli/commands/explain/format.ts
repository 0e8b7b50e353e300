import { printable } from '../../../lib/text.ts';
import { type Descriptor, formatPlatform } from '../../../oci/manifest.ts';
import { type Demand, formatDemand } from '../../../selection/demands.ts';
import type { Verdict } from '../../../selection/select.ts';
import type { Explanation } from './run.ts';

/** The properties of the output. */
export interface Page {
  /** In columns. */
  readonly width: number;
  readonly colour: boolean;
}

const SGR = { strong: '1;32', dim: '2', bad: '31', head: '1' } as const;

/** Returns the text in a colour, when the terminal shows colours. */
export function painted(text: string, as: keyof typeof SGR, { colour }: Page): string {
  return colour ? `\x1b[${SGR[as]}m${text}\x1b[0m` : text;
}

/** Formats a platform: `windows/amd64 10.0.20348`. */
export function platformText({ platform }: Descriptor): string {
  if (platform === undefined) return 'none';
  const version = platform.osVersion === undefined ? '' : ` ${platform.osVersion}`;
  return printable(formatPlatform(platform) + version);
}

/**
 * Formats the demands of an entry; empty for an entry that is not a candidate, because its demands were not
 * read.
 */
export function demandsText({ requirements, status }: Verdict): string {
  if (status === 'denied' || status === 'foreign' || status === 'attestation' || status === 'unjudged')
    return '';
  return requirements.length === 0 ? 'nothing' : printable(requirements.map(formatDemand).join(', '));
}

/** Formats the image's name, and the number of its entries. */
export function heading({ subject, selection }: Explanation): string {
  const { name, source } = subject;
  const count = selection?.verdicts.length;
  const what =
    count === undefined
      ? source.document.mediaType
      : `an index of ${count} ${count === 1 ? 'entry' : 'entries'}`;
  return `${printable(name)}\n${printable(what)}, ${source.digest}\n`;
}

/** Formats a demand for programs, with the field that it comes from. */
export function demandJson(demand: Demand): { readonly demand: string; readonly source: string } {
  return { demand: formatDemand(demand), source: demand.source };
}
