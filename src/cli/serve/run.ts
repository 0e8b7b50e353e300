import { hostname } from 'node:os';
import type { HostProfile } from '../../host/profile.ts';
import { isLoopback } from '../../lib/address.ts';
import { ConfigError } from '../../lib/config-error.ts';
import type { Log } from '../../lib/log.ts';
import { formatPlatform } from '../../oci/manifest.ts';
import type { ListenTarget, MirrorServer } from '../../server/server.ts';
import { hostProfile } from '../host-profile.ts';
import { openServeLog } from '../log.ts';
import { formatListen } from '../settings/values.ts';
import { UserError } from '../user-error.ts';
import { VERSION } from '../version.ts';
import type { ServeSettings } from './compose.ts';
import type { LastGood, ReadSettings } from './last-good.ts';
import { type Mirror, openMirror } from './open-mirror.ts';
import { activatedSocket, type Notifier, warnOfOtherAddress } from './systemd.ts';

/** What a person sees when the mirror has started: what this host is, where it listens, and how to point dockerd at it. */
export function greeting(profile: HostProfile, url: string, hosts: readonly string[]): string {
  const { platform, features } = profile;
  const daemon = JSON.stringify({ 'registry-mirrors': [url] });
  return [
    `This host is ${formatPlatform(platform)}: ${features.slice(0, 8).join(' ')}`,
    `MetaHub mirrors ${hosts.join(', ')} on ${url}`,
    '',
    `Point dockerd at it:  put ${daemon} into /etc/docker/daemon.json`,
    '                      and run: systemctl reload docker',
    '',
  ].join('\n');
}

const ANY_ADDRESS: ReadonlySet<string> = new Set(['0.0.0.0', '[::]']);

/** What the operator of a site sees when it has started: how its machines log in. */
export function siteGreeting(url: string, logins: number, thisMachine = hostname()): string {
  const { hostname: address, port, protocol } = new URL(url);
  const name = ANY_ADDRESS.has(address) ? thisMachine : address;
  const host = port === '' ? name : `${name}:${port}`;
  const count = logins === 1 ? 'one account' : `${logins} accounts`;
  return [
    `MetaHub serves machine types of ${count} on ${url}`,
    '',
    `Log a runtime in:  docker login ${host}`,
    `or a whole node:   metahub login ${protocol}//${host} --user ACCOUNT`,
    '',
  ].join('\n');
}

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
  /** Reads the settings from where the command line says; `stronger` flags go before those that were given. */
  readonly read: (stronger?: Readonly<Record<string, unknown>>) => Promise<ReadSettings>;
  readonly lastGood: LastGood;
}

interface Opened {
  readonly settings: ReadSettings;
  readonly log: Log;
  readonly mirror: Mirror;
  /** Why the last good configuration is served in the place of the one that is there. */
  readonly complaint?: string;
}

async function openWith(
  read: RunOptions['read'],
  flags?: Readonly<Record<string, unknown>>,
): Promise<Opened> {
  const settings = await read(flags);
  const log = openServeLog(settings);
  return { settings, log, mirror: await openMirror(settings, log) };
}

/**
 * Opens the mirror with its settings or, where a service's files have become unusable, with the last good ones. At a
 * terminal the person who has just written the file is told instead.
 */
async function open({ read, lastGood }: RunOptions): Promise<Opened> {
  try {
    return await openWith(read);
  } catch (error) {
    const isTold = error instanceof UserError || error instanceof ConfigError;
    const isForService = isTold && process.stderr.isTTY !== true;
    const flags = isForService ? await lastGood.flags() : undefined;
    if (flags === undefined) throw error;
    // What the last good files do not cure is the first failure.
    const opened = await openWith(read, flags).catch(() => Promise.reject(error));
    const complaint = (error as Error).message;
    opened.log('error', 'last-good-configuration', 'the last good configuration is served', {
      reason: complaint,
      nextStep: 'Correct the file, then reload the service.',
    });
    return { ...opened, complaint };
  }
}

/** Keeps the files of settings that work; that they cannot be kept hinders nothing. */
async function keepLastGood({ lastGood }: RunOptions, settings: ReadSettings, log: Log): Promise<void> {
  try {
    await lastGood.keep(settings);
  } catch (error) {
    log('info', 'configuration-not-kept', 'this configuration is not kept for a later start', {
      reason: (error as Error).message,
    });
  }
}

/**
 * Runs the mirror until it is told to stop.
 * @throws {UserError}
 */
export async function runMirror(options: RunOptions): Promise<void> {
  const stopping = stopSignal();
  const { settings, log, mirror, complaint } = await open(options);
  const { identity, server, stack, gaps, push } = mirror;
  if (complaint !== undefined) mirror.noteReload({ at: new Date(), refused: complaint });
  let reloading = Promise.resolve();
  const reload = () => {
    // One after the other: a slow one must not put back what the next has read.
    reloading = reloading.then(() => reloadMirror(mirror, options, log));
  };
  // Before anybody can know that the mirror runs: without a handler the signal would end it.
  if (!HANGUP_STOPS) process.on('SIGHUP', reload);
  const url = await startListening(mirror, settings, log);
  greet(mirror, settings, url, log);

  const notifier = await openNotifier(log);
  const warning = complaint === undefined ? '' : `, with the last good configuration: ${complaint}`;
  await notifier?.ready(`serving at ${url}${warning}`);
  identity?.onRenewed((renewed) => server.renew(renewed), log);
  if (complaint === undefined) await keepLastGood(options, settings, log);
  log('notice', 'stopping', 'stopping', { signal: await stopping });
  void notifier?.stopping();
  process.off('SIGHUP', reload);
  identity?.close();
  await server.drain(settings.values.drainTimeout);
  await gaps.close();
  await push?.close();
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
    if (mirror.push !== undefined && site === undefined) demandLoopbackForPushes(address.address);
  } catch (error) {
    identity?.close();
    await server.close();
    await stack.close();
    throw error;
  }
  if (inherited !== undefined) warnOfOtherAddress(settings, address, log);
  for (const { event, isHarmless, message } of mirror.expose(address.address)) {
    log(isHarmless ? 'notice' : 'warning', event, message);
  }
  return `${identity ? 'https' : 'http'}://${formatListen({ host: address.address, port: address.port })}`;
}

/** Whoever reaches a mirror without logins pushes with its own. @throws {UserError} */
function demandLoopbackForPushes(host: string): void {
  if (isLoopback(host)) return;
  throw new UserError(`anybody who reaches ${host} could push with this mirror's logins`, {
    nextStep: 'Listen on a loopback address, or give it accounts (--machines DIR); else --push off.',
    exitStatus: 2,
  });
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
  { stack, host, server, noteReload }: Mirror,
  options: RunOptions,
  log: Log,
): Promise<void> {
  try {
    const settings = await options.read();
    const profile = await hostProfile(settings.values);
    await stack.reload(settings);
    host.setProfile(profile);
    server.invalidate();
    noteReload({ at: new Date() });
    log('notice', 'reloaded', 'reloaded', { host: profile.cpu.microarchitecture });
    await keepLastGood(options, settings, log);
  } catch (error) {
    noteReload({ at: new Date(), refused: (error as Error).message });
    log('error', 'reload-refused', 'reload refused, nothing has changed', {
      reason: (error as Error).message,
    });
  }
}
