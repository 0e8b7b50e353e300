import { profileOfFeatures } from '../../src/host/assumed-features.ts';
import type { HostProfile } from '../../src/host/profile.ts';

/** A host of these features: `cpu:zen4 nvcap:9.0`; of another architecture by its CPU. */
export function hostOf(features: string): HostProfile {
  return profileOfFeatures(features.split(' ').filter((word) => word !== ''));
}
