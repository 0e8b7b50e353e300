import { execFile } from 'node:child_process';
import type { AddressInfo } from 'node:net';
import type { Log } from '../../lib/log.ts';
import { formatListen } from '../settings/values.ts';
import { UserError } from '../user-error.ts';
import type { ServeSettings } from './compose.ts';

/** The first descriptor that systemd passes; see sd_listen_fds(3). */
const FIRST_DESCRIPTOR = 3;

/**
 * The listening socket that systemd opened for this process; undefined when it opened none. With it, the address of
 * `--listen` does not matter. The variables are another's when they name another process.
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

/** Warns about a `listen` setting that systemd's socket overrides. */
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
 * Notifies the service manager about this process's state. Node has no unix datagram sockets, so `systemd-notify` sends
 * the message, which needs `NotifyAccess=all` in the unit.
 * @see sd_notify(3), sd_watchdog_enabled(3)
 */
export interface Notifier {
  /** READY=1, and from then on a watchdog notification in half the time that the unit's WatchdogSec allows. */
  ready(status: string): Promise<void>;
  /** STOPPING=1, and no further watchdog notifications. */
  stopping(): Promise<void>;
}

export interface NotifierOptions {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  readonly log: Log;
}

const PROGRAM_TIMEOUT_MS = 5000;

/** The watchdog interval of the service manager, in milliseconds; undefined: no watchdog. */
function watchdogMs({ environment, pid }: NotifierOptions): number | undefined {
  const { WATCHDOG_USEC, WATCHDOG_PID } = environment;
  if (WATCHDOG_PID !== undefined && WATCHDOG_PID !== String(pid)) return undefined;
  const ms = Number(WATCHDOG_USEC) / 1000;
  return ms > 0 ? ms : undefined;
}

/** Without NOTIFY_SOCKET, nothing happens. */
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
      // A timer runs only while the event loop does: when it is blocked, notifications stop.
      signsOfLife = setInterval(() => void tell('WATCHDOG=1'), periodMs / 2).unref();
    },
    stopping: () => {
      clearInterval(signsOfLife);
      return tell('STOPPING=1');
    },
  };
}
