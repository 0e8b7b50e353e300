import { toldText } from './told.ts';

/** Does a demand hold on a host; if not, why, as the end of a sentence a person reads. */
export type Judgement = { readonly holds: true } | { readonly holds: false; readonly why: string };

export const HOLDS: Judgement = { holds: true };

/** A judgement that says no; a long reason is cut. */
export function fails(why: string): Judgement {
  return { holds: false, why: toldText(why) };
}
