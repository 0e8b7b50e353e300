import { join } from 'node:path';
import type { HostProfile } from '../../host/profile.ts';
import { ConfigError } from '../../lib/config-error.ts';
import type { Log } from '../../lib/log.ts';
import type { Registry } from '../../oci/registry.ts';
import { exposureProblem, openSite, type Site } from '../../site/site.ts';
import { loadTokenKey, randomTokenKey, TokenKeyError } from '../../site/token.ts';
import type { SettingValues } from '../settings/setting.ts';
import type { SERVE_SETTINGS } from '../settings/table.ts';
import { UserError } from '../user-error.ts';

type ServeValues = SettingValues<typeof SERVE_SETTINGS>;

export interface SiteModeOptions {
  readonly registryFor: (profile: HostProfile) => Registry;
  readonly log: Log;
}

/** The key in the named file, which must do; else in one beside the data, whose disk may fail as the cache's may. */
async function tokenKeyOf({ tokenKey, data }: ServeValues, log: Log): Promise<Uint8Array> {
  if (tokenKey !== undefined) return loadTokenKey(tokenKey);
  try {
    return await loadTokenKey(join(data, 'token.key'));
  } catch (error) {
    if (error instanceof TokenKeyError) throw error;
    const { message } = error as Error;
    log('warning', 'token-key-not-kept', 'the key of tokens is not kept: they end with this process', {
      why: message,
    });
    return randomTokenKey();
  }
}

/** A site, with the check to make once its address is known. */
export interface SiteMode extends Site {
  /** The address is systemd's choice where it opened the socket. @throws {UserError} for logins over plain HTTP on a network. */
  readonly demandPrivacyAt: (host: string) => void;
  /** What replicas of the site share. */
  readonly tokenKey: Uint8Array;
}

/**
 * The gate and paths of a site that chooses by login.
 * @throws {UserError} for logins over plain HTTP on a network, a bad file of machine types or an unreadable token key.
 */
export async function openSiteMode(
  values: ServeValues,
  { registryFor, log }: SiteModeOptions,
): Promise<SiteMode> {
  const { machines, staticMachines, listen, siteUrl, proxies } = values;
  const tls = values.tlsCert !== undefined;
  const demandPrivacyAt = (host: string) => {
    const { insecureLogins, demoListenAnywhere } = values;
    const problem = exposureProblem({ host, tls, insecureLogins, demo: staticMachines, demoListenAnywhere });
    if (problem) throw new UserError(problem.why, { nextStep: problem.nextStep, exitStatus: 2 });
  };
  demandPrivacyAt(listen.host);
  try {
    const tokenKey = await tokenKeyOf(values, log);
    const site = await openSite({
      machines,
      staticMachines,
      registryFor,
      tokenKey,
      url: siteUrl,
      tls,
      proxies,
      log,
      now: () => performance.now(),
      wallClock: Date.now,
    });
    return { ...site, demandPrivacyAt, tokenKey };
  } catch (cause) {
    const { message } = cause as Error;
    if (cause instanceof TokenKeyError) {
      const nextStep = `Others could sign tokens with it: remove it to have a new one made, or run chmod 600 ${cause.path}.`;
      throw new UserError(message, { cause, nextStep });
    }
    if (!(cause instanceof ConfigError)) throw new UserError(message, { cause });
    throw cause.with({
      nextStep: cause.nextStep ?? 'Correct the file; metahub machine list reads them all.',
    });
  }
}
