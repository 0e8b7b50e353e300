import * as v from 'valibot';
import { checking, choice, fields, oneOrMore, reading, Text } from '../lib/schema.ts';
import { parseDigest } from '../oci/digest.ts';
import { parseBaseline } from './baseline.ts';
import { problemWithFeature } from './check-feature.ts';
import type { SelectionPolicy } from './policy.ts';

/** The part of a policy that a file sets. */
export type PolicyChanges = Partial<SelectionPolicy>;

function words(text: string, separators: RegExp): readonly string[] {
  return text.split(separators).filter((word) => word !== '');
}

const BASELINE_FORMS = 'write levels such as x86-64-v3 and CPU flags such as avx, or none';

/** The error for an invalid baseline. */
function refuseBaseline(texts: readonly string[]): string {
  const wrong = texts.find((text) => parseBaseline([text]) === undefined) ?? 'none';
  return `${problemWithFeature(wrong) ?? `“${wrong}” says nothing of a CPU`}: ${BASELINE_FORMS}`;
}

/** The demands of entries without a CPU demand: one level, or several levels and flags. */
export const Baseline = v.pipe(
  v.union([Text, v.pipe(v.array(Text), v.nonEmpty(`a baseline is expected: ${BASELINE_FORMS}`))]),
  v.examples(['x86-64-v3', 'none', ['avx', 'arm64-v8.2']]),
  v.transform((written) => (typeof written === 'string' ? words(written, /[\s,]+/) : written)),
  reading(parseBaseline, refuseBaseline),
);

const YesNo = v.pipe(
  v.union([v.boolean(), choice('true', 'false')]),
  v.transform((written) => written === true || written === 'true'),
);

const Priority = v.pipe(
  v.union([Text, v.pipe(v.array(Text), v.nonEmpty('a list of kinds of features is expected'))]),
  v.examples([['fabric', 'cpu']]),
  v.transform((written) => (typeof written === 'string' ? words(written, /[\s,>]+/) : written)),
);

const Prefix = v.pipe(Text, v.trim(), v.nonEmpty('a prefix of annotations is expected'));

function problemWithPin(pin: string): string | undefined {
  if (parseDigest(pin) !== undefined) return undefined;
  // A shortened digest, or one with another algorithm, matches no entry.
  if (/^sha\d+:/.test(pin))
    return `“${pin}” is no whole digest: sha256: and 64 hexadecimal digits are expected`;
  const problem = problemWithFeature(pin);
  return problem && `a digest or a feature is expected: ${problem}`;
}

const ENTRIES = {
  match: v.optional(choice('best', 'exact')),
  gpu: v.optional(choice('all', 'any')),
  answer: v.optional(choice('auto', 'index', 'manifest')),
  onNoMatch: v.optional(choice('refuse', 'upstream')),
  foreignDerived: v.optional(choice('deliver', 'refuse')),
  allowForeignVendor: v.optional(YesNo),
  priority: v.optional(Priority),
  pin: v.optional(v.pipe(Text, v.trim(), checking(problemWithPin))),
  baseline: v.optional(Baseline),
  // An empty list cancels the denials of the policy for all repositories.
  denyAnnotations: v.optional(oneOrMore(Prefix)),
  readConfig: v.optional(YesNo),
  readCompatibility: v.optional(YesNo),
};

/** The keys of a policy, in camel case or with hyphens: `on-no-match` is `onNoMatch`. */
export const POLICY_ENTRIES = {
  ...ENTRIES,
  'on-no-match': ENTRIES.onNoMatch,
  'foreign-derived': ENTRIES.foreignDerived,
  'allow-foreign-vendor': ENTRIES.allowForeignVendor,
  'deny-annotations': ENTRIES.denyAnnotations,
  'read-config': ENTRIES.readConfig,
  'read-compatibility': ENTRIES.readCompatibility,
};

/** Converts the keys to camel case. */
export function toPolicyChanges(written: Readonly<Record<string, unknown>>): PolicyChanges {
  const named = Object.entries(written).map(([key, value]) => [
    key.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase()),
    value,
  ]);
  return Object.fromEntries(named.filter(([, value]) => value !== undefined));
}

/** A policy in a file. */
export const PolicyText = v.pipe(fields(POLICY_ENTRIES), v.transform(toPolicyChanges));

/** A policy with changes applied. */
export function withChanges(base: SelectionPolicy, changes: PolicyChanges): SelectionPolicy {
  return Object.freeze({ ...base, ...changes });
}
