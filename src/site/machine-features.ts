import { LRUCache } from 'lru-cache';
import { profileOfFeatures } from '../host/assumed-features.ts';
import { formatFeature, parseFeature } from '../host/features.ts';
import { entriesAtMost } from '../lib/lru.ts';
import { problemWithFeature } from '../selection/check-feature.ts';

/** A feature in canonical form, or why the text is not a feature. */
export type ReadFeature =
  | { readonly kind: 'feature'; readonly text: string }
  | { readonly kind: 'unknown'; readonly why: string };

/** Characters that separate features in a selector, a log line or a shell. No feature may contain them. */
const SEPARATORS = /[,;"'\\#]/;

/**
 * Reads a feature of a machine type. Refuses a microarchitecture that the family tree does not contain,
 * because no entry would ever be eligible for it. Keeps the name as it is written: `match: exact`
 * distinguishes `coffeelake` from the compatible `skylake`.
 */
export function readMachineFeature(text: string): ReadFeature {
  const feature = parseFeature(text);
  if (feature === undefined) {
    return {
      kind: 'unknown',
      why: `“${text}” is not a feature: write cpu:zen4, nvcap:9.0, x86-64-v3 or avx2`,
    };
  }
  if (SEPARATORS.test(text)) {
    return {
      kind: 'unknown',
      why: `“${text}” is not a feature: it may not contain , ; # quotes or backslashes`,
    };
  }
  const why = problemWithFeature(text);
  if (why !== undefined) return { kind: 'unknown', why };
  return { kind: 'feature', text: formatFeature(feature) };
}

/** Cached results of `findProblem`. Many machine types of a site have the same combination of features. */
const results = new LRUCache<string, { readonly problem: string | undefined }>(entriesAtMost(2000));

/**
 * Returns why no machine can have all of these features (two microarchitectures, for example); undefined when
 * one can.
 */
export function problemWithFeatures(features: readonly string[]): string | undefined {
  const key = JSON.stringify(features);
  const known = results.get(key) ?? { problem: findProblem(features) };
  results.set(key, known);
  return known.problem;
}

function findProblem(features: readonly string[]): string | undefined {
  try {
    profileOfFeatures(features);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
