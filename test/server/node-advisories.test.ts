import { once } from 'node:events';
import { request } from 'node:https';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createAuthority, type TestAuthority } from '../support/certificates.ts';
import { longestTurnMs } from '../support/loop-blocks.ts';
import { closeOf } from '../support/loopback.ts';
import { ask, exchange, serve } from '../support/served.ts';

// What the advisories of Node.js teach, tried on the mirror whatever version it runs on.

const HOST = 'Host: 127.0.0.1\r\n';

describe('CVE-2026-21637: errors in a TLS handshake', () => {
  let authority: TestAuthority;
  beforeAll(async () => {
    authority = await createAuthority();
  });
  afterAll(() => authority.remove());

  test.each([
    ['a greeting that breaks off', Buffer.from('16030100f4010000f00303', 'hex')],
    ['a record of a length that it does not have', Buffer.from(`1603010005${'ff'.repeat(64)}`, 'hex')],
    ['an alert before any greeting', Buffer.from('15030100020228', 'hex')],
    ['plain HTTP', Buffer.from('GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n')],
  ])('%s ends only its own connection', async (_, bytes) => {
    const { port, log } = await serve({ tls: await authority.issue('127.0.0.1') });
    const socket = connect(port, '127.0.0.1');
    // A reset is an answer, too.
    socket.on('error', () => {});
    socket.resume();
    socket.end(bytes);
    await closeOf(socket);
    const req = request({ port, path: '/v2/', host: '127.0.0.1', ca: authority.cert, agent: false });
    req.end();
    const [res] = (await once(req, 'response')) as [{ statusCode: number }];
    expect(res.statusCode).toBe(200);
    expect(log.filter(({ level }) => level === 'error')).toEqual([]);
  });
});

test('CVE-2026-21637: unexpected names and protocols in a TLS ClientHello do not end the process', async () => {
  const authority = await createAuthority();
  try {
    const { port, log } = await serve({ tls: await authority.issue('127.0.0.1') });
    for (const options of [
      { servername: 'x'.repeat(255) },
      { servername: '__proto__' },
      { ALPNProtocols: ['h2', 'constructor', 'x'.repeat(255)] },
    ]) {
      const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
      // A server that refuses the greeting resets it.
      socket.on('error', () => {}).end();
      await closeOf(socket);
    }
    const req = request({ port, path: '/v2/', host: '127.0.0.1', ca: authority.cert, agent: false });
    req.end();
    const [res] = (await once(req, 'response')) as [{ statusCode: number }];
    expect(res.statusCode).toBe(200);
    expect(log.filter(({ level }) => level === 'error')).toEqual([]);
  } finally {
    authority.remove();
  }
});

test('CVE-2025-23167: a head ends with CR LF CR LF alone', async () => {
  const { port } = await serve();
  const answer = await exchange(port, `GET /v2/ HTTP/1.1\r\n${HOST}\rXET /v2/ HTTP/1.1\r\n${HOST}\r\n`);
  expect(answer).toMatch(/^HTTP\/1\.1 400 /);
});

test('CVE-2026-21714: HTTP/2 frames are not read, with or without a preface', async () => {
  const { port } = await serve();
  const windowUpdate = Buffer.from('000004080000000000ffffffff', 'hex');
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  for (const bytes of [
    windowUpdate,
    Buffer.concat([preface, ...Array.from({ length: 100 }, () => windowUpdate)]),
  ]) {
    expect(await exchange(port, bytes)).toMatch(/^HTTP\/1\.1 (?:400|505) /);
  }
  expect((await ask(port, '/v2/')).status).toBe(200);
});

test('CVE-2026-21717: names that collide in a hash table do not slow down a request', async () => {
  const { port } = await serve();
  // Names that are numbers are hashed without a seed.
  const headers = Array.from({ length: 1500 }, (_, at) => `${at * 65_536}: x\r\n`).join('');
  const flood = async () => {
    const received = await exchange(port, `GET /v2/ HTTP/1.1\r\n${HOST}Connection: close\r\n${headers}\r\n`);
    expect(received).toMatch(/^HTTP\/1\.1 (?:200|431) /);
  };
  expect(await longestTurnMs(flood)).toBeLessThan(1000);
});

test('CVE-2026-21710: a header called __proto__ is a header like any other', async () => {
  const { port, log } = await serve();
  for (const name of ['__proto__', 'constructor', 'toString']) {
    const received = await exchange(
      port,
      `GET /v2/ HTTP/1.1\r\n${HOST}${name}: x\r\nConnection: close\r\n\r\n`,
    );
    expect(received).toMatch(/^HTTP\/1\.1 200 /);
  }
  expect(log.filter(({ level }) => level === 'error')).toEqual([]);
});
