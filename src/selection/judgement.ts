import { truncateText } from './truncate.ts';

/** Does a demand hold on a host; if not, why, as the end of a sentence a person reads. */
export type MatchResult = { readonly holds: true } | { readonly holds: false; readonly why: string };

export const MATCH: MatchResult = { holds: true };

/** A judgement that says no; a long reason is cut. */
export function mismatch(why: string): MatchResult {
  return { holds: false, why: truncateText(why) };
}
