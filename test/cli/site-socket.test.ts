import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { dataDirectory } from '../support/store.ts';
import { afterTest } from '../support/upstream.ts';

const PROGRAM = fileURLToPath(new URL('../../bin/metahub.js', import.meta.url));

/** `metahub serve` with the demonstration's logins, on a socket that somebody else has opened at `host`, as systemd does. */
async function serveOnSocket(host: string) {
  const socket = createServer();
  socket.listen(0, host);
  await once(socket, 'listening');
  const { port } = socket.address() as AddressInfo;
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
  const data = await dataDirectory();
  const program = [
    process.execPath,
    PROGRAM,
    'serve',
    '--static-machines',
    'on',
    '--data',
    data,
    '--images',
    data,
  ];
  const child = spawn('sh', ['-c', 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"', 'sh', ...program], {
    stdio: ['ignore', 'ignore', 'pipe', fd],
  });
  afterTest(() => child.kill('SIGKILL'));
  // The descriptor belongs to the child now: this process must not accept its connections.
  socket.close();
  let output = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const ended = once(child, 'exit').then(([status]) => status as number | null);
  return { child, ended, output: () => output, port };
}

test('a site on a socket that systemd opened to the network takes no logins without TLS', async () => {
  const { ended, output } = await serveOnSocket('0.0.0.0');
  expect(await ended).toBe(2);
  expect(output()).toContain('logins on 0.0.0.0 would send passwords');
});

test('a site on a socket that systemd opened on loopback serves', async () => {
  const { child, ended, port } = await serveOnSocket('127.0.0.1');
  await expect.poll(async () => (await fetch(`http://127.0.0.1:${port}/v2/`)).status).toBe(401);
  child.kill('SIGTERM');
  expect(await ended).toBe(0);
});
