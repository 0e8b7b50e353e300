import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import type { PushForwarder } from '../../src/oci/push.ts';
import type { Admitted } from '../../src/oci/registry.ts';
import { createFakeRegistry } from '../support/fake-registry.ts';
import { ask, codeOf, dial, exchange, serve } from '../support/served.ts';

const UPLOAD = '/v2/team/app/blobs/uploads/session';
const HOST = 'Host: localhost\r\n';

/** A mirror whose pushes take the whole body and tell it; `ended` counts requests that closed. */
async function takePushes() {
  const bodies: string[] = [];
  const ended: boolean[] = [];
  const push: PushForwarder = {
    forward: async (req, res) => {
      res.once('close', () => ended.push(res.writableFinished));
      let body = '';
      for await (const chunk of req) body += String(chunk);
      bodies.push(body);
      res.writeHead(202, { 'content-length': '0' }).end();
    },
  };
  return { ...(await serve({ push })), bodies, ended };
}

const statusesIn = (answers: string) =>
  [...answers.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status));

describe('a request that pushes', () => {
  test.each([
    ['a chunk that is not a number', 'Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n'],
    ['a chunk that ends with a bare line feed', 'Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n'],
    ['a chunk extension in an open quote', 'Transfer-Encoding: chunked\r\n\r\n3;a="\r\nabc\r\n0\r\n\r\n'],
    ['an unknown transfer coding', 'Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n'],
    ['a length and a coding', 'Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['chunked as another than the last coding', 'Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n'],
    ['another coding before chunked', 'Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n'],
    ['a folded header line', 'Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n'],
  ])('with %s is refused at once, and nothing after it is read as a request', async (_, rest) => {
    const { port, bodies } = await takePushes();
    const behind = `GET /v2/ HTTP/1.1\r\n${HOST}\r\n`;
    const answers = statusesIn(await exchange(port, `PATCH ${UPLOAD} HTTP/1.1\r\n${HOST}${rest}${behind}`));
    expect([answers, bodies]).toEqual([[expect.toSatisfy((status) => status === 400 || status === 501)], []]);
  });

  test('with a malformed body ends, so that what waits for the rest of it is freed', async () => {
    const { port, ended } = await takePushes();
    const socket = dial(port).resume();
    socket.write(`PATCH ${UPLOAD} HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nx`);
    await once(socket, 'close');
    await expect.poll(() => ended).toEqual([false]);
  });

  test.each(['GET', 'DELETE'])(
    '%s with a body is refused, and the body is not read as a request',
    async (method) => {
      const { port, bodies } = await takePushes();
      const inner = `GET /v2/ HTTP/1.1\r\n${HOST}\r\n`;
      const head = `${method} ${UPLOAD} HTTP/1.1\r\n${HOST}Content-Length: ${inner.length}\r\n\r\n`;
      expect([statusesIn(await exchange(port, head + inner)), bodies]).toEqual([[400], []]);
    },
  );

  test('with another protocol to switch to is refused', async () => {
    const { port, bodies } = await takePushes();
    const head = `PATCH ${UPLOAD} HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: h2c\r\n`;
    const answers = await exchange(port, `${head}Content-Length: 3\r\n\r\nabc`);
    expect([statusesIn(answers), bodies]).toEqual([[400], []]);
  });

  test.each([
    ['POST', '/v2/evil.example/a/blobs/uploads/'],
    ['POST', '/v2/a/b/blobs/uploads/?ns=evil.example'],
    ['PUT', '/v2/a/b/manifests/v1?ns=evil.example'],
  ])('to a registry that is not allowed is refused: %s %s', async (method, path) => {
    const { port, bodies } = await takePushes();
    const answer = await ask(port, path, { method });
    expect([answer.status, codeOf(answer), bodies]).toEqual([403, 'DENIED', []]);
  });

  test('with Expect: 100-continue gets 100', async () => {
    const { port, bodies } = await takePushes();
    const socket = dial(port);
    socket.write(`PATCH ${UPLOAD} HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n`);
    const [said] = (await once(socket, 'data')) as [Buffer];
    expect(said.toString()).toMatch(/^HTTP\/1\.1 100 /);
    socket.write('abc');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect([answer.toString().split(' ')[1], bodies]).toEqual(['202', ['abc']]);
    socket.destroy();
  });

  test('has its trailers ignored', async () => {
    const { port, bodies } = await takePushes();
    const body = '3\r\nabc\r\n0\r\nAuthorization: Basic eA==\r\n\r\n';
    const head = `PATCH ${UPLOAD} HTTP/1.1\r\n${HOST}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n`;
    expect([statusesIn(await exchange(port, head + body)), bodies]).toEqual([[202], ['abc']]);
  });
});

describe('a HEAD before a push', () => {
  const MANIFEST = '/v2/library/app/manifests/latest';

  /** A mirror whose response cache has a manifest; how HEAD and GET ask the registry. */
  async function asking(mayPush: Admitted['mayPush'], push: PushForwarder | undefined) {
    const registry = createFakeRegistry();
    registry.putManifest({ schemaVersion: 2, manifests: [] }, { tag: 'latest' });
    const blob = registry.putBlob(Buffer.from('layer'));
    const { manifest } = registry;
    registry.manifest = async (...asked) => ({ ...(await manifest(...asked)), maxAgeMs: 60_000 });
    const admitted: Admitted = { kind: 'admitted', registry, key: '', ...(mayPush && { mayPush }) };
    const { port } = await serve({ gate: { admit: () => admitted }, ...(push && { push }) });
    await ask(port, MANIFEST);
    registry.forgetCalls();
    for (const method of ['HEAD', 'GET']) {
      expect((await ask(port, MANIFEST, { method })).status).toBe(200);
      expect((await ask(port, `/v2/library/app/blobs/${blob}`, { method })).status).toBe(200);
    }
    return registry.calls.map(({ method, options }) => [method, options.beforePush ?? false]);
  }
  const push: PushForwarder = { forward: async () => {} };

  test.each<[string, Admitted['mayPush'], boolean]>([
    ['that may push', () => true, true],
    ['of a mirror where everybody may push', undefined, true],
    ['that may not push', () => false, false],
    ['that may push to another repository', ({ name }) => name !== 'library/app', false],
  ])('of a client %s reaches the registry, which knows what is there: %s', async (_, mayPush, isAsked) => {
    expect(await asking(mayPush, push)).toEqual([
      ...(isAsked ? [['manifest', true]] : []),
      ['statBlob', isAsked],
      ['blob', false],
    ]);
  });

  test('is an ordinary one at a mirror that takes no pushes', async () => {
    expect(await asking(() => true, undefined)).toEqual([
      ['statBlob', false],
      ['blob', false],
    ]);
  });
});
