import { profileOfFeatures } from '../../src/host/assumed-features.ts';
import type { HostProfile } from '../../src/host/profile.ts';

/** A host with these features: `cpu:zen4 nvcap:9.0`. Its CPU decides the architecture. */
export function hostOf(features: string): HostProfile {
  return profileOfFeatures(features.split(' ').filter((word) => word !== ''));
}
