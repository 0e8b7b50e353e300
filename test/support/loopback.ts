import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';

/**
 * The first port that no kernel assigns by itself: Linux assigns ports from 32768 up to outgoing connections and to
 * servers without a port.
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

/**
 * Reserves a port against other calls, also of other processes, until this process ends. A UDP socket does not
 * block the TCP port.
 */
function reserve(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const reservation = createSocket('udp4').unref();
    reservation.once('error', () => resolve(false));
    reservation.bind({ port, address: '127.0.0.1', exclusive: true }, () => resolve(true));
  });
}

/** A free TCP port of loopback that no other process is assigned by chance before it is used. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST_FREE, END_FREE);
    if ((await reserve(port)) && (await isFree(port))) return port;
  }
}

/** Listens on a port of loopback that refuses connections once the server is closed. Resolves with the port. */
export async function listenOnLoopback(server: Server): Promise<number> {
  const port = await freePort();
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return port;
}

/** Resolves when the stream has closed, also by a reset, for which `once` would reject. */
export function closeOf(stream: { once(event: 'close', listener: () => void): unknown }): Promise<void> {
  return new Promise((resolve) => {
    stream.once('close', resolve);
  });
}
