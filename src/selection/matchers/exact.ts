import { formatFeature } from '../../host/features.ts';
import { FEATURES_ANNOTATION } from '../../oci/build-index.ts';
import type { Demand } from '../demands.ts';
import { type HostView, MATCH, type MatchResult, mismatch } from '../host-view.ts';

/** Features that detection adds on every host. They count only when an entry lists the same kind. */
const INCIDENTAL = new Set([
  'level',
  'cpuflag',
  'cpuvendor',
  'gpu',
  'accel',
  'jetson',
  'nvdriver',
  'cuda',
  'smt',
  'os',
  'kernel',
  'glibc',
]);

/** True for a demand from a list of features, not from a variant or another project's annotation. */
export function isListed({ source }: Demand): boolean {
  return source === 'platform.features' || source === `annotations.${FEATURES_ANNOTATION}`;
}

/** Judges by equality: the entry's set of features must be equal to the host's, compared as text. */
export function judgeExact(demands: readonly Demand[], host: HostView): MatchResult {
  const listed = demands.filter(isListed);
  const wanted = new Set(listed.flatMap(({ anyOf }) => anyOf.map(formatFeature)));
  const kinds = new Set(listed.flatMap(({ anyOf }) => anyOf.map(({ kind }) => kind)));
  const has = new Set<string>();
  for (const [kind, values] of host.claims) {
    if (INCIDENTAL.has(kind) && !kinds.has(kind)) continue;
    for (const value of values) has.add(formatFeature({ kind, value }));
  }
  const missing = [...wanted].filter((feature) => !has.has(feature));
  const extra = [...has].filter((feature) => !wanted.has(feature));
  if (missing.length > 0)
    return mismatch(`match is exact, and this host does not claim ${missing.join(', ')}`);
  return extra.length === 0 ? MATCH : mismatch(`match is exact, and this host also has ${extra.join(', ')}`);
}
