import { type Feature, formatFeature, parseFeature } from '../host/feature.ts';
import { tableOf } from './table.ts';

/**
 * One thing an entry demands: the host must have any of `anyOf`. Several values of one key in one source are
 * alternatives (a fat binary lists several `nvcap`); demands are all to be met.
 */
export interface Demand {
  /** What the alternatives have in common: a feature kind, or `cpuflag:NAME`, since flags are all needed. */
  readonly key: string;
  readonly anyOf: readonly Feature[];
  /** The field that said so, as a person would look for it: `platform.features`. */
  readonly source: string;
}

/** The kind of what was written where a feature belongs and cannot be read; no host satisfies it. */
export const UNREADABLE = 'unreadable';

/** The kind of a whole `NVIDIA_REQUIRE_*` expression. */
export const REQUIRE_EXPRESSION = 'nvrequire';

const VERBATIM = new Set([UNREADABLE, REQUIRE_EXPRESSION]);

/** Other spellings of a kind. */
const KIND_ALIAS = tableOf({ driver: 'nvdriver', arch: 'nvcap' });
const COMPARISON = /^([a-zA-Z][\w.-]*)(>=|<=|!=|>|<)(.+)$/;

/** A feature as authors write it: also `kernel>=5.10`, also `driver:535`. */
export function readFeature(text: string): Feature {
  const written = text.trim();
  const [, compared, operator, version] = COMPARISON.exec(written) ?? [];
  const feature =
    compared === undefined ? parseFeature(written) : { kind: compared, value: `${operator}${version}` };
  if (feature === undefined) return { kind: UNREADABLE, value: text };
  const kind = KIND_ALIAS.get(feature.kind);
  return kind === undefined ? feature : { kind, value: feature.value };
}

/** Machine code and PTX of one GPU family stand in for each other, so they share a key; every flag has its own. */
function keyOf({ kind, value }: Feature): string {
  if (kind === 'nvptx') return 'nvcap';
  return kind === 'cpuflag' || kind === UNREADABLE ? `${kind}:${value}` : kind;
}

/** Demands from a list of features that one source gives. */
export function demandsOf(texts: readonly string[], source: string): readonly Demand[] {
  const byKey = new Map<string, Feature[]>();
  for (const text of texts) {
    const feature = readFeature(text);
    const key = keyOf(feature);
    const alternatives = byKey.get(key);
    if (alternatives === undefined) byKey.set(key, [feature]);
    else alternatives.push(feature);
  }
  return [...byKey].map(([key, anyOf]) => ({ key, anyOf, source }));
}

/** `cpu:zen4`, `nvcap:8.0 or nvcap:9.0`; what is no `kind:value` to its author, as it is written. */
export function formatDemand({ anyOf }: Demand): string {
  return anyOf.map(formatAlternative).join(' or ');
}

/** One alternative as {@link formatDemand} writes it. */
export function formatAlternative(one: Feature): string {
  return VERBATIM.has(one.kind) ? one.value : formatFeature(one);
}
