import { execFile } from 'node:child_process';
import type { AddressInfo } from 'node:net';
import type { Log } from '../../lib/log.ts';
import { formatListen } from '../settings/values.ts';
import { UserError } from '../user-error.ts';
import type { ServeSettings } from './compose.ts';

/** The first file descriptor that systemd passes. @see sd_listen_fds(3) */
const FIRST_DESCRIPTOR = 3;

/**
 * Returns the listening socket that systemd has opened for this process; undefined when there is none. The
 * address of `--listen` is not used then. The variables do not apply when they name the PID of another
 * process.
 * @throws {UserError} for more than one socket.
 */
export function activatedSocket(
  environment: Readonly<Record<string, string | undefined>>,
  pid: number,
): { readonly fd: number } | undefined {
  const count = Number(environment['LISTEN_FDS'] ?? '0');
  if (environment['LISTEN_PID'] !== String(pid) || !Number.isInteger(count) || count < 1) return undefined;
  if (count > 1) {
    throw new UserError(`systemd hands over ${count} sockets, and MetaHub listens on one`, {
      nextStep: 'Leave one ListenStream in metahub.socket.',
    });
  }
  return { fd: FIRST_DESCRIPTOR };
}

/** Warns about a `listen` setting that the socket of systemd overrides. */
export function warnOfOtherAddress(
  { values: { listen }, origins }: Pick<ServeSettings, 'values' | 'origins'>,
  { address: host, port }: Pick<AddressInfo, 'address' | 'port'>,
  log: Log,
): void {
  if (origins.listen === 'default' || (listen.host === host && listen.port === port)) return;
  log(
    'warning',
    'socket-address-differs',
    'MetaHub listens where the socket unit says, and ignores the setting',
    {
      socket: formatListen({ host, port }),
      setting: formatListen(listen),
    },
  );
}

/**
 * Notifies the service manager about the state of this process. Node.js has no Unix datagram sockets, so the
 * program `systemd-notify` sends the message. That needs `NotifyAccess=all` in the unit.
 * @see sd_notify(3), sd_watchdog_enabled(3)
 */
export interface Notifier {
  /** Sends READY=1. From then on notifies the watchdog, twice in the time that the unit's WatchdogSec allows. */
  ready(status: string): Promise<void>;
  /** Sends STOPPING=1, and no further notifications to the watchdog. */
  stopping(): Promise<void>;
}

export interface NotifierOptions {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  readonly log: Log;
}

const PROGRAM_TIMEOUT_MS = 5000;

/** Returns the interval of the watchdog in milliseconds; undefined: there is no watchdog. */
function watchdogMs({ environment, pid }: NotifierOptions): number | undefined {
  const { WATCHDOG_USEC, WATCHDOG_PID } = environment;
  if (WATCHDOG_PID !== undefined && WATCHDOG_PID !== String(pid)) return undefined;
  const ms = Number(WATCHDOG_USEC) / 1000;
  return ms > 0 ? ms : undefined;
}

/** Does nothing without NOTIFY_SOCKET. */
export function createNotifier(options: NotifierOptions): Notifier {
  const { environment, log } = options;
  const isWanted = environment['NOTIFY_SOCKET'] !== undefined && environment['NOTIFY_SOCKET'] !== '';
  let signsOfLife: NodeJS.Timeout | undefined;

  function tell(...args: string[]): Promise<void> {
    if (!isWanted) return Promise.resolve();
    return new Promise((resolve) => {
      const settings = { env: environment, timeout: PROGRAM_TIMEOUT_MS };
      execFile('systemd-notify', args, settings, (error) => {
        if (error)
          log('warning', 'service-manager-unreachable', 'the service manager could not be notified', {
            reason: error.message,
          });
        resolve();
      });
    });
  }

  return {
    ready: async (status) => {
      await tell('--ready', `--status=${status}`);
      const periodMs = watchdogMs(options);
      if (!isWanted || periodMs === undefined) return;
      // A timer runs only while the event loop does. When that is blocked, the notifications stop.
      signsOfLife = setInterval(() => void tell('WATCHDOG=1'), periodMs / 2).unref();
    },
    stopping: () => {
      clearInterval(signsOfLife);
      return tell('STOPPING=1');
    },
  };
}
