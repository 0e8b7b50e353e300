import type { HostProfile } from '../../../../host/profile.ts';
import { formatVariantProperty, propertiesOfHost } from '../../../../host/variant-properties.ts';

/** Every variant property of Python wheels that this host supports, best first within a feature. */
export function renderVariants(profile: HostProfile): string {
  return propertiesOfHost(profile)
    .map((property) => `${formatVariantProperty(property)}\n`)
    .join('');
}
