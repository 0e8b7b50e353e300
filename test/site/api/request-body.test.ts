import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { toApiProblem } from '../../../src/site/api/api-problem.ts';
import { readBodyBy, readBytes } from '../../../src/site/api/request-body.ts';
import { NEW_TOKEN } from '../../../src/site/api/resources.ts';
import { listenOnLoopback } from '../../support/loopback.ts';
import { afterTest } from '../../support/upstream.ts';

const BOUND = 64 * 1024;

/** A server that answers with the size of the body, or with the status of the problem. */
async function bodyServer(): Promise<number> {
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    try {
      response.end(`${(await readBytes(request, response)).length}\n`);
    } catch (error) {
      response.writeHead(toApiProblem(error).status).end();
    }
  };
  const server = createServer(answer).on('checkContinue', answer);
  const port = await listenOnLoopback(server);
  afterTest(() => void server.closeAllConnections());
  afterTest(() => new Promise((resolve) => void server.close(resolve)));
  return port;
}

/** Sends this on a connection of its own; answers what comes back until the server closes it or the pattern fits. */
async function send(text: string, until?: RegExp): Promise<string> {
  const socket = connect(await bodyServer(), '127.0.0.1').setEncoding('latin1');
  afterTest(() => void socket.destroy());
  // Bytes that the server no longer reads may reset the connection.
  socket.on('error', () => {});
  let received = '';
  const ended = new Promise<void>((resolve) => {
    socket.on('data', (more: string) => {
      received += more;
      if (until?.test(received)) resolve();
    });
    socket.once('close', () => resolve());
  });
  await once(socket, 'connect');
  socket.write(text);
  await ended;
  return received;
}

const withLength = (sizeBytes: number) =>
  `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${sizeBytes}\r\n\r\n${'a'.repeat(sizeBytes)}`;

/** In two chunks, of which the first alone is within the bound. */
const inChunks = (sizeBytes: number) => {
  const [first, second] = [Math.floor(sizeBytes / 2), Math.ceil(sizeBytes / 2)].map(
    (size) => `${size.toString(16)}\r\n${'a'.repeat(size)}`,
  );
  return `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${first}\r\n${second}\r\n0\r\n\r\n`;
};

describe.each([
  ['with its length', withLength],
  ['without its length', inChunks],
])('a body %s', (_, request) => {
  test('of 64 KiB is read, and its connection serves the next request', async () => {
    const received = await send(request(BOUND) + request(10), /\n10\n$/);
    expect(received.match(/^HTTP\/1\.1 \d+/gm)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 200']);
    expect(received).toContain('\n65536\n');
    expect(received).not.toMatch(/^connection: close/im);
  });

  test('of one byte more is refused, and its connection is closed', async () => {
    const received = await send(request(BOUND + 1) + request(10));
    expect(received.match(/^HTTP\/1\.1 \d+/gm)).toEqual(['HTTP/1.1 413']);
    expect(received).toMatch(/^connection: close\r$/im);
  });
});

test('a body whose Content-Length is too large is refused before a byte of it arrives', async () => {
  const head = `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${BOUND + 1}\r\nExpect: 100-continue\r\n\r\n`;
  expect(await send(head)).toMatch(/^HTTP\/1\.1 413 /);
});

test('a client that expects 100-continue gets it before it sends a byte of the body, and then the answer', async () => {
  // See https://www.rfc-editor.org/rfc/rfc9110#section-10.1.1.
  const headers = { expect: '100-continue', 'content-length': '10' };
  const asked = request({ port: await bodyServer(), host: '127.0.0.1', method: 'POST', headers });
  const answered = once(asked, 'response');
  asked.flushHeaders();
  await once(asked, 'continue');
  asked.end('a'.repeat(10));
  const [response] = await answered;
  expect([response.statusCode, await response.setEncoding('latin1').toArray()]).toEqual([200, ['10\n']]);
});

describe('the detail of a body of another form', () => {
  const detailOf = (written: unknown) => {
    try {
      return readBodyBy(NEW_TOKEN, written);
    } catch (error) {
      return JSON.parse(JSON.stringify(toApiProblem(error)));
    }
  };

  test.each([
    ['/push', { name: 'a', push: 1 }],
    ['/repositories/1', { name: 'a', repositories: ['a/*', '!'] }],
    ['/a~1b', { name: 'a', 'a/b': 1 }],
  ])('is the only wrong part: %s', (pointer, written) => {
    const { detail, errors } = detailOf(written);
    expect(errors).toMatchObject([{ pointer }]);
    expect(errors[0].detail).not.toBe('');
    expect(detail).toBe(`${pointer} ${errors[0].detail}`);
  });

  test('has no pointer where the whole body is wrong', () => {
    const { detail, errors } = detailOf([]);
    expect(errors).toMatchObject([{ pointer: '' }]);
    expect(detail).toBe(errors[0].detail);
  });

  test('is how many parts are wrong where there are several', () => {
    const { detail, errors } = detailOf({ name: '', push: 1 });
    expect(errors.map(({ pointer }: { pointer: string }) => pointer)).toEqual(['/name', '/push']);
    expect(detail).toMatch(/^2 /);
  });
});
