import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { vi } from 'vitest';

const BACKLOG = 1;

const LISTENER = `
  const server = require('node:net').createServer();
  server.listen({ port: 0, host: '127.0.0.1', backlog: ${BACKLOG} }, () => console.log(server.address().port));
`;

/**
 * The number of connections that wait to be accepted on this port: the second number of a listening socket's
 * queues.
 */
function waitingAt(port: number): number {
  const address = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')} 00000000:0000 0A `;
  const line = readFileSync('/proc/net/tcp', 'latin1').split(address)[1] ?? '';
  return Number.parseInt(/^[0-9A-F]+:([0-9A-F]+)/.exec(line)?.[1] ?? '', 16);
}

/** A port on loopback that drops every attempt to connect, like a firewall: it neither accepts nor refuses. */
export async function startBlackHole(): Promise<{ readonly port: number; close(): Promise<void> }> {
  const child = spawn(process.execPath, ['-e', LISTENER], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const port = Number(line.toString());
  // A stopped listener accepts nothing: once its queue is full, the kernel drops new connections.
  child.kill('SIGSTOP');
  const queued: Socket[] = [];
  // Linux accepts one more than the backlog. A connection that the client sees as open may not be in the queue yet.
  while (queued.length <= BACKLOG) {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    queued.push(socket.on('error', () => {}));
  }
  await vi.waitUntil(() => waitingAt(port) > BACKLOG, { timeout: 60_000 });
  return {
    port,
    close: async () => {
      for (const socket of queued) socket.destroy();
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
}
