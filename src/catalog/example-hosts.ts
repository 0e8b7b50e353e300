import { profileOfFeatures } from '../host/assumed-features.ts';
import type { HostProfile } from '../host/profile.ts';

/** A host that stands for many. */
export interface ExampleHost {
  readonly name: string;
  readonly features: readonly string[];
}

/** Hosts that tables and checks of the catalogue are made for; drivers are of the branch 580, which runs CUDA 13.0. */
export const EXAMPLE_HOSTS: readonly ExampleHost[] = [
  { name: 'v2', features: ['cpu:nehalem'] },
  { name: 'v3', features: ['cpu:haswell'] },
  { name: 'v4', features: ['cpu:zen4'] },
  { name: 'T4', features: ['cpu:cascadelake', 'nvcap:7.5', 'nvdriver:580.95.05', 'cuda:13.0'] },
  { name: 'A10', features: ['cpu:icelake', 'nvcap:8.6', 'nvdriver:580.95.05', 'cuda:13.0'] },
  { name: 'H100', features: ['cpu:sapphirerapids', 'nvcap:9.0', 'nvdriver:580.95.05', 'cuda:13.0'] },
  { name: 'MI300X', features: ['cpu:zen4', 'gfx:gfx942', 'gpu:amd'] },
  { name: 'Grace', features: ['cpu:neoverse_v2', 'nvcap:9.0', 'nvdriver:580.95.05', 'cuda:13.0'] },
];

export function exampleProfile({ features }: ExampleHost): HostProfile {
  return profileOfFeatures(features);
}
