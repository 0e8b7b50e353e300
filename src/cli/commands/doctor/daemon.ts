import { connect } from 'node:net';

/** The socket of a runtime's daemon, and the unit that starts the daemon. */
export interface Daemon {
  readonly socket: string;
  readonly unit: string;
  /** The command of systemctl with which the daemon reads its configuration again. */
  readonly reread: 'reload' | 'restart';
}

/** Why the daemon cannot be asked: nothing listens, or this user has no access. */
export type DaemonTrouble = 'stopped' | 'forbidden';

const TROUBLES: Readonly<Record<string, DaemonTrouble>> = {
  ENOENT: 'stopped',
  ECONNREFUSED: 'stopped',
  EACCES: 'forbidden',
  EPERM: 'forbidden',
};

/** Resolves to why the daemon cannot be asked; undefined: it listens, or the reason is unknown. */
export function daemonTrouble({ socket }: Daemon): Promise<DaemonTrouble | undefined> {
  return new Promise((resolve) => {
    const connection = connect(socket);
    connection.on('connect', () => {
      connection.destroy();
      resolve(undefined);
    });
    connection.on('error', ({ code = '' }: NodeJS.ErrnoException) => resolve(TROUBLES[code]));
  });
}
