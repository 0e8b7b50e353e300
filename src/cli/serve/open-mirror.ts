import { hostname } from 'node:os';
import type { HostProfile } from '../../host/profile.ts';
import type { Log } from '../../lib/log.ts';
import { DOCKER_HUB } from '../../oci/reference.ts';
import { createMetrics, type Metrics } from '../../server/metrics.ts';
import { createMirrorServer, type MirrorServer } from '../../server/server.ts';
import type { ReloadResult } from '../../server/status-facts.ts';
import { gapsDocument } from '../gap-file.ts';
import { hostProfile } from '../host-profile.ts';
import { loginFiles, newPseudonym } from '../open-upstream.ts';
import { allowedUpstreams, passesOn, type Upstreams } from '../settings/upstreams.ts';
import { VERSION } from '../version.ts';
import { buildMirrorStack, type MirrorStack, type ServeSettings } from './compose.ts';
import { createDecisionLog, type DecisionLog } from './decision-log.ts';
import { type Exposure, type ExposureWarning, exposureWarnings, usableLogins } from './exposure.ts';
import { type GapRecord, openGapRecord } from './gap-record.ts';
import { createNodeAdmission, type NodeAdmission } from './node-gate.ts';
import {
  registerBuildInfo,
  registerHostInfo,
  registerProcessMetrics,
  registerReloadMetrics,
} from './process-metrics.ts';
import type { SiteMode, SiteModeOptions } from './site.ts';
import { openTlsIdentity, type TlsIdentity } from './tls.ts';

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
  let server: MirrorServer | undefined;
  const stack = await buildMirrorStack(settings, {
    ...{ log, pseudonym, metrics },
    onTagMoved: (repository, tag) => server?.invalidateTag(repository, tag),
    decided: (decision) => {
      decisions.record(decision);
      gaps.note(decision);
    },
    ownLogins: () => usableLogins(values.ownLogins, exposure),
  });
  const onExposed = (address: string) => {
    exposure = { address, hasLogins };
    return exposureWarnings(values.ownLogins, exposure, loginFiles(process.env));
  };
  try {
    const parts = { log, pseudonym, metrics, decisions, gaps, hasLogins, onExposed };
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
  const server = createMirrorServer({
    gate: site?.gate ?? host,
    log,
    metrics,
    pseudonym,
    defaultHost: DOCKER_HUB,
    isAllowedHost: (name) => allowed.has(name),
    handlers: site?.handlers ?? new Map(),
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
    ...{ stack, gaps, site, host, profile, allowed, identity, server },
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
