import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import type { HostProfile } from '../../host/profile.ts';
import { isLoopback } from '../../lib/address.ts';
import type { Log } from '../../lib/log.ts';
import { createSealer } from '../../lib/seal.ts';
import { DOCKER_HUB } from '../../oci/reference.ts';
import { createMetrics, type Metrics } from '../../server/metrics.ts';
import { createMirrorServer, type MirrorServer } from '../../server/server.ts';
import type { ReloadResult } from '../../server/status-facts.ts';
import { gapsDocument } from '../gap-file.ts';
import { hostProfile } from '../host-profile.ts';
import {
  type LoginFiles,
  loginFiles,
  newPseudonym,
  type OwnLogins,
  openPushForwarder,
} from '../open-upstream.ts';
import { allowedUpstreams, passesOn, type Upstreams } from '../settings/upstreams.ts';
import { VERSION } from '../version.ts';
import { buildMirrorStack, type MirrorStack, type ServeSettings } from './compose.ts';
import { createDecisionLog, type DecisionLog } from './decision-log.ts';
import { type GapRecord, openGapRecord } from './gap-record.ts';
import {
  registerBuildInfo,
  registerHostInfo,
  registerProcessMetrics,
  registerReloadMetrics,
} from './metrics.ts';
import { createNodeAdmission, type NodeAdmission } from './node-gate.ts';
import type { SiteMode, SiteModeOptions } from './site.ts';
import { openTlsIdentity, type TlsIdentity } from './tls.ts';

/** Who can reach the mirror, and what they can pull. */
export interface Exposure {
  /** The address that the mirror listens on. */
  readonly address: string;
  /** Does every request show a login (site mode)? */
  readonly hasLogins: boolean;
}

/**
 * Which of the logins that are stored on this machine pulls may use. Every local user reaches a port on loopback: by default
 * they get what was given to the mirror itself, not the logins of the user it runs as, whose files they cannot read. An
 * anonymous port on a network gets none; clients who show a login, all.
 */
export function usableLogins(setting: 'auto' | 'on' | 'off', { address, hasLogins }: Exposure): OwnLogins {
  if (setting !== 'auto') return setting === 'on' ? 'all' : 'none';
  if (hasLogins) return 'all';
  return isLoopback(address) ? 'given' : 'none';
}

/** A thing about the exposure that an operator should know, with a stable key for programs. */
export interface ExposureWarning {
  readonly event: 'anonymous-mirror' | 'own-logins-shared' | 'own-logins-unused';
  readonly isHarmless: boolean;
  readonly message: string;
}

/** What an operator should know: `files` are those in which logins may be stored. */
export function exposureWarnings(
  setting: 'auto' | 'on' | 'off',
  exposure: Exposure,
  files: LoginFiles,
): readonly ExposureWarning[] {
  const { address, hasLogins } = exposure;
  const usable = usableLogins(setting, exposure);
  const given = files.given.filter((file) => existsSync(file));
  const ofUser = files.ofUser.filter((file) => existsSync(file));
  const used = [...(usable === 'none' ? [] : given), ...(usable === 'all' ? ofUser : [])];
  const unused = [...given, ...ofUser].filter((file) => !used.includes(file));
  const isAnonymous = !hasLogins && !isLoopback(address);
  const warnings: ExposureWarning[] = [];
  if (isAnonymous) {
    warnings.push({
      event: 'anonymous-mirror',
      isHarmless: false,
      message: `anyone who reaches ${address} can pull through this mirror without a login; listen on 127.0.0.1, or serve machine types (--machines), or close the port to others`,
    });
  }
  if (hasLogins) return warnings;
  if (used.length > 0) {
    warnings.push({
      event: 'own-logins-shared',
      isHarmless: !isAnonymous,
      message: `everyone who can ask this mirror pulls with the logins stored in ${used.join(', ')}; --own-logins off ends that`,
    });
  }
  if (unused.length > 0 && setting === 'auto') {
    warnings.push({
      event: 'own-logins-unused',
      isHarmless: true,
      message: `the logins stored in ${unused.join(', ')} are not used, because ${isAnonymous ? 'the port is open to a network' : 'every user of this machine reaches the port'}; --own-logins on uses them, and a login in /etc/metahub/auth.json is the mirror’s own`,
    });
  }
  return warnings;
}

/** The parts of a mirror, wired. */
export interface Mirror {
  readonly stack: MirrorStack;
  readonly gaps: GapRecord;
  /** Undefined: the mirror is this host's own. */
  readonly site: SiteMode | undefined;
  readonly host: NodeAdmission;
  /** This host as it was at the start. */
  readonly profile: HostProfile;
  readonly allowed: Upstreams;
  /** Undefined: it speaks plain HTTP. */
  readonly identity: TlsIdentity | undefined;
  readonly server: MirrorServer;
  /** Undefined: the mirror is read-only. */
  readonly push: { close(): Promise<void> } | undefined;
  /** To be called once it is known where the mirror listens; answers what an operator should know about it. */
  expose(address: string): readonly ExposureWarning[];
  /** Notes what a reload came to, for the status page and the metrics. */
  noteReload(result: ReloadResult): void;
}

/**
 * Reads everything that the settings name, and wires the mirror; it does not listen yet.
 * @throws {UserError}
 */
