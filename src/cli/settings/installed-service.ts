import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { readTextFileSync } from '../../lib/regular-file.ts';
import { printable } from '../../lib/text.ts';

const UNIT_FOLDERS = ['etc/systemd/system', 'usr/lib/systemd/system', 'lib/systemd/system'];

/** Settings of the installed service, which a shell does not have. */
export interface InstalledService {
  /**
   * The data directory that systemd creates (CacheDirectory), and the profile that the service's detection
   * writes.
   */
  readonly values: { readonly data: string; readonly profile?: string };
  /** The variables in its EnvironmentFile. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/**
 * Returns the service when it is installed and this user is root, who administers it. Commands of other users
 * are about their own mirror.
 * @param root the root of the machine's files
 */
export function installedService(root = '/', uid = process.getuid?.()): InstalledService | undefined {
  const at = (path: string) => join(root, path);
  if (uid !== 0 || !UNIT_FOLDERS.some((folder) => existsSync(at(`${folder}/metahub.service`))))
    return undefined;
  const profile = '/run/metahub/profile.json';
  return {
    values: { data: '/var/cache/metahub', ...(existsSync(at(profile)) ? { profile } : {}) },
    environment: environmentIn(at('etc/default/metahub')),
  };
}

function environmentIn(path: string): InstalledService['environment'] {
  try {
    return parseEnv(readTextFileSync(path));
  } catch {
    return {}; // as the unit's own EnvironmentFile=-: it need not be there
  }
}

/** Says on stderr that a command is about the installed service, which the user has not named. */
export function sayOfService({ values: { data } }: InstalledService): void {
  process.stderr.write(
    `metahub: this command uses the data of the installed service in ${printable(data)} (--data DIR names another directory)\n`,
  );
}
