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
import { needRestart } from './reload.ts';
import { activatedSocket, type Notifier, warnOfOtherAddress } from './systemd.ts';

const ANY_ADDRESS: ReadonlySet<string> = new Set(['0.0.0.0', '[::]']);
/** The URL that `metahub setup` configures when nothing else is set. */
const DEFAULT_URL = 'http://127.0.0.1:5080';

/**
 * Formats the greeting of a mirror that has started: what this host is, where the mirror listens, and how to
 * configure the runtimes.
 */
export function greeting(profile: HostProfile, url: string, hosts: readonly string[]): string {
  const { platform, features } = profile;
  const { hostname: address, port, protocol } = new URL(url);
  const reached = ANY_ADDRESS.has(address) ? `${protocol}//127.0.0.1:${port}` : url;
  const other = reached === DEFAULT_URL ? '' : ` --mirror ${reached}`;
  const daemon = JSON.stringify({ 'registry-mirrors': [reached] });
  return [
    `This host is ${formatPlatform(platform)}: ${features.slice(0, 8).join(' ')}`,
    `MetaHub mirrors ${hosts.join(', ')} on ${url}`,
    '',
    `Point the runtimes at it:  sudo metahub setup all --reload${other}`,
    `or dockerd by hand:        put ${daemon} into /etc/docker/daemon.json`,
    '                           and run: systemctl reload docker',
    '',
  ].join('\n');
}

/** Formats the greeting of a site that has started: how machines log in. */
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
    'is not permitted to this user',
    'A port below 1024 needs a privilege; choose another port with --listen HOST:PORT.',
  ],
  EADDRNOTAVAIL: ['is not an address of this machine', 'Choose another with --listen HOST:PORT.'],
  ENOTFOUND: ['is not an address', 'Write --listen HOST:PORT with an address of this machine.'],
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

/** On a terminal, SIGHUP means that the terminal is gone. Elsewhere an operator sends it to request a reload. */
const HANGUP_STOPS = process.stderr.isTTY === true;

/** Resolves with the first signal that asks the process to stop. A second one ends it at once. */
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
  /** Reads the settings that the command line names. The given flags override those of the command line. */
  readonly read: (stronger?: Readonly<Record<string, unknown>>) => Promise<ReadSettings>;
  readonly lastGood: LastGood;
}

