import * as v from 'valibot';
import { parseBoundedYaml } from '../../lib/bounded-yaml.ts';
import { parseJson } from '../../lib/json.ts';
import type { CompatibilitySets, FeatureTerm, Expression as Match } from '../../selection/compatibility.ts';
import type { DocumentSource } from './source.ts';

const Text = v.pipe(v.string(), v.maxLength(500));
const Value = v.union([
  Text,
  v.pipe(v.number(), v.transform(String)),
  v.pipe(v.boolean(), v.transform(String)),
]);
const Values = v.pipe(v.array(Value), v.maxLength(100));
const Expression = v.strictObject({
  op: v.optional(Text, ''),
  value: v.optional(v.nullable(Values)),
  type: v.optional(Text),
});
const Expressions = v.pipe(
  v.record(Text, Expression),
  v.check((all) => Object.keys(all).length <= 100, 'more than 100 expressions'),
);
const Term = v.strictObject({
  feature: v.pipe(Text, v.minLength(1)),
  matchExpressions: v.optional(v.nullable(Expressions)),
  matchName: v.optional(v.nullable(Expression)),
});
const Terms = v.pipe(v.array(Term), v.maxLength(100));
/** What a matching rule creates (labels and so on). It does not decide whether the rule matches. */
const Made = v.optional(v.unknown());
const Rule = v.strictObject({
  labels: Made,
  labelsTemplate: Made,
  annotations: Made,
  vars: Made,
  varsTemplate: Made,
  taints: Made,
  extendedResources: Made,
  name: v.optional(Text, 'unnamed'),
  matchFeatures: v.optional(v.nullable(Terms)),
  matchAny: v.optional(
    v.nullable(v.pipe(v.array(v.strictObject({ matchFeatures: Terms })), v.maxLength(100))),
  ),
});
const Spec = v.object({
  version: v.literal('v1alpha1'),
  compatibilities: v.pipe(
    v.array(v.object({ rules: v.pipe(v.array(Rule), v.minLength(1), v.maxLength(100)) })),
    v.minLength(1),
    v.maxLength(100),
  ),
});

/**
 * Parses a compatibility specification of node-feature-discovery, `v1alpha1`. Unknown members are refused, not
 * ignored, because they might be a demand.
 * @throws {Error} that names the part which cannot be read
 */
export function parseCompatibility(document: unknown): CompatibilitySets {
  const read = v.safeParse(Spec, document);
  if (!read.success) {
    const [issue] = read.issues;
    throw new Error(`${v.getDotPath(issue) ?? 'the specification'}: ${issue.message}`);
  }
  return read.output.compatibilities.map(({ rules }) =>
    rules.map(({ name, matchFeatures, matchAny }) => ({
      name,
      matchFeatures: (matchFeatures ?? []).map(termOf),
      matchAny: (matchAny ?? []).map((one) => one.matchFeatures.map(termOf)),
    })),
  );
}

function termOf({ feature, matchExpressions, matchName }: v.InferOutput<typeof Term>): FeatureTerm {
  return {
    feature,
    expressions: Object.entries(matchExpressions ?? {}).map(([name, one]) => [name, expressionOf(one)]),
    ...(matchName ? { name: expressionOf(matchName) } : {}),
  };
}

function expressionOf({ op, value, type }: v.InferOutput<typeof Expression>): Match {
  return { op, value: value ?? [], ...(type === undefined || type === '' ? {} : { type }) };
}

/** JSON is also YAML, but its parser is faster. */
async function parseSpec({ bytes, mediaType }: DocumentSource): Promise<unknown> {
  if (mediaType.endsWith('+json')) return parseJson(bytes);
  const text = Buffer.from(bytes).toString('utf8');
  const { document } = parseBoundedYaml(await import('yaml'), 'the specification', text);
  // Aliases can expand to any size, and an artifact needs none.
  return document.toJS({ maxAliasCount: 0 });
}

/** Limit for parsing on the event loop, in bytes: YAML takes a hundred times as long as JSON. */
const SMALL_SPEC_BYTES = 4 * 1024;

export function isSmallSpec({ length }: Uint8Array): boolean {
  return length <= SMALL_SPEC_BYTES;
}

/** The rules of a specification, or the reason why it cannot be read. */
export async function readCompatibilitySets(
  source: DocumentSource,
): Promise<{ readonly sets: CompatibilitySets } | { readonly problem: string }> {
  try {
    return { sets: parseCompatibility(await parseSpec(source)) };
  } catch (error) {
    return { problem: (error as Error).message };
  }
}