export async function openMirror(settings: ServeSettings, log: Log): Promise<Mirror> {
  const { values } = settings;
  const pseudonym = newPseudonym();
  const metrics = createMetrics();
  const hasLogins = values.machines !== undefined || values.staticMachines;
  let exposure: Exposure = { address: values.listen.host, hasLogins };
  const decisions = createDecisionLog({ log, now: () => new Date(), metrics });
  const gaps = await openGapRecord({ data: values.data, log, metrics, now: () => new Date() });
  const ownLogins = () => usableLogins(values.ownLogins, exposure);
  let server: MirrorServer | undefined;
  const stack = await buildMirrorStack(settings, {
    ...{ log, pseudonym, metrics },
    onTagMoved: (repository, tag) => server?.invalidateTag(repository, tag),
    decided: (decision) => {
      decisions.record(decision);
      gaps.note(decision);
    },
    ownLogins,
  });
  const onExposed = (address: string) => {
    exposure = { address, hasLogins };
    return exposureWarnings(values.ownLogins, exposure, loginFiles(process.env));
  };
  try {
    const parts = { log, pseudonym, metrics, decisions, gaps, hasLogins, onExposed, ownLogins };
    const mirror = await openOver(stack, settings, parts);
    server = mirror.server;
    return mirror;
  } catch (error) {
    await stack.close();
    throw error;
  }
}

interface Parts {
  readonly log: Log;
  readonly pseudonym: string;
  readonly metrics: Metrics;
  readonly decisions: DecisionLog;
  readonly gaps: GapRecord;
  readonly hasLogins: boolean;
  readonly onExposed: Mirror['expose'];
  readonly ownLogins: () => OwnLogins;
}

async function openOver(stack: MirrorStack, { values }: ServeSettings, parts: Parts): Promise<Mirror> {
  const { log, pseudonym, metrics, decisions, gaps, hasLogins } = parts;
  const now = () => performance.now();
  let warnings: readonly ExposureWarning[] = [];
  let reload: ReloadResult | undefined;
  const registryFor = (profile: HostProfile) => decisions.recordFailures(stack.registryFor(profile));
  const site = await openSiteOf(values, { registryFor, log });
  const profile = await hostProfile(values);
  const allowed = allowedUpstreams(values);
  const host = createNodeAdmission({
    stack: { registryFor, challenge: stack.challenge },
    profile,
    passesOn: (name) => passesOn(allowed.get(name)),
    onNoLogin: (registry, userAgent) => {
      const message =
        'a client of the containerd store brought no login: passThrough works with the classic image store of dockerd only';
      log('warning', 'pass-through-without-login', message, { registry, userAgent });
    },
    now,
  });
  registerBuildInfo(metrics, VERSION);
  registerProcessMetrics(metrics);
  registerReloadMetrics(metrics, () => reload);
  if (site === undefined) registerHostInfo(metrics, host.profile);
  const identity = await openTlsIdentity(values);
  const push = values.push
    ? await openPushForwarder(values, parts, {
        // Of the site's key: another replica goes on with an upload that this one has begun.
        sealer: createSealer('metahub upload sessions', site?.tokenKey),
        onManifest: (repository, reference) => {
          if (reference.kind === 'tag') stack.expireTag(repository, reference.tag);
        },
      })
    : undefined;
  const server = createMirrorServer({
    gate: site?.gate ?? host,
    log,
    metrics,
    pseudonym,
    defaultHost: DOCKER_HUB,
    isAllowedHost: (name) => allowed.has(name),
    handlers: site?.handlers ?? new Map(),
    push,
    hasLogins,
    names: ownNames(values),
    // Names of images are for those who log in.
    ...(site === undefined ? { gaps: () => gapsDocument(gaps.gaps()) } : {}),
    ...(identity === undefined ? {} : { tls: identity.current }),
    status: () => ({
      version: VERSION,
      startedAt: decisions.startedAt,
      hostName: hostname(),
      warnings: warnings.filter(({ isHarmless }) => !isHarmless).map(({ message }) => message),
      profile: site === undefined ? host.profile() : undefined,
      // The page asks for no login: names of images are then only for the log.
      decisions: site === undefined ? decisions.latest() : [],
      pulls: decisions.totals(),
      cache: stack.cacheUse(),
      ...(site === undefined ? { registries: stack.registries() } : {}),
      reload,
      figures: stack.figures(),
      connectionTests: stack.connectionTests(),
    }),
  });
  return {
    ...{ stack, gaps, site, host, profile, allowed, identity, server, push },
    expose: (address) => {
      warnings = parts.onExposed(address);
      return warnings;
    },
    noteReload: (result) => {
      reload = result;
    },
  };
}

/** What clients call this mirror: the names of the settings, and that in the site's address. */
function ownNames({ name: names, siteUrl }: ServeSettings['values']): readonly string[] {
  return siteUrl === undefined ? names : [...names, new URL(siteUrl).hostname];
}

/** The site, when the settings name machine types; else a site's modules are not loaded. */
async function openSiteOf(values: ServeSettings['values'], options: SiteModeOptions) {
  if (values.machines === undefined && !values.staticMachines) return undefined;
  const { openSiteMode } = await import('./site.ts');
  return openSiteMode(values, options);
}
