import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { printable } from '../../lib/text.ts';

const UNIT_FOLDERS = ['etc/systemd/system', 'usr/lib/systemd/system', 'lib/systemd/system'];

/** What the installed service runs with that a shell does not have. */
export interface InstalledService {
  /** Where systemd puts its data (CacheDirectory), and the profile that its detection writes. */
  readonly values: { readonly data: string; readonly profile?: string };
  /** The variables of its EnvironmentFile. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/**
 * The service, where one is installed and this user is root, who works on it: anybody else's commands are about a mirror of
 * their own.
 * @param root where the machine's files are
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
    return parseEnv(readFileSync(path, 'utf8'));
  } catch {
    return {}; // as the unit's own EnvironmentFile=-: it need not be there
  }
}

/** Says on stderr that a command is about the installed service, which its user has not named. */
export function sayOfService({ values: { data } }: InstalledService): void {
  process.stderr.write(
    `metahub: this is about the installed service, whose data is in ${printable(data)} (--data DIR names another)\n`,
  );
}
