import { parseFeature } from '../../../host/features.ts';
import { formatPlatform } from '../../../oci/manifest.ts';
import type { DetectedHost } from '../../detect-host.ts';
import { UserError } from '../../user-error.ts';

/** Words that `metahub detect WORD` answers besides the kinds of features -> the lines of the answer. */
const VALUES: Readonly<Record<string, (host: DetectedHost) => readonly (string | undefined)[]>> = {
  cpu: ({ profile }) => [profile.cpu.microarchitecture],
  compatible: ({ profile }) => profile.cpu.compatible,
  flags: ({ profile }) => [profile.cpu.flags.join(' ')],
  vendor: ({ profile }) => [profile.cpu.vendor],
  model: ({ facts }) => [facts.cpu.modelName],
  platform: ({ profile }) => [formatPlatform(profile.platform)],
  os: ({ profile }) => [profile.platform.os],
  architecture: ({ profile }) => [profile.platform.architecture],
  arch: ({ profile }) => [profile.platform.architecture],
  variant: ({ profile }) => [profile.platform.variant],
  gpu: ({ profile }) => profile.gpus.map(({ name, vendor }) => name ?? vendor),
  features: ({ profile }) => profile.features,
};

/** Kinds of features that a host may have; a word that is none of them, nor a value, is a mistake. */
const KINDS: readonly string[] = [
  ...[
    'level',
    'cpuvendor',
    'nvcap',
    'gfx',
    'accel',
    'jetson',
    'nvdriver',
    'cuda',
    'fabric',
    'smt',
    'kernel',
    'glibc',
  ],
  ...['instType', 'instSize', 'instHT'],
];

/**
 * The lines that answer one word.
 * @throws {UserError} status 2 for a word that is not known, 1 when the host has nothing of it.
 */
export function renderValue(name: string, host: DetectedHost, json: boolean): string {
  const values = valuesNamed(name, host);
  if (values === undefined) {
    throw new UserError(`detect has no value “${name}”`, {
      nextStep: `Ask for one of ${[...new Set([...Object.keys(VALUES), ...KINDS])].join(', ')}.`,
      exitStatus: 2,
    });
  }
  if (json) return `${JSON.stringify(values)}\n`;
  if (values.length === 0) throw new UserError(`this host has no ${name}`);
  return values.map((value) => `${value}\n`).join('');
}

/** Empty when the host has nothing of it, nothing when the word is not known. */
function valuesNamed(name: string, host: DetectedHost): readonly string[] | undefined {
  if (Object.hasOwn(VALUES, name)) {
    return VALUES[name]?.(host).filter((value) => value !== undefined && value !== '') as readonly string[];
  }
  const values = host.profile.features
    .map(parseFeature)
    .filter((feature) => feature?.kind === name)
    .map((feature) => feature?.value ?? '');
  return values.length > 0 || KINDS.includes(name) ? values : undefined;
}
