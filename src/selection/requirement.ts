import type { Descriptor } from '../oci/descriptor.ts';
import { annotationDemands } from './annotation.ts';
import { type Demand, demandsOf, formatDemand, UNREADABLE } from './demand.ts';
import { variantDemand } from './variant.ts';

/**
 * `platform.features`, of Docker's manifest list and, although RESERVED there, of OCI indexes. What is no list of
 * strings is a demand that cannot be read, never no demand.
 */
function featureDemands(entry: Descriptor): readonly Demand[] {
  const features = entry.platform?.features ?? [];
  const platform = entry.raw['platform'] as { readonly features?: unknown } | null | undefined;
  const raw = platform?.features ?? undefined;
  const whole = raw === undefined || (Array.isArray(raw) && raw.length === features.length);
  if (whole) return features.length === 0 ? [] : demandsOf(features, 'platform.features');
  return [
    {
      key: UNREADABLE,
      anyOf: [{ kind: UNREADABLE, value: JSON.stringify(raw) }],
      source: 'platform.features',
    },
  ];
}

/** `os.features`: compared by equality, as containerd does. */
function osFeatureDemands(entry: Descriptor): readonly Demand[] {
  return (entry.platform?.osFeatures ?? []).map((value) => ({
    key: `osfeature:${value}`,
    anyOf: [{ kind: 'osfeature', value }],
    source: 'platform.os.features',
  }));
}

/** A demand that a stronger source has already made is not counted again (authors mirror features as annotations). */
function withoutRepeats(demands: readonly Demand[]): readonly Demand[] {
  if (demands.length < 2) return demands;
  const seen = new Set<string>();
  return demands.filter((demand) => {
    const text = formatDemand(demand);
    return !seen.has(text) && seen.add(text);
  });
}

/** Everything an entry itself says about the hardware it needs, each demand with the field that said so. */
export function requirementsOf(entry: Descriptor): readonly Demand[] {
  return withoutRepeats([
    ...featureDemands(entry),
    ...variantDemand(entry),
    ...osFeatureDemands(entry),
    ...annotationDemands(entry.annotations),
  ]);
}
