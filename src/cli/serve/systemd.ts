import { execFile } from 'node:child_process';
import type { AddressInfo } from 'node:net';
import type { Log } from '../../lib/log.ts';
import { formatListen } from '../settings/values.ts';
import { UserError } from '../user-error.ts';
import type { ServeSettings } from './compose.ts';

/** The first descriptor that systemd hands over; see sd_listen_fds(3). */
const FIRST_DESCRIPTOR = 3;

/**
 * The listening socket that systemd opened for this process, or undefined when it opened none: listening on it, the
 * address of `--listen` does not matter. The variables are another's when they name another process.
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

/** Complains of a `listen` that was set, when systemd's socket says otherwise. */
export function warnOfOtherAddress(
  { values: { listen }, origins }: Pick<ServeSettings, 'values' | 'origins'>,
  { address: host, port }: Pick<AddressInfo, 'address' | 'port'>,
  log: Log,
): void {
  if (origins.listen === 'default' || (listen.host === host && listen.port === port)) return;
  log('warning', 'socket-address-differs', 'the socket unit says where to listen, not the setting', {
    socket: formatListen({ host, port }),
    setting: formatListen(listen),
  });
}

/**
 * Tells the service manager how this process is. Node has no unix datagram sockets, so `systemd-notify` does it, which
 * needs `NotifyAccess=all` in the unit.
 * @see sd_notify(3), sd_watchdog_enabled(3)
 */
export interface Notifier {
  /** READY=1, and from then on a sign of life in half the time that the unit's WatchdogSec allows. */
  ready(status: string): Promise<void>;
  /** STOPPING=1, and no further signs of life. */
  stopping(): Promise<void>;
}

export interface NotifierOptions {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  readonly log: Log;
}

const PROGRAM_TIMEOUT_MS = 5000;

/** The time within which the service manager wants to hear from us, in milliseconds; undefined: it does not watch us. */
function watchdogMs({ environment, pid }: NotifierOptions): number | undefined {
  const { WATCHDOG_USEC, WATCHDOG_PID } = environment;
  if (WATCHDOG_PID !== undefined && WATCHDOG_PID !== String(pid)) return undefined;
  const ms = Number(WATCHDOG_USEC) / 1000;
  return ms > 0 ? ms : undefined;
}

/** Without a service manager that wants to be told (NOTIFY_SOCKET), nothing is done. */
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
          log('warning', 'service-manager-unreachable', 'the service manager could not be told', {
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
      // A timer runs only while the event loop does: when that stands still, so do the signs of life.
      signsOfLife = setInterval(() => void tell('WATCHDOG=1'), periodMs / 2).unref();
    },
    stopping: () => {
      clearInterval(signsOfLife);
      return tell('STOPPING=1');
    },
  };
}
