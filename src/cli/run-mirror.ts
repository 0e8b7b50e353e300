import type { Log } from '../oci/log.ts';
import { DOCKER_HUB } from '../oci/reference.ts';
import type { ListenTarget } from '../server/listen.ts';
import { createMetrics } from '../server/metrics.ts';
import { createMirrorServer, type MirrorServer } from '../server/mirror-server.ts';
import type { Notifier } from '../server/notify.ts';
import { activatedSocket, warnOfOtherAddress } from './activated-socket.ts';
import { createDecisionBook } from './decision-book.ts';
import { createHostGate, type HostGate } from './host-gate.ts';
import { hostProfile } from './host-profile.ts';
import { buildMirrorStack, type MirrorStack, type ServeSettings } from './mirror-stack.ts';
import { newPseudonym } from './open-upstream.ts';
import { openServeLog } from './serve-log.ts';
import { formatListen } from './setting-values.ts';
import type { SiteModeOptions } from './site-mode.ts';
import { openTlsIdentity } from './tls-identity.ts';
import { allowedUpstreams, passesOn } from './upstream-settings.ts';
import { UserError } from './user-error.ts';
import { VERSION } from './version.ts';
import { welcome, welcomeToSite } from './welcome.ts';

const LISTEN_PROBLEMS: Readonly<Record<string, readonly [problem: string, nextStep: string]>> = {
  EADDRINUSE: [
    'is in use',
    'Stop what listens there (ss -ltnp shows it), or choose another with --listen HOST:PORT.',
  ],
  EACCES: [
    'may not be listened on',
    'Ports below 1024 need the right to; choose another with --listen HOST:PORT.',
  ],
  EADDRNOTAVAIL: ['is no address of this machine', 'Choose another with --listen HOST:PORT.'],
  ENOTFOUND: ['is no address', 'Write --listen HOST:PORT with an address of this machine.'],
};

async function listen(server: MirrorServer, { values }: ServeSettings, inherited: ListenTarget | undefined) {
  try {
    return await server.listen(inherited ?? values.listen);
  } catch (cause) {
    const [problem, nextStep] = LISTEN_PROBLEMS[(cause as NodeJS.ErrnoException).code ?? ''] ?? [];
    if (problem === undefined || nextStep === undefined) throw cause;
    throw new UserError(`${formatListen(values.listen)} ${problem}`, { cause, nextStep });
  }
}

/** On a terminal SIGHUP says that it is gone; elsewhere it is how an operator asks to read everything again. */
const HANGUP_STOPS = process.stderr.isTTY === true;

/** Resolves with the first signal that asks to stop; a second one ends the process at once. */
function stopSignal(): Promise<NodeJS.Signals> {
  const signals = ['SIGTERM', 'SIGINT', ...(HANGUP_STOPS ? (['SIGHUP'] as const) : [])] as const;
  return new Promise((resolve) => {
    for (const signal of signals) {
      process.once(signal, () => {
        process.once(signal, () => process.exit(1));
        resolve(signal);
      });
    }
  });
}

export interface RunOptions {
  readonly settings: ServeSettings;
  /** Reads the settings again, from where they were read first. */
  readonly reread: () => Promise<ServeSettings>;
}

/**
 * Runs the mirror until it is told to stop.
 * @throws {UserError}
 */
export async function runMirror({ settings, reread }: RunOptions): Promise<void> {
  const { values } = settings;
  const log = openServeLog(settings);
  const stopping = stopSignal();
  const now = () => performance.now();
  const pseudonym = newPseudonym();
  const metrics = createMetrics();
  const book = createDecisionBook({ log, now: () => new Date(), metrics });
  const stack = await buildMirrorStack(settings, { log, pseudonym, metrics, decided: book.enter });
  const site = await openSiteOf(values, { registryFor: stack.registryFor, log });
  const profile = await hostProfile(values);
  const allowed = allowedUpstreams(values);
  const host = createHostGate({ stack, profile, passesOn: (name) => passesOn(allowed.get(name)), now });
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
    }),
  });
  const inherited = activatedSocket(process.env, process.pid);
  const address = await listen(server, settings, inherited);
  try {
    site?.demandPrivacyAt(address.address);
  } catch (error) {
    identity?.close();
    await server.close();
    await stack.close();
    throw error;
  }
  if (inherited !== undefined) warnOfOtherAddress(settings, address, log);
  const url = `${identity ? 'https' : 'http'}://${formatListen({ host: address.address, port: address.port })}`;
  log('notice', 'listening', { url, pid: process.pid, version: VERSION, data: values.data });
  for (const warning of site === undefined ? profile.warnings : []) log('warning', warning);
  if (process.env['JOURNAL_STREAM'] === undefined)
    process.stdout.write(
      site ? welcomeToSite(values.siteUrl ?? url, site.accounts) : welcome(profile, url, [...allowed.keys()]),
    );

  const notifier = await openNotifier(log);
  await notifier?.ready(`serving at ${url}`);
  let reloading = Promise.resolve();
  const reload = () => {
    // One after the other: a slow one must not put back what the next has read.
    reloading = reloading.then(() => reloadMirror({ log, reread, stack, host, server }));
  };
  if (!HANGUP_STOPS) process.on('SIGHUP', reload);
  identity?.onRenewed((renewed) => server.renew(renewed), log);
  log('notice', 'stopping', { signal: await stopping });
  void notifier?.stopping();
  process.off('SIGHUP', reload);
  identity?.close();
  await server.drain(values.drainTimeout);
  await stack.close();
  log('notice', 'stopped');
}

/** What clients call this mirror: the names of the settings, and that in the site's address. */
function ownNames({ name: names, siteUrl }: ServeSettings['values']): readonly string[] {
  return siteUrl === undefined ? names : [...names, new URL(siteUrl).hostname];
}

/** The site, when the settings name machine types; else the mirror is this host's own, and a site's modules are not loaded. */
async function openSiteOf(values: ServeSettings['values'], options: SiteModeOptions) {
  if (values.machines === undefined && !values.staticMachines) return undefined;
  const { openSiteMode } = await import('./site-mode.ts');
  return openSiteMode(values, options);
}

/** Tells systemd, where it wants to be told, when the mirror serves and that it lives. */
async function openNotifier(log: Log): Promise<Notifier | undefined> {
  const { env: environment, pid } = process;
  if (environment['NOTIFY_SOCKET'] === undefined) return undefined;
  const { createNotifier } = await import('../server/notify.ts');
  return createNotifier({ environment, pid, log });
}

interface Reloading {
  readonly log: Log;
  readonly reread: () => Promise<ServeSettings>;
  readonly stack: MirrorStack;
  readonly host: HostGate;
  readonly server: MirrorServer;
}

/** Takes profile, lists and policies as they are now; with any of them unreadable everything stays as it was. */
async function reloadMirror({ log, reread, stack, host, server }: Reloading): Promise<void> {
  try {
    const settings = await reread();
    const profile = await hostProfile(settings.values);
    await stack.reload(settings);
    host.turnTo(profile);
    server.invalidate();
    log('notice', 'reloaded', { host: profile.cpu.microarchitecture });
  } catch (error) {
    log('error', 'reload refused, nothing has changed', { reason: (error as Error).message });
  }
}
