import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { toApiProblem } from '../../../src/site/api/api-problem.ts';
import { readBytes } from '../../../src/site/api/request-body.ts';
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
