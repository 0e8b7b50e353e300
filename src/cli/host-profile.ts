import { readFile } from 'node:fs/promises';
import type { HostProfile } from '../host/profile.ts';
import { parseProfile } from '../host/profile-json.ts';
import { assumed, detectHost } from './detect-host.ts';
import { UserError } from './user-error.ts';

/** Which host is asked about: this one, or the one that a file describes; `set` replaces features of either. */
export interface HostChoice {
  readonly profile: string | undefined;
  readonly set: readonly string[];
}

/** A profile is far smaller; what is larger is another file, in bytes. */
const PROFILE_MAX_BYTES = 1024 * 1024;

/**
 * Reads what `metahub detect --json` printed.
 * @throws {UserError} status 1 when the file cannot be read, 2 when it holds no profile
 */
export async function readProfileFile(path: string): Promise<HostProfile> {
  const nextStep = 'Write one with: metahub detect --json > FILE';
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new UserError(`cannot read the profile ${path}: ${(cause as Error).message}`, {
      cause,
      nextStep,
    });
  }
  try {
    if (text.length > PROFILE_MAX_BYTES) throw new Error('it is too large');
    return parseProfile(parsed(text));
  } catch (cause) {
    throw new UserError(`${path} is no profile: ${(cause as Error).message}`, {
      cause,
      nextStep,
      exitStatus: 2,
    });
  }
}

/** The parser's own words quote the file, line ends and all. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error('it is not JSON', { cause });
  }
}

/**
 * The profile of the chosen host.
 * @throws {UserError} status 1 when the file cannot be read, 2 when it holds no profile
 */
export async function hostProfile({ profile, set }: HostChoice): Promise<HostProfile> {
  if (profile !== undefined) return assumed(await readProfileFile(profile), set);
  return (await detectHost({ set })).profile;
}
