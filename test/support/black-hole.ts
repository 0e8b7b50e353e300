import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const LISTENER = `
  const server = require('node:net').createServer();
  server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => console.log(server.address().port));
`;

/** A port on loopback that drops every attempt to connect, as a firewall does: neither accepted nor refused. */
export async function startBlackHole(): Promise<{ readonly port: number; close(): Promise<void> }> {
  const child = spawn(process.execPath, ['-e', LISTENER], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const port = Number(line.toString());
  // A listener that is stopped accepts nothing: once its queue is full, the kernel drops what comes.
  child.kill('SIGSTOP');
  const queued: Socket[] = [];
  let isFull = false;
  while (!isFull) {
    const socket = connect(port, '127.0.0.1').on('error', () => {});
    queued.push(socket);
    isFull = (await Promise.race([once(socket, 'connect'), delay(200, 'silence')])) === 'silence';
  }
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
