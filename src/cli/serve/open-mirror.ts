import type { HostProfile } from '../../host/profile.ts';
import type { Log } from '../../lib/log.ts';
import { DOCKER_HUB } from '../../oci/reference.ts';
import { createMetrics } from '../../server/metrics.ts';
import { createMirrorServer, type MirrorServer } from '../../server/server.ts';
import { hostProfile } from '../host-profile.ts';
import { newPseudonym } from '../open-upstream.ts';
import { allowedUpstreams, passesOn, type Upstreams } from '../settings/upstreams.ts';
import { VERSION } from '../version.ts';
import { buildMirrorStack, type MirrorStack, type ServeSettings } from './compose.ts';
import { createDecisionLog } from './decision-log.ts';
import { createNodeAdmission, type NodeAdmission } from './node-gate.ts';
import type { SiteMode, SiteModeOptions } from './site.ts';
import { openTlsIdentity, type TlsIdentity } from './tls.ts';

/** The parts of a mirror, wired. */
export interface Mirror {
  readonly stack: MirrorStack;
  /** Undefined: the mirror is this host's own. */
  readonly site: SiteMode | undefined;
  readonly host: NodeAdmission;
  /** This host as it was at the start. */
  readonly profile: HostProfile;
  readonly allowed: Upstreams;
  /** Undefined: it speaks plain HTTP. */
  readonly identity: TlsIdentity | undefined;
  readonly server: MirrorServer;
}

/**
 * Reads everything that the settings name, and wires the mirror; it does not listen yet.
 * @throws {UserError}
 */
export async function openMirror(settings: ServeSettings, log: Log): Promise<Mirror> {
  const pseudonym = newPseudonym();
  const metrics = createMetrics();
  const book = createDecisionLog({ log, now: () => new Date(), metrics });
  const stack = await buildMirrorStack(settings, { log, pseudonym, metrics, decided: book.enter });
  try {
    return await openOver(stack, settings, { log, pseudonym, metrics, book });
  } catch (error) {
    await stack.close();
    throw error;
  }
}

interface Parts {
  readonly log: Log;
  readonly pseudonym: string;
  readonly metrics: ReturnType<typeof createMetrics>;
  readonly book: ReturnType<typeof createDecisionLog>;
}

async function openOver(stack: MirrorStack, { values }: ServeSettings, parts: Parts): Promise<Mirror> {
  const { log, pseudonym, metrics, book } = parts;
  const now = () => performance.now();
  const site = await openSiteOf(values, { registryFor: stack.registryFor, log });
  const profile = await hostProfile(values);
  const allowed = allowedUpstreams(values);
  const host = createNodeAdmission({ stack, profile, passesOn: (name) => passesOn(allowed.get(name)), now });
  const identity = await openTlsIdentity(values);
  const server = createMirrorServer({
    gate: site?.gate ?? host,
    log,
    metrics,
    pseudonym,
    defaultHost: DOCKER_HUB,
    isAllowedHost: (name) => allowed.has(name),
    handlers: site?.handlers ?? new Map(),
    hasLogins: site !== undefined,
    names: ownNames(values),
    ...(identity === undefined ? {} : { tls: identity.current }),
    status: () => ({
      version: VERSION,
      startedAt: book.startedAt,
      profile: site === undefined ? host.profile() : undefined,
      // The page asks for no login: names of images are then only for the log.
      decisions: site === undefined ? book.latest() : [],
      figures: stack.figures(),
      connectionTests: stack.connectionTests(),
    }),
  });
  return { stack, site, host, profile, allowed, identity, server };
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
