import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';

/** Where to listen: an address, or a socket that was opened for us (socket activation). */
export type ListenTarget = { readonly host: string; readonly port: number } | { readonly fd: number };

/** Pulls come in bursts of many nodes at once: the kernel holds this many that were not accepted yet. */
const BACKLOG = 1024;

/** Listens; resolves with where, once connections are taken. Rejects with Node's error (EADDRINUSE, EACCES). */
export async function listenAt(server: Server, target: ListenTarget): Promise<AddressInfo> {
  const listening = once(server, 'listening');
  server.listen({ ...target, backlog: BACKLOG });
  await listening;
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not listening on a TCP port');
  return address;
}
