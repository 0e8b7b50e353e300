import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';

/** Listens on a port of loopback that the kernel chooses; answers which. */
export async function listenOnLoopback(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/**
 * Ports that no kernel gives away by itself: Linux takes those of outgoing connections, and of servers that ask for any port,
 * from 32768 up.
 */
const FIRST_FREE = 20_000;
const END_FREE = 32_768;

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** Keeps a port from other calls, also of other processes, to the end of this one: UDP leaves TCP's ports alone. */
function reserve(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const reservation = createSocket('udp4').unref();
    reservation.once('error', () => resolve(false));
    reservation.bind({ port, address: '127.0.0.1', exclusive: true }, () => resolve(true));
  });
}

/**
 * A TCP port of loopback that nobody listens on now, and that no other process is given by chance before its user takes it.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST_FREE, END_FREE);
    if ((await reserve(port)) && (await isFree(port))) return port;
  }
}

/** Resolves when the stream has closed, by a reset, too: `once` would reject for that. */
export function closeOf(stream: { once(event: 'close', listener: () => void): unknown }): Promise<void> {
  return new Promise((resolve) => {
    stream.once('close', resolve);
  });
}
