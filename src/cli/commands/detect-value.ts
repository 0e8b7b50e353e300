import { parseFeature } from '../../host/feature.ts';
import type { DetectedHost } from '../host-at-hand.ts';

/** Words that `metahub detect WORD` answers besides the kinds of features -> the lines of the answer. */
const VALUES: Readonly<Record<string, (host: DetectedHost) => readonly (string | undefined)[]>> = {
  cpu: ({ profile }) => [profile.cpu.microarchitecture],
  compatible: ({ profile }) => profile.cpu.compatible,
  flags: ({ profile }) => [profile.cpu.flags.join(' ')],
  vendor: ({ profile }) => [profile.cpu.vendor],
  model: ({ facts }) => [facts.cpu.modelName],
  platform: ({ profile: { platform } }) => [
    [platform.os, platform.architecture, ...(platform.variant === undefined ? [] : [platform.variant])].join(
      '/',
    ),
  ],
  os: ({ profile }) => [profile.platform.os],
  architecture: ({ profile }) => [profile.platform.architecture],
  arch: ({ profile }) => [profile.platform.architecture],
  variant: ({ profile }) => [profile.platform.variant],
  gpu: ({ profile }) => profile.gpus.map(({ name, vendor }) => name ?? vendor),
  features: ({ profile }) => profile.features,
};

/** Kinds of features that a host may have; a word that is none of them, nor a value, is a mistake. */
const KINDS: readonly string[] = [
  ...['level', 'cpuvendor', 'nvcap', 'gfx', 'nvdriver', 'cuda', 'fabric', 'smt', 'kernel', 'glibc'],
  ...['instType', 'instSize', 'instHT'],
];

/** What can be asked for, for a message. */
export const VALUE_NAMES: readonly string[] = [...Object.keys(VALUES), ...KINDS];

/** The lines that answer a word; empty when the host has nothing of it, nothing when the word is not known. */
export function valuesNamed(name: string, host: DetectedHost): readonly string[] | undefined {
  if (Object.hasOwn(VALUES, name)) {
    return VALUES[name]?.(host).filter((value) => value !== undefined && value !== '') as readonly string[];
  }
  const values = host.profile.features
    .map(parseFeature)
    .filter((feature) => feature?.kind === name)
    .map((feature) => feature?.value ?? '');
  return values.length > 0 || KINDS.includes(name) ? values : undefined;
}
