import { join } from 'node:path';
import type { HostProfile } from '../host/profile.ts';
import type { Registry } from '../oci/registry.ts';
import { refuseClearText } from '../site/clear-text.ts';
import { MachineFileError } from '../site/machine-file.ts';
import { openSite, type Site } from '../site/site.ts';
import type { Log } from './log.ts';
import type { SERVE_SETTINGS } from './serve-settings.ts';
import type { SettingValues } from './settings.ts';
import { UserError } from './user-error.ts';

export interface SiteModeOptions {
  readonly registryFor: (profile: HostProfile) => Registry;
  readonly log: Log;
}

/**
 * The gate and paths of a site that chooses by login; undefined when the settings name no machine types, and the mirror
 * is this host's own.
 * @throws {UserError} for logins over plain HTTP on a network, a bad file of machine types or an unreadable token key.
 */
export async function openSiteMode(
  values: SettingValues<typeof SERVE_SETTINGS>,
  { registryFor, log }: SiteModeOptions,
): Promise<Site | undefined> {
  const { machines, staticMachines, listen, tlsCert, insecureLogins, siteUrl, proxies } = values;
  if (machines === undefined && !staticMachines) return undefined;
  const tls = tlsCert !== undefined;
  const objection = refuseClearText({ host: listen.host, tls, insecureLogins });
  if (objection) throw new UserError(objection[0], { nextStep: objection[1], exitStatus: 2 });
  try {
    return await openSite({
      machines,
      staticMachines,
      registryFor,
      tokenKey: values.tokenKey ?? join(values.data, 'token.key'),
      url: siteUrl,
      tls,
      proxies,
      log,
      now: () => performance.now(),
      wallClock: Date.now,
    });
  } catch (cause) {
    const { message } = cause as Error;
    if (!(cause instanceof MachineFileError)) throw new UserError(message, { cause });
    throw new UserError(message, { cause, nextStep: 'Mend the file; metahub machine list reads them all.' });
  }
}
