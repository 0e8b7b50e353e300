import type { AddressInfo } from 'node:net';
import type { Log } from '../oci/log.ts';
import type { ServeSettings } from './mirror-stack.ts';
import { formatListen } from './setting-values.ts';
import { UserError } from './user-error.ts';

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
  log('warning', 'the socket unit says where to listen, not the setting', {
    socket: formatListen({ host, port }),
    setting: formatListen(listen),
  });
}
