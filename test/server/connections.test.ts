import { EventEmitter, once } from 'node:events';
import { request, type Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { describe, expect, onTestFinished, test } from 'vitest';
import { boundConnections } from '../../src/server/connections.ts';
import { createMetrics } from '../../src/server/metrics.ts';
import { createAuthority } from '../support/certificates.ts';
import { type Served, serve } from '../support/served.ts';

const MAX = 12;
const ATTACKER = '127.0.0.2';
const OTHER = '127.0.0.3';

/** Connections of one address, as many as are asked for; resolves when each is held or refused. */
async function open(port: number, localAddress: string, count: number): Promise<readonly Socket[]> {
  const sockets = Array.from({ length: count }, () => connect({ port, host: '127.0.0.1', localAddress }));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
  });
  for (const socket of sockets) socket.on('error', () => {});
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  return sockets;
}

async function statusFor(port: number, localAddress: string): Promise<number | undefined> {
  const asked = request({ port, host: '127.0.0.1', path: '/v2/', agent: false, localAddress }).end();
  const [response] = await once(asked, 'response');
  response.resume();
  return response.statusCode;
}

const figure = ({ server }: Served, name: string) =>
  Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(server.metrics.text())?.[1]);

describe('the limit of connections by address', () => {
  test('gives one address half of all connections, and others are still served', async () => {
    const served = await serve({ limits: { connections: MAX } });
    const sockets = await open(served.port, ATTACKER, 3 * MAX);
    await expect
      .poll(() => figure(served, 'metahub_connections_refused_total'))
      .toBe(3 * MAX - (MAX / 2 + 1));
    expect(figure(served, 'metahub_connections')).toBe(MAX / 2 + 1);
    expect(await statusFor(served.port, OTHER)).toBe(200);
    for (const socket of sockets) socket.destroy();
    await expect.poll(() => figure(served, 'metahub_connections')).toBe(0);
    expect(await statusFor(served.port, ATTACKER)).toBe(200);
  });

  test('leaves some connections to the next address when several addresses take all that they may', async () => {
    const served = await serve({ limits: { connections: 64 } });
    for (const address of ['127.0.0.4', '127.0.0.5', '127.0.0.6']) await open(served.port, address, 40);
    // Of 60 connections of all; the first gets the four of loopback besides.
    await expect
      .poll(() => figure(served, 'metahub_connections_refused_total'))
      .toBe(3 * 40 - (31 + 4 + 15 + 8));
    expect(await statusFor(served.port, OTHER)).toBe(200);
  });

  describe('when a network has taken all its connections', () => {
    /** Connections by address, without a network; `true`: it was accepted. */
    function bounded(proxies: readonly string[] = []) {
      const server = new EventEmitter() as Server;
      boundConnections(server, {
        ...{ max: 4096, proxies, log: () => {}, metrics: createMetrics(), now: () => 0 },
      });
      return (remoteAddress: string) => {
        const socket = Object.assign(new EventEmitter(), { remoteAddress, destroyed: false, destroy() {} });
        socket.destroy = () => {
          socket.destroyed = true;
          socket.emit('close');
        };
        server.emit('connection', socket);
        return socket;
      };
    }
    type Connect = ReturnType<typeof bounded>;
    const count = (connect: Connect, address: string) => {
      let accepted = 0;
      while (!connect(address).destroyed) accepted += 1;
      return accepted;
    };
    const fill = (connect: Connect) =>
      Array.from({ length: 20 }, (_, at) => count(connect, `203.0.${at}.1`)).reduce((a, b) => a + b);

    test.each([
      ['/24', (at: number) => `203.0.113.${at + 1}`, '203.0.112.255'],
      ['/24 of mapped addresses', (at: number) => `::ffff:203.0.113.${at + 1}`, '::ffff:203.0.114.0'],
      ['/48', (at: number) => `2001:db8:1:${at.toString(16)}::1`, '2001:db8:2::1'],
    ])('all addresses of one %s leave a quarter to another network', (_name, addressAt, other) => {
      const connect = bounded();
      const attackers = Array.from({ length: 40 }, (_, at) => connect(addressAt(at)));
      expect(attackers.some(({ destroyed }) => destroyed)).toBe(false);
      const rest = Array.from({ length: 40 }, (_, at) => count(connect, addressAt(at)));
      // Of 3840 for the network: 2881 taken leave 959 free, and one more would be beyond three times that.
      expect(40 + rest.reduce((sum, taken) => sum + taken)).toBe(2881);
      expect(connect(addressAt(250)).destroyed).toBe(true);
      const elsewhere = connect(other);
      expect(elsewhere.destroyed).toBe(false);
      elsewhere.destroy();
      attackers[0]?.destroy();
      expect(count(connect, addressAt(250))).toBe(1);
    });

    test('a sixteenth is still reserved for loopback, and no more', () => {
      const connect = bounded();
      expect(fill(connect)).toBe(4096 - 256);
      expect(connect('198.51.100.1').destroyed).toBe(true);
      const first = connect('::ffff:127.0.0.1');
      expect(first.destroyed).toBe(false);
      expect(count(connect, '::1')).toBe(255);
      expect(connect('127.0.0.1').destroyed).toBe(true);
      first.destroy();
      expect(connect('198.51.100.1').destroyed).toBe(true);
      expect(connect('127.0.0.1').destroyed).toBe(false);
    });

    test('a proxy on loopback gets none of the reserve, because it represents the network', () => {
      const connect = bounded(['127.0.0.1']);
      fill(connect);
      expect(connect('127.0.0.1').destroyed).toBe(true);
      expect(connect('::1').destroyed).toBe(false);
    });
  });

  test('is logged again after a minute', () => {
    const server = new EventEmitter() as Server;
    const clock = { ms: 0 };
    const logged: number[] = [];
    boundConnections(server, {
      ...{ max: 1, proxies: [], log: () => void logged.push(clock.ms), metrics: createMetrics() },
      now: () => clock.ms,
    });
    for (const atMs of [0, 59_999, 60_000, 119_999, 120_000]) {
      clock.ms = atMs;
      server.emit('drop', { remoteAddress: '192.0.2.1' });
    }
    expect(logged).toEqual([0, 60_000, 120_000]);
  });

  test('logs once which address was refused', async () => {
    const { port, log } = await serve({ limits: { connections: MAX } });
    await open(port, ATTACKER, 2 * MAX);
    const said = () => log.filter(({ event }) => event === 'connections-refused');
    await expect
      .poll(said)
      .toMatchObject([{ level: 'warning', fields: { address: ATTACKER, limit: 'address' } }]);
  });

  test('allows a proxy all connections', async () => {
    const served = await serve({ limits: { connections: MAX }, proxies: ['127.0.0.2/32'] });
    await open(served.port, ATTACKER, MAX);
    await expect.poll(() => figure(served, 'metahub_connections')).toBe(MAX);
    await open(served.port, ATTACKER, 1);
    await expect.poll(() => figure(served, 'metahub_connections_refused_total')).toBe(1);
  });

  test('counts connections from before their TLS handshake until they close', async () => {
    const authority = await createAuthority();
    onTestFinished(() => authority.remove());
    const served = await serve({ limits: { connections: MAX }, tls: await authority.issue('127.0.0.1') });
    const sockets = await open(served.port, ATTACKER, 2 * MAX);
    await expect
      .poll(() => figure(served, 'metahub_connections_refused_total'))
      .toBe(2 * MAX - (MAX / 2 + 1));
    const shake = async (localAddress: string) => {
      const to = { port: served.port, host: '127.0.0.1', localAddress, ca: authority.cert };
      const socket = connectTls(to).on('error', () => {});
      const isSecure = await once(socket, 'secureConnect').then(
        () => true,
        () => false,
      );
      socket.destroy();
      return isSecure;
    };
    expect(await shake(ATTACKER)).toBe(false);
    expect(await shake(OTHER)).toBe(true);
    for (const socket of sockets) socket.destroy();
    await expect.poll(() => figure(served, 'metahub_connections')).toBe(0);
    expect(await shake(ATTACKER)).toBe(true);
    await expect.poll(() => figure(served, 'metahub_connections')).toBe(0);
  });
});
