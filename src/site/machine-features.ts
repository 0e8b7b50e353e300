import { LRUCache } from 'lru-cache';
import { profileOfFeatures } from '../host/assumed-features.ts';
import { formatFeature, parseFeature } from '../host/features.ts';
import { problemWithFeature } from '../selection/check-feature.ts';

/** A feature in canonical form, or why the text is none. */
export type ReadFeature =
  | { readonly kind: 'feature'; readonly text: string }
  | { readonly kind: 'unknown'; readonly why: string };

/** Characters that separate features somewhere: in a selector, a log line, a shell. No feature of a machine holds them. */
const SEPARATORS = /[,;"'\\#]/;

/**
 * A machine type's feature. A microarchitecture that the family tree does not know is refused: no entry
 * would ever be eligible for it, silently. Its name stays as written, because `match: exact` distinguishes `coffeelake`
 * from the `skylake` whose code it runs.
 */
export function readMachineFeature(text: string): ReadFeature {
  const feature = parseFeature(text);
  if (feature === undefined) {
    return { kind: 'unknown', why: `“${text}” is no feature: write cpu:zen4, nvcap:9.0, x86-64-v3 or avx2` };
  }
  if (SEPARATORS.test(text)) {
    return { kind: 'unknown', why: `“${text}” is no feature: it may not hold , ; # quotes or backslashes` };
  }
  const why = problemWithFeature(text);
  if (why !== undefined) return { kind: 'unknown', why };
  return { kind: 'feature', text: formatFeature(feature) };
}

/** Combinations of features that were judged: many machine types of a site share one. */
const judged = new LRUCache<string, { readonly problem: string | undefined }>({ max: 2000 });

/** Why no machine has these features together (two microarchitectures, say); undefined when one could. */
export function problemWithFeatures(features: readonly string[]): string | undefined {
  const key = JSON.stringify(features);
  const known = judged.get(key) ?? { problem: problemOf(features) };
  judged.set(key, known);
  return known.problem;
}

function problemOf(features: readonly string[]): string | undefined {
  try {
    profileOfFeatures(features);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
