import { architectureOfFamily } from '../host/architecture.ts';
import type { Feature } from '../host/features.ts';
import { familyOf, flagsOf } from '../host/identify.ts';
import { allNodes, canonicalName } from '../host/microarchitectures.ts';
import { type Demand, demandsOf, readFeature } from './demands.ts';

/** `baseline: none` declares that plain entries run on every CPU, whatever the catalogue says. */
const NONE = 'none';

/** Kinds of features that a baseline may contain: properties of the CPU. */
const CPU_KINDS: ReadonlySet<string> = new Set(['cpu', 'level', 'cpuflag']);

/** A feature of a baseline: `x86-64-v3`, `v3` (amd64's, as in `platform.variant`), `avx`, `cpu:zen3`; undefined for any other text. */
function parseBaselineFeature(text: string): Feature | undefined {
  const feature = readFeature(/^v[1-4]$/.test(text) ? `x86-64-${text}` : text);
  if (!CPU_KINDS.has(feature.kind)) return undefined;
  return architecturesOf(feature).size > 0 ? feature : undefined;
}

function written({ kind, value }: Feature): string {
  return kind === 'cpu' ? `cpu:${value}` : value;
}

/**
 * The demands of entries without a CPU demand, as features: `x86-64-v3`, or several (`avx`, `arm64-v8.2`), of which
 * those of the entry's architecture count; none for `none`. Undefined when one of the texts is not a baseline.
 */
export function parseBaseline(texts: readonly string[]): readonly string[] | undefined {
  if (texts.length === 1 && texts[0] === NONE) return [];
  const features = texts.map((text) => parseBaselineFeature(text.trim())).filter((one) => one !== undefined);
  return features.length === 0 || features.length < texts.length ? undefined : features.map(written);
}

/** The architectures whose CPUs can have a feature. */
function architecturesOf({ kind, value }: Feature): ReadonlySet<string> {
  if (kind === 'level') return new Set([value.startsWith('x86-64') ? 'amd64' : 'arm64']);
  if (kind === 'cpu') {
    const name = canonicalName(value);
    return new Set(name === undefined ? [] : [architectureOfFamily(familyOf(name))]);
  }
  const having = [...allNodes()].filter((node) => flagsOf(node.name)?.has(value));
  return new Set(having.map((node) => architectureOfFamily(familyOf(node.name))));
}

/** The source of the demands that a baseline makes. */
const BASELINE_SOURCE = 'the baseline of this repository';

const architectures = new Map<string, ReadonlySet<string>>();

function isFor(text: string, architecture: string): boolean {
  const known = architectures.get(text) ?? architecturesOf(readFeature(text));
  architectures.set(text, known);
  return known.has(architecture);
}

/** What a baseline demands of entries for an architecture. */
export function baselineDemands(baseline: readonly string[], architecture: string): readonly Demand[] {
  return demandsOf(
    baseline.filter((text) => isFor(text, architecture)),
    BASELINE_SOURCE,
  );
}
