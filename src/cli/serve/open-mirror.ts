import { hostname } from 'node:os';
import type { HostProfile } from '../../host/profile.ts';
import type { Log } from '../../lib/log.ts';
import { createSealer } from '../../lib/seal.ts';
import type { SharedState } from '../../lib/shared-state.ts';
import { filterReferrers } from '../../mirror/referrers.ts';
import { DOCKER_HUB, type Repository, type Tag } from '../../oci/reference.ts';
import { createMetrics, type Metrics } from '../../server/metrics.ts';
import { createMirrorServer, type MirrorServer } from '../../server/server.ts';
import type { ReloadResult } from '../../server/status-facts.ts';
import type { OwnLogins } from '../../upstream/auth/keychain.ts';
import { refuseForeignData } from '../become-owner.ts';
import { gapsDocument } from '../gap-file.ts';
import { hostProfile } from '../host-profile.ts';
import { loginFiles, newPseudonym, openPushForwarder } from '../open-upstream.ts';
import { allowedUpstreams, passesOn, type Upstreams } from '../settings/upstreams.ts';
import { VERSION } from '../version.ts';
import { buildMirrorStack, type MirrorStack, type ServeSettings } from './compose.ts';
import { createDecisionLog, type DecisionLog, tagDecisionOf } from './decision-log.ts';
import { type ExposureWarning, exposureWarnings, usableLogins } from './exposure.ts';
import { readConnectionsMax } from './file-handles.ts';
import { GapEventSender } from './gap-events.ts';
import { type GapRecord, openGapRecord } from './gap-record.ts';
import {
  registerBuildInfo,
  registerGapEvents,
  registerHostInfo,
  registerProcessMetrics,
  registerReloadMetrics,
  registerSharedMetrics,
} from './metrics.ts';
import { createNodeAdmission, type NodeAdmission } from './node-gate.ts';
import { prepareReload } from './reload.ts';
import type { Replicas } from './replicas.ts';
import type { SiteMode, SiteModeOptions } from './site.ts';
import { openTlsIdentity, type TlsIdentity } from './tls.ts';

/** The assembled parts of a mirror. */
export interface Mirror {
  readonly stack: MirrorStack;
  readonly gaps: GapRecord;
  /** Undefined: the mirror has no replicas. */
  readonly shared: SharedState | undefined;
  /** Undefined: the mirror serves this host alone. */
  readonly site: SiteMode | undefined;
  readonly host: NodeAdmission;
  /** The profile of this host at the start. */
  readonly profile: HostProfile;
  readonly allowed: Upstreams;
  /** Undefined: it speaks plain HTTP. */
  readonly identity: TlsIdentity | undefined;
  readonly server: MirrorServer;
  /** Undefined: the mirror is read-only. */
  readonly push: { close(): Promise<void> } | undefined;
  /** Call it once the listening address is known. Returns the warnings for the operator. */
  expose(address: string): readonly ExposureWarning[];
  /**
   * Reads the settings of the webhook and the site for a reload; returns the function that applies them.
   * @throws {UserError} when they are unusable: nothing has changed then
   */
  prepare(values: ServeSettings['values']): Promise<() => Promise<void>>;
  /** Records the result of a reload, for the status page and the metrics. */
  noteReload(result: ReloadResult): void;
}

/**
 * Reads everything that the settings name, and assembles the mirror. It does not listen yet.
 * @throws {UserError}
 */
export async function openMirror(settings: ServeSettings, log: Log): Promise<Mirror> {
  const { values } = settings;
  const pseudonym = newPseudonym();
  const metrics = createMetrics();
  const hasLogins = values.machines !== undefined || values.staticMachines;
  const loginsAt = (address: string) => usableLogins(values.ownLogins, { address, hasLogins });
  const onResult = registerSharedMetrics(metrics, () => shared);
  // The client of Redis is imported only when the settings name a shared state.
  const replicas =
    values.shared &&
    (await (await import('./replicas.ts')).openReplicas(settings, values.shared, { log, onResult }));
  const shared = replicas?.state;
  // Open connections would keep the process from ending.
  const fail = async (error: unknown): Promise<never> => {
    await shared?.close();
    throw error;
  };
  const ownDecisions = createDecisionLog({ log, now: () => new Date(), metrics });
  const decisions = replicas?.decisions(ownDecisions) ?? ownDecisions;
  const webhook = new GapEventSender({ log, events: registerGapEvents(metrics), shared });
  await webhook.prepare(values).then((apply) => apply(), fail);
  const ownLogins = { usable: loginsAt(values.listen.host) };
  let server: MirrorServer | undefined;
  let site: SiteMode | undefined;
  const stack = await buildMirrorStack(settings, {
    ...{ log, pseudonym, metrics, shared, enterData: refuseForeignData },
    onTagMoved: (repository, tag) => server?.invalidateTag(repository, tag),
    decided: (decision) => {
      decisions.record(decision);
      gaps.note(decision);
      site?.noteDecision(decision.profile, decision.repository, decision.tag, tagDecisionOf(decision));
    },
    ownLogins,
  }).catch(fail);
  // After the store, which reports a data directory that it cannot use.
  const ownGaps = await openGapRecord({ data: values.data, log, metrics, now: () => new Date(), webhook });
  const gaps = replicas?.gaps(ownGaps) ?? ownGaps;
  const onExposed = (address: string) => {
    ownLogins.usable = loginsAt(address);
    return exposureWarnings(values.ownLogins, { address, hasLogins }, loginFiles(process.env));
  };
  try {
    const parts = { log, pseudonym, metrics, decisions, gaps, replicas, hasLogins, onExposed, ownLogins };
    const mirror = await openOver(stack, settings, parts);
    server = mirror.server;
    site = mirror.site;
    return { ...mirror, prepare: (next) => prepareReload(values, next, { webhook, gaps, site }) };
  } catch (error) {
    await stack.close();
    return fail(error);
  }
}

