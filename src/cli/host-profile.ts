import type { HostProfile } from '../host/profile.ts';
import { ConfigError, whyUnreadable } from '../lib/config-error.ts';
import { type ConfigSource, readSource } from '../lib/config-source.ts';
import { readTextFile } from '../lib/regular-file.ts';
import { assumed, detectHost } from './detect-host.ts';
import type { Origin } from './settings/setting.ts';

/** The host in question: this one, or the one that a file describes. `set` replaces features of it. */
export interface HostChoice {
  readonly profile: string | undefined;
  readonly set: readonly string[];
}

/** The settings that name a host, and where they are from. */
export interface HostSettings<Profile> {
  readonly values: { readonly profile: Profile; readonly set: readonly string[] };
  readonly origins: { readonly profile: Origin; readonly set: Origin };
}

/**
 * Returns the host that the settings of a command name. `set` of the configuration file and of the environment
 * describes this host, so it says nothing about one that `--profile` names. Not for `serve`: the flag of the
 * service names this host.
 */
export function namedHost<Profile>({ values, origins }: HostSettings<Profile>): {
  readonly profile: Profile;
  readonly set: readonly string[];
} {
  const { profile, set } = values;
  const isOfAnother = origins.profile === 'flag' && origins.set !== 'flag';
  return { profile, set: isOfAnother ? [] : set };
}

/** Maximum size of a profile, in bytes. Real profiles are far smaller. */
const PROFILE_MAX_BYTES = 1024 * 1024;

const NEXT_STEP = 'Write one with: metahub detect --json > FILE';

async function readProfileText(path: string): Promise<string> {
  try {
    return await readTextFile(path);
  } catch (cause) {
    throw new ConfigError('unreadable', whyUnreadable(cause), { file: path, cause, nextStep: NEXT_STEP });
  }
}

/** Opens the text of a profile. Positions of values are computed only when a value is invalid. */
async function openProfile(file: string, text: string): Promise<ConfigSource> {
  const { openJson } = await import('../lib/json-source.ts');
  return openJson(file, text, NEXT_STEP);
}

/** Reads the output of `metahub detect --json`. @throws {ConfigError} */
export async function readProfileFile(path: string): Promise<HostProfile> {
  const text = await readProfileText(path);
  if (Buffer.byteLength(text) > PROFILE_MAX_BYTES) {
    const why = 'a profile is not that large';
    throw new ConfigError('too-large', why, { file: path, nextStep: NEXT_STEP });
  }
  const [{ profileSchema }, { FeatureText }] = await Promise.all([
    import('../host/profile-json.ts'),
    import('../selection/feature-schema.ts'),
  ]);
  return readSource(profileSchema(FeatureText, 'known'), await openProfile(path, text), {
    nextStep: NEXT_STEP,
  });
}

/**
 * Returns the profile of the chosen host.
 * @throws {ConfigError} for an invalid profile file
 * @throws {UserError} for invalid features
 */
export async function hostProfile({ profile, set }: HostChoice): Promise<HostProfile> {
  if (profile !== undefined) return assumed(await readProfileFile(profile), set);
  return (await detectHost({ set })).profile;
}
