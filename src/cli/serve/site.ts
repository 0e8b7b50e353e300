import { join } from 'node:path';
import type { HostProfile } from '../../host/profile.ts';
import { ConfigError } from '../../lib/config-error.ts';
import type { Log } from '../../lib/log.ts';
import type { SharedState } from '../../lib/shared-state.ts';
import type { Registry } from '../../oci/registry.ts';
import type { Gap } from '../../selection/gap-schema.ts';
import { exposureProblem, openSite, type Site } from '../../site/site.ts';
import { loadTokenKey, randomTokenKey, TokenKeyError } from '../../site/token.ts';
import { WEB_PATH } from '../../site/web/layout.ts';
import type { SettingValues } from '../settings/setting.ts';
import type { SERVE_SETTINGS } from '../settings/table.ts';
import { UserError } from '../user-error.ts';

type ServeValues = SettingValues<typeof SERVE_SETTINGS>;

export interface SiteModeOptions {
  readonly registryFor: (profile: HostProfile) => Registry;
  readonly gaps: () => readonly Gap[];
  readonly log: Log;
  /** The state that replicas share; undefined: there are no replicas. */
  readonly shared?: SharedState | undefined;
}

/**
 * Loads the key from the named file, which must be valid, or else from a file next to the data. When the disk
 * of the data fails, uses a key for this process only.
 */
async function tokenKeyOf({ tokenKey, data }: ServeValues, log: Log): Promise<Uint8Array> {
  if (tokenKey !== undefined) return loadTokenKey(tokenKey);
  try {
    return await loadTokenKey(join(data, 'token.key'));
  } catch (error) {
    if (error instanceof TokenKeyError) throw error;
    const { message } = error as Error;
    log(
      'warning',
      'token-key-not-kept',
      'cannot store the token key: tokens become invalid when this process ends',
      {
        why: message,
      },
    );
    return randomTokenKey();
  }
}

/** A site, and the check to make once its address is known. */
export interface SiteMode extends Omit<Site, 'prepare'> {
  /**
   * Reads the settings that can change while the site runs; returns the function that applies them. @throws
   * {UserError}
   */
  readonly prepare: (values: ServeValues) => Promise<() => void>;
  /** Checks the address that systemd has chosen. @throws {UserError} for logins in clear text on a network */
  readonly checkExposureAt: (host: string) => void;
  /** The path of its pages. */
  readonly pagesPath: string;
  /** The same at all replicas of the site. */
  readonly tokenKey: Uint8Array;
}

/**
 * Opens the site that the settings describe.
 * @throws {UserError} for logins in clear text on a network, an invalid machine file or an unreadable token
 * key.
 */
export async function openSiteMode(
  values: ServeValues,
  { registryFor, gaps, log, shared }: SiteModeOptions,
): Promise<SiteMode> {
  const { machines, staticMachines, listen, siteUrl, proxies } = values;
  const tls = values.tlsCert !== undefined;
  const checkExposureAt = (host: string) => {
    const { insecureLogins, demoListenAnywhere } = values;
    const problem = exposureProblem({ host, tls, insecureLogins, demo: staticMachines, demoListenAnywhere });
    if (problem) throw new UserError(problem.why, { nextStep: problem.nextStep, exitStatus: 2 });
  };
  checkExposureAt(listen.host);
  try {
    const tokenKey = await tokenKeyOf(values, log);
    const site = await openSite({
      ...(await accountSettings(values)),
      machines,
      staticMachines,
      registryFor,
      gaps,
      tokenKey,
      url: siteUrl,
      tls,
      proxies,
      log,
      shared,
      now: () => performance.now(),
      wallClock: Date.now,
    });
    // The folder and the URL of the site change only with a restart.
    const prepare = async ({ oidc, enrolment }: ServeValues) =>
      site.prepare(await accountSettings({ ...values, oidc, enrolment }));
    return { ...site, pagesPath: WEB_PATH, checkExposureAt, tokenKey, prepare };
  } catch (cause) {
    if (cause instanceof UserError) throw cause;
    const { message } = cause as Error;
    if (cause instanceof TokenKeyError) {
      const nextStep = `Others could sign tokens with it: remove it, so that MetaHub creates a new one, or run chmod 600 ${cause.path}.`;
      throw new UserError(message, { cause, nextStep });
    }
    if (!(cause instanceof ConfigError)) throw new UserError(message, { cause });
    throw cause.with({
      nextStep: cause.nextStep ?? 'Correct the file; metahub machine list reads them all.',
    });
  }
}

/** Reads the settings of the provider and of clouds, at the start and for each reload. @throws {UserError} */
async function accountSettings(values: ServeValues) {
  checkAccountSettings(values);
  const { oidc, enrolment, siteUrl } = values;
  return {
    oidc: oidc && (await (await import('./oidc.ts')).openOidc(oidc, siteUrl)),
    enrolment,
  };
}

/**
 * Checks that `oidc` and `enrolment` have a folder of machine files, and that documents of Azure and GCP have
 * a fixed URL of the site.
 * @throws {UserError}
 */
function checkAccountSettings({ oidc, enrolment, machines, siteUrl }: ServeValues): void {
  const setting = oidc === undefined ? 'enrolment' : 'oidc';
  if (oidc === undefined && enrolment.length === 0) return;
  if (machines === undefined) {
    throw new UserError(`${setting} creates logins, and there is no directory for them`, {
      nextStep: 'Pass the directory with --machines DIR.',
      exitStatus: 2,
    });
  }
  if (siteUrl === undefined && enrolment.some(({ cloud }) => cloud !== 'aws')) {
    throw new UserError('enrolment by Azure and GCP needs the URL of this site', {
      nextStep: 'Add --site-url https://HOST: instances have their identity signed for this URL alone.',
      exitStatus: 2,
    });
  }
}
