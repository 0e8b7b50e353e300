import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Metahub, startMetahub } from '../support/metahub.ts';
import { openWorkplace } from '../support/workplace.ts';

describe('a body that is longer than any request of this site', () => {
  const workplace = openWorkplace();
  let site: Metahub;

  beforeAll(async () => {
    const args = ['--public-registries', 'off', '--static-machines', 'on'];
    site = await startMetahub(workplace, { upstream: 'http://127.0.0.1:9', args });
  });
  afterAll(() => workplace.close());

  /** Sends a request on a socket of its own; answers all that comes back. */
  async function send(head: string, body: string): Promise<string> {
    const socket = connect(Number(new URL(site.url).port), '127.0.0.1').setEncoding('utf8');
    let received = '';
    socket.on('data', (text: string) => {
      received += text;
    });
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    socket.on('error', () => {});
    socket.write(`${head}\r\nHost: 127.0.0.1\r\n`);
    socket.write(`Content-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n\r\n`);
    socket.write(body);
    await closed;
    return received;
  }

  test.each(['/token', '/site/enrol'])(
    'is answered with 413 at %s, and the mirror continues to serve',
    async (path) => {
      const { pid } = site;
      const received = await send(`POST ${path} HTTP/1.1`, 'a'.repeat(200_000));
      expect(received).toMatch(/^HTTP\/1\.1 413 /);
      expect(received).toMatch(/^connection: close\r$/im);
      expect((await fetch(`${site.url}/readyz`)).status).toBe(200);
      expect(site.pid).toBe(pid);
    },
  );
});
