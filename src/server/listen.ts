import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';

/** Where to listen: an address, or a socket that was opened for us (socket activation). */
export type ListenTarget = { readonly host: string; readonly port: number } | { readonly fd: number };

/** Pulls come in bursts of many nodes at once: the kernel holds this many that were not accepted yet. */
const BACKLOG = 1024;

/** The first file descriptor that systemd hands over. @see sd_listen_fds(3) */
const FIRST_FD = 3;

/** The socket that systemd has opened for this process, if it has. */
export function inheritedSocket(
  environment: Readonly<Record<string, string | undefined>>,
  pid: number,
): { readonly fd: number } | undefined {
  const isOurs = environment['LISTEN_PID'] === String(pid);
  return isOurs && Number(environment['LISTEN_FDS']) >= 1 ? { fd: FIRST_FD } : undefined;
}

/** Listens; resolves with where, once connections are taken. Rejects with Node's error (EADDRINUSE, EACCES). */
export async function listenAt(server: Server, target: ListenTarget): Promise<AddressInfo> {
  const listening = once(server, 'listening');
  server.listen({ ...target, backlog: BACKLOG });
  await listening;
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not listening on a TCP port');
  return address;
}