interface Opened {
  readonly settings: ReadSettings;
  readonly log: Log;
  readonly mirror: Mirror;
  /** Why the mirror serves with the last good configuration instead of the current one. */
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
 * Opens the mirror with its settings or, when the files of a service have become unusable, with the last good
 * ones. At a terminal it throws the error, for the person who has just edited the file.
 */
async function open({ read, lastGood }: RunOptions): Promise<Opened> {
  try {
    return await openWith(read);
  } catch (error) {
    const isTold = error instanceof UserError || error instanceof ConfigError;
    const isForService = isTold && process.stderr.isTTY !== true;
    const flags = isForService ? await lastGood.flags() : undefined;
    if (flags === undefined) throw error;
    // When the last good files do not work either, report the first error.
    const opened = await openWith(read, flags).catch(() => Promise.reject(error));
    const complaint = (error as Error).message;
    opened.log('error', 'last-good-configuration', 'MetaHub serves with the last good configuration', {
      reason: complaint,
      nextStep: 'Correct the file, then reload the service.',
    });
    return { ...opened, complaint };
  }
}

/** Stores the files of working settings. A failure to store them has no further effect. */
async function keepLastGood({ lastGood }: RunOptions, settings: ReadSettings, log: Log): Promise<void> {
  try {
    await lastGood.keep(settings);
  } catch (error) {
    log('info', 'configuration-not-kept', 'this configuration cannot be stored for a later start', {
      reason: (error as Error).message,
    });
  }
}

/** Runs the mirror until a signal asks it to stop. @throws {UserError} */
export async function runMirror(options: RunOptions): Promise<void> {
  const stopping = stopSignal();
  const { settings, log, mirror, complaint } = await open(options);
  const { identity, server, site, stack, gaps, push, shared } = mirror;
  if (complaint !== undefined) mirror.noteReload({ at: new Date(), refused: complaint });
  let reloading = Promise.resolve();
  const reload = () => {
    // One after another: a slow reload must not overwrite the result of a later one.
    reloading = reloading.then(() => reloadMirror(mirror, settings, options, log));
  };
  // Set before anybody can know that the mirror runs, because without a handler the signal would end the
  // process.
  if (!HANGUP_STOPS) process.on('SIGHUP', reload);
  const url = await startListening(mirror, settings, log);
  greet(mirror, settings, url, log);
  for (const { message } of settings.mistaken) log('warning', 'unknown-variable', message);
  gaps.announce();

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
  await site?.close();
  await push?.close();
  await stack.close();
  await shared?.close();
  log('notice', 'stopped', 'stopped');
}

/** Listens at the address of the settings, or on the socket of systemd. Resolves to the URL. */
async function startListening(mirror: Mirror, settings: ServeSettings, log: Log): Promise<string> {
  const { identity, server, site, stack, shared } = mirror;
  const inherited = activatedSocket(process.env, process.pid);
  const address = await listen(server, settings, inherited);
  try {
    site?.checkExposureAt(address.address);
    if (mirror.push !== undefined && site === undefined) demandLoopbackForPushes(address.address);
  } catch (error) {
    identity?.close();
    await server.close();
    await stack.close();
    await shared?.close();
    throw error;
  }
  if (inherited !== undefined) warnOfOtherAddress(settings, address, log);
  for (const { event, isHarmless, message } of mirror.expose(address.address)) {
    log(isHarmless ? 'notice' : 'warning', event, message);
  }
  return `${identity ? 'https' : 'http'}://${formatListen({ host: address.address, port: address.port })}`;
}

/**
 * Refuses pushes on a network without logins: clients would push with the logins of the mirror. @throws
 * {UserError}
 */
function demandLoopbackForPushes(host: string): void {
  if (isLoopback(host)) return;
  throw new UserError(`anybody who reaches ${host} could push with this mirror's logins`, {
    nextStep: 'Listen on a loopback address, add accounts (--machines DIR), or set --push off.',
    exitStatus: 2,
  });
}

/** Reports what is served and where: in the log, and to a person at a terminal. */
function greet({ site, profile, allowed }: Mirror, { values }: ServeSettings, url: string, log: Log): void {
  log('notice', 'listening', 'listening', { url, pid: process.pid, version: VERSION, data: values.data });
  for (const warning of site === undefined ? profile.warnings : []) log('warning', 'host-detection', warning);
  if (site?.accounts === 0 && values.oidc === undefined) {
    log('warning', 'no-accounts', 'nobody can log in: there is no account', {
      directory: values.machines,
      nextStep:
        'Name the directory of the accounts with --machines DIR, or add one: metahub machine add USER --machines DIR.',
    });
  }
  if (process.env['JOURNAL_STREAM'] !== undefined) return;
  process.stdout.write(
    site ? siteGreeting(values.siteUrl ?? url, site.accounts) : greeting(profile, url, [...allowed.keys()]),
  );
}

/** Opens the notifier, when systemd expects to hear that the mirror is ready and alive. */
async function openNotifier(log: Log): Promise<Notifier | undefined> {
  const { env: environment, pid } = process;
  if (environment['NOTIFY_SOCKET'] === undefined) return undefined;
  const { createNotifier } = await import('./systemd.ts');
  return createNotifier({ environment, pid, log });
}

/** Applies the settings that can change while the mirror runs. Changes nothing when one of them is unusable. */
async function reloadMirror(
  { stack, host, server, site, noteReload, prepare }: Mirror,
  started: ServeSettings,
  options: RunOptions,
  log: Log,
): Promise<void> {
  try {
    const settings = await options.read();
    const profile = await hostProfile(settings.values);
    const apply = await prepare(settings.values);
    await stack.reload(settings);
    host.setProfile(profile);
    await apply();
    server.invalidate();
    noteReload({ at: new Date() });
    log('notice', 'reloaded', 'reloaded', { host: profile.cpu.microarchitecture });
    const waiting = needRestart(started.values, settings.values, { isSite: site !== undefined });
    if (waiting.length > 0) {
      log('warning', 'restart-needed', 'some changed settings take effect at the next start only', {
        settings: waiting.join(' '),
        nextStep: 'Restart the service: systemctl restart metahub',
      });
    }
    await keepLastGood(options, settings, log);
  } catch (error) {
    noteReload({ at: new Date(), refused: (error as Error).message });
    log('error', 'reload-refused', 'reload refused, nothing has changed', {
      reason: (error as Error).message,
    });
  }
}