interface Parts {
  readonly log: Log;
  readonly pseudonym: string;
  readonly metrics: Metrics;
  readonly decisions: DecisionLog;
  readonly gaps: GapRecord;
  readonly replicas: Replicas | undefined;
  readonly hasLogins: boolean;
  readonly onExposed: Mirror['expose'];
  readonly ownLogins: { readonly usable: OwnLogins };
}

async function openOver(
  stack: MirrorStack,
  { values }: ServeSettings,
  parts: Parts,
): Promise<Omit<Mirror, 'prepare'>> {
  const { log, pseudonym, metrics, decisions, gaps, replicas, hasLogins } = parts;
  const shared = replicas?.state;
  const now = () => performance.now();
  let warnings: readonly ExposureWarning[] = [];
  let reload: ReloadResult | undefined;
  const registryFor = (profile: HostProfile) => decisions.recordFailures(stack.registryFor(profile));
  const site = await openSiteOf(values, { registryFor, gaps: () => gaps.gaps(), log, shared });
  const profile = await hostProfile(values);
  const allowed = allowedUpstreams(values);
  const passing = new Set([...allowed].filter(([, upstream]) => passesOn(upstream)).map(([name]) => name));
  const host = createNodeAdmission({
    stack: { registryFor, challenge: stack.challenge },
    profile,
    passing,
    onNoLogin: (registry, userAgent) => {
      const message =
        'a client of the containerd store sent no login: passThrough works with the classic image store of dockerd only';
      log('warning', 'pass-through-without-login', message, { registry, userAgent });
    },
    now,
  });
  registerBuildInfo(metrics, VERSION);
  registerProcessMetrics(metrics);
  registerReloadMetrics(metrics, () => reload);
  if (site === undefined) registerHostInfo(metrics, host.profile);
  const identity = await openTlsIdentity(values);
  const onTagPushed = async (repository: Repository, tag: Tag) => {
    stack.expireTag(repository, tag);
    await tellPush?.(repository, tag);
  };
  const push = await openPushOf(values, { ...parts, onTagPushed, tokenKey: site?.tokenKey });
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
    ...{ names: ownNames(values), proxies: values.proxies, filterReferrers },
    limits: { connections: readConnectionsMax(log) },
    degraded: () =>
      shared?.trouble === undefined ? undefined : `cannot reach the shared state: ${shared.trouble}`,
    // Only clients with a login may see image names, so a site does not show them here.
    ...(site === undefined ? { gaps: () => gapsDocument(gaps.gaps()) } : {}),
    ...(identity === undefined ? {} : { tls: identity.current }),
    status: () => ({
      ...statusOf(stack, decisions, site ?? host),
      warnings: warnings.filter(({ isHarmless }) => !isHarmless).map(({ message }) => message),
      reload,
    }),
  });
  const tellPush = replicas?.pushes(stack, () => server.invalidate());
  return {
    ...{ stack, gaps, shared, site, host, profile, allowed, identity, server, push },
    expose: (address) => {
      warnings = parts.onExposed(address);
      return warnings;
    },
    noteReload: (result) => {
      reload = result;
    },
  };
}

/** Returns what the status page shows, of this host or of a site. */
function statusOf(stack: MirrorStack, decisions: DecisionLog, served: NodeAdmission | SiteMode) {
  const [host, sitePath] = 'pagesPath' in served ? [undefined, served.pagesPath] : [served, undefined];
  return {
    version: VERSION,
    startedAt: decisions.startedAt,
    hostName: hostname(),
    profile: host?.profile(),
    sitePath,
    // The page needs no login, so a site's image names appear only in the log.
    decisions: host === undefined ? [] : decisions.latest(),
    pulls: decisions.totals(),
    cache: stack.cacheUse(),
    ...(host === undefined ? {} : { registries: stack.registries() }),
    figures: stack.figures(),
    connectionTests: stack.connectionTests(),
  };
}

/** Returns the names of this mirror: those in the settings, and the one in the site's URL. */
function ownNames({ name: names, siteUrl }: ServeSettings['values']): readonly string[] {
  return siteUrl === undefined ? names : [...names, new URL(siteUrl).hostname];
}

/** Opens the site when the settings name machine types. Otherwise no module of a site is loaded. */
async function openSiteOf(values: ServeSettings['values'], options: SiteModeOptions) {
  const makesLogins = values.oidc !== undefined || values.enrolment.length > 0;
  if (values.machines === undefined && !values.staticMachines && !makesLogins) return undefined;
  const { openSiteMode } = await import('./site.ts');
  return openSiteMode(values, options);
}

/** Opens the forwarder of pushes, when the settings allow pushes. */
async function openPushOf(
  values: ServeSettings['values'],
  parts: Pick<Parts, 'log' | 'pseudonym' | 'ownLogins'> & {
    readonly onTagPushed: (repository: Repository, tag: Tag) => Promise<void>;
    readonly tokenKey: Uint8Array | undefined;
  },
) {
  if (!values.push) return undefined;
  return openPushForwarder(values, parts, {
    // Derived from the site's key, so that another replica can continue an upload that this one has begun.
    sealer: createSealer('metahub upload sessions', parts.tokenKey),
    onManifest: async (repository, reference) => {
      if (reference.kind === 'tag') await parts.onTagPushed(repository, reference.tag);
    },
  });
}
