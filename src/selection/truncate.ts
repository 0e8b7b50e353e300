import type { Feature } from '../host/features.ts';
import { type Demand, formatAlternative } from './demands.ts';

/** An index may hold megabytes of what somebody wrote; a sentence for people, of which the log has one a pull, holds this much. */
const TEXT_MAX_CHARACTERS = 200;
const ITEMS_MAX = 8;

/** The text, cut where it is longer than anybody reads. */
export function truncateText(text: string): string {
  return text.length <= TEXT_MAX_CHARACTERS ? text : `${text.slice(0, TEXT_MAX_CHARACTERS)}…`;
}

/** The first of many things, each as `tell` has it, and how many more there are. */
export function joinLimited<Item>(
  items: readonly Item[],
  separator: string,
  tell: (item: Item) => string,
): string {
  const told = items.slice(0, ITEMS_MAX).map(tell);
  const more = items.length - told.length;
  return [...told, ...(more > 0 ? [`${more} more`] : [])].join(separator);
}

/** `nvcap:8.0 or nvcap:9.0` in a sentence. */
export function demandText({ anyOf }: Demand): string {
  return joinLimited(anyOf, ' or ', (one: Feature) => truncateText(formatAlternative(one)));
}

/** `cpu:broadwell, nvcap:5.2` in a sentence. */
export function demandsText(demands: readonly Demand[]): string {
  return joinLimited(demands, ', ', demandText);
}
