import type { Log } from '../../lib/log.ts';
import type { ListenTarget, MirrorServer } from '../../server/server.ts';
import { hostProfile } from '../host-profile.ts';
import { formatListen } from '../settings/parse.ts';
import { UserError } from '../user-error.ts';
import { VERSION } from '../version.ts';
import type { ServeSettings } from './compose.ts';
import { greeting, siteGreeting } from './greeting.ts';
import { type Mirror, openMirror } from './open-mirror.ts';
import { openServeLog } from './serve-log.ts';
import { activatedSocket, type Notifier, warnOfOtherAddress } from './systemd.ts';

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
  const log = openServeLog(settings);
  const stopping = stopSignal();
  const mirror = await openMirror(settings, log);
  const { identity, server, stack } = mirror;
  const url = await startListening(mirror, settings, log);
  greet(mirror, settings, url, log);

  const notifier = await openNotifier(log);
  await notifier?.ready(`serving at ${url}`);
  let reloading = Promise.resolve();
  const reload = () => {
    // One after the other: a slow one must not put back what the next has read.
    reloading = reloading.then(() => reloadMirror(mirror, reread, log));
  };
  if (!HANGUP_STOPS) process.on('SIGHUP', reload);
  identity?.onRenewed((renewed) => server.renew(renewed), log);
  log('notice', 'stopping', 'stopping', { signal: await stopping });
  void notifier?.stopping();
  process.off('SIGHUP', reload);
  identity?.close();
  await server.drain(settings.values.drainTimeout);
  await stack.close();
  log('notice', 'stopped', 'stopped');
}

/** Listens, where the settings or systemd's socket say; answers by which URL that is. */
async function startListening(mirror: Mirror, settings: ServeSettings, log: Log): Promise<string> {
  const { identity, server, site, stack } = mirror;
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
  return `${identity ? 'https' : 'http'}://${formatListen({ host: address.address, port: address.port })}`;
}

/** Tells the log, and a person where one looks on, what is served and where. */
function greet({ site, profile, allowed }: Mirror, { values }: ServeSettings, url: string, log: Log): void {
  log('notice', 'listening', 'listening', { url, pid: process.pid, version: VERSION, data: values.data });
  for (const warning of site === undefined ? profile.warnings : []) log('warning', 'host-detection', warning);
  if (process.env['JOURNAL_STREAM'] !== undefined) return;
  process.stdout.write(
    site ? siteGreeting(values.siteUrl ?? url, site.accounts) : greeting(profile, url, [...allowed.keys()]),
  );
}

/** Tells systemd, where it wants to be told, when the mirror serves and that it lives. */
async function openNotifier(log: Log): Promise<Notifier | undefined> {
  const { env: environment, pid } = process;
  if (environment['NOTIFY_SOCKET'] === undefined) return undefined;
  const { createNotifier } = await import('./systemd.ts');
  return createNotifier({ environment, pid, log });
}

/** Takes profile, lists and policies as they are now; with any of them unreadable everything stays as it was. */
async function reloadMirror(
  { stack, host, server }: Mirror,
  reread: RunOptions['reread'],
  log: Log,
): Promise<void> {
  try {
    const settings = await reread();
    const profile = await hostProfile(settings.values);
    await stack.reload(settings);
    host.turnTo(profile);
    server.invalidate();
    log('notice', 'reloaded', 'reloaded', { host: profile.cpu.microarchitecture });
  } catch (error) {
    log('error', 'reload-refused', 'reload refused, nothing has changed', {
      reason: (error as Error).message,
    });
  }
}
