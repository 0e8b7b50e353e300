import { architectureOfFamily } from '../host/architecture.ts';
import type { Feature } from '../host/features.ts';
import { familyOf, flagsOf } from '../host/identify.ts';
import { allNodes, canonicalName } from '../host/microarchitectures.ts';
import { type Demand, demandsOf, readFeature } from './demands.ts';

/** `baseline: none` declares that plain entries run on every CPU, whatever the catalogue says. */
const NONE = 'none';

/** The kinds of features that a baseline may contain: properties of the CPU. */
const CPU_KINDS: ReadonlySet<string> = new Set(['cpu', 'level', 'cpuflag']);

/** Parses a feature of a baseline: `x86-64-v3`, `v3` (as in amd64's `platform.variant`), `avx`, `cpu:zen3`. */
function parseBaselineFeature(text: string): Feature | undefined {
  const feature = readFeature(/^v[1-4]$/.test(text) ? `x86-64-${text}` : text);
  if (!CPU_KINDS.has(feature.kind)) return undefined;
  return architecturesOf(feature).size > 0 ? feature : undefined;
}

function written({ kind, value }: Feature): string {
  return kind === 'cpu' ? `cpu:${value}` : value;
}

/**
 * Parses a baseline, the demands of entries without a CPU demand: `x86-64-v3`, or several features (`avx`,
 * `arm64-v8.2`), of which those of the entry's architecture count. `none` gives an empty list. Undefined when a
 * text is not valid.
 */
export function parseBaseline(texts: readonly string[]): readonly string[] | undefined {
  if (texts.length === 1 && texts[0] === NONE) return [];
  const features = texts.map((text) => parseBaselineFeature(text.trim())).filter((one) => one !== undefined);
  return features.length === 0 || features.length < texts.length ? undefined : features.map(written);
}

/** The architectures whose CPUs may have a feature. */
function architecturesOf({ kind, value }: Feature): ReadonlySet<string> {
  if (kind === 'level') return new Set([value.startsWith('x86-64') ? 'amd64' : 'arm64']);
  if (kind === 'cpu') {
    const name = canonicalName(value);
    return new Set(name === undefined ? [] : [architectureOfFamily(familyOf(name))]);
  }
  const having = [...allNodes()].filter((node) => flagsOf(node.name)?.has(value));
  return new Set(having.map((node) => architectureOfFamily(familyOf(node.name))));
}

/** The source that is shown for demands of a baseline. */
const BASELINE_SOURCE = 'the baseline of this repository';

const architectures = new Map<string, ReadonlySet<string>>();

function isFor(text: string, architecture: string): boolean {
  const known = architectures.get(text) ?? architecturesOf(readFeature(text));
  architectures.set(text, known);
  return known.has(architecture);
}

/** The demands of a baseline for entries of an architecture. */
export function baselineDemands(baseline: readonly string[], architecture: string): readonly Demand[] {
  return demandsOf(
    baseline.filter((text) => isFor(text, architecture)),
    BASELINE_SOURCE,
  );
}
