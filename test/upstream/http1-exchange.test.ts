import { get } from 'node:http';
import { Duplex } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parsePlainHead } from '../../src/upstream/http/blob-transport.ts';
import { cpuTimeMs } from '../support/cpu-time.ts';
import { FUZZ_RUNS } from '../support/fuzz.ts';

const head = (...lines: readonly string[]) => ['HTTP/1.1 200 OK', ...lines].join('\r\n');

describe('parsePlainHead()', () => {
  test.each([
    [200, 0],
    [201, undefined],
  ])('of a head with %d lines reads a body of %s bytes', (count, bodyBytes) => {
    const lines = Array.from({ length: count - 1 }, (_, at) => `x-${at}: y`);
    const text = ['HTTP/1.1 200 OK', ...lines, 'content-length: 0'].join('\r\n');
    expect(parsePlainHead(text)?.bodyBytes).toBe(bodyBytes);
  });

  test('parses responses that registries send', () => {
    const text = head(
      'Content-Type: application/octet-stream',
      'content-length: 42',
      'Link: <a>',
      'link:<b> ',
    );
    expect(parsePlainHead(text)).toEqual({
      status: 200,
      bodyBytes: 42,
      isKept: true,
      headers: {
        'content-type': ['application/octet-stream'],
        'content-length': ['42'],
        link: ['<a>', '<b>'],
      },
    });
  });

  test('refuses a head of only blanks as fast as any other', () => {
    // A hostile registry's way to stop every other pull: this took a fifth of a second for each response.
    const blanks = head(`x:${' '.repeat(16_000)}\x80`);
    const takenMs = cpuTimeMs(() => {
      for (let times = 0; times < 100; times += 1) expect(parsePlainHead(blanks)).toBeUndefined();
    });
    expect(takenMs).toBeLessThan(4000);
  });

  test.each([
    ['HTTP/1.1 206 Partial Content', 206],
    ['HTTP/1.1 404', 404],
    ['HTTP/1.1 307 ', 307],
  ])('reads %s', (line, status) => {
    expect(parsePlainHead(`${line}\r\ncontent-length: 0`)?.status).toBe(status);
  });

  test('detects a connection that is closed after the body', () => {
    expect(parsePlainHead(head('content-length: 1', 'Connection: Close'))?.isKept).toBe(false);
    expect(parsePlainHead(head('content-length: 1', 'connection: keep-alive'))?.isKept).toBe(true);
  });

  test('reads a header named like a property of Object as a header', () => {
    expect(parsePlainHead(head('content-length: 1', '__proto__: x', 'constructor: y'))?.bodyBytes).toBe(1);
  });

  test.each([
    ['no length', head('content-type: text/plain')],
    ['two lengths', head('content-length: 1', 'content-length: 2')],
    ['the same length twice', head('content-length: 1', 'content-length: 1')],
    ['a list of lengths', head('content-length: 1, 1')],
    ['a negative length', head('content-length: -1')],
    ['a signed length', head('content-length: +1')],
    ['a hexadecimal length', head('content-length: 0x10')],
    ['an empty length', head('content-length:')],
    ['a length beyond what numbers can hold', head('content-length: 9999999999999999')],
    ['chunks', head('transfer-encoding: chunked')],
    ['chunks beside a length', head('content-length: 1', 'Transfer-Encoding: chunked')],
    ['another protocol', head('content-length: 1', 'upgrade: h2c')],
    ['trailers', head('content-length: 1', 'trailer: x')],
    ['HTTP/1.0', 'HTTP/1.0 200 OK\r\ncontent-length: 1'],
    ['HTTP/2', 'HTTP/2 200 OK\r\ncontent-length: 1'],
    ['an interim response', 'HTTP/1.1 100 Continue\r\ncontent-length: 1'],
    ['no content', 'HTTP/1.1 204 No Content\r\ncontent-length: 1'],
    ['not modified', 'HTTP/1.1 304 Not Modified\r\ncontent-length: 1'],
    ['a status of four digits', 'HTTP/1.1 2000 OK\r\ncontent-length: 1'],
    ['a folded header', head('content-length: 1', 'x: a', ' b')],
    ['a space before the colon', head('content-length : 1')],
    ['a line without a colon', head('content-length: 1', 'nonsense')],
    ['a lone line feed', head('content-length: 1\nx: y')],
    ['a lone carriage return', head('content-length: 1', 'x: a\ry')],
    ['a NUL', head('content-length: 1', 'x: a\0b')],
    ['bytes beyond ASCII', head('content-length: 1', 'x: \xe4')],
    ['very many headers', head('content-length: 1', ...Array.from({ length: 300 }, () => 'x: y'))],
    ['nothing', ''],
  ])('leaves %s to undici', (_, text) => {
    expect(parsePlainHead(text)).toBeUndefined();
  });

  test('accepts only what Node’s own parser reads in the same way: both agree where a message ends', async () => {
    const name = fc.constantFrom(
      'content-length',
      'Content-Length',
      'connection',
      'x',
      'transfer-encoding',
      'y ',
    );
    const value = fc.oneof(
      fc.constantFrom('0', '5', '05', '1, 1', 'close', 'chunked', 'identity', '\t5 ', ''),
      fc.string({ unit: fc.constantFrom(...'ab0 \t,\r\n\0\xe4'), maxLength: 6 }),
    );
    const line = fc.tuple(name, fc.constantFrom(': ', ':', ' :', ''), value).map((parts) => parts.join(''));
    const status = fc.constantFrom('HTTP/1.1 200 OK', 'HTTP/1.1 206', 'HTTP/1.1 404 Not', 'HTTP/1.0 200 OK');
    await fc.assert(
      fc.asyncProperty(status, fc.array(line, { maxLength: 4 }), async (first, lines) => {
        const text = [first, 'content-length: 5', ...lines].join('\r\n');
        const parsed = parsePlainHead(text);
        fc.pre(parsed !== undefined);
        const said = await readByNode(`${text}\r\n\r\n`, parsed.bodyBytes);
        expect(said).toEqual({ status: parsed.status, bodyBytes: parsed.bodyBytes });
      }),
      { numRuns: FUZZ_RUNS },
    );
  });
});

/** What Node's HTTP client makes of this head with a body of that many bytes behind it. */
function readByNode(text: string, bodyBytes: number): Promise<unknown> {
  const wire = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() });
  return new Promise((resolve, reject) => {
    const request = get({ createConnection: () => wire }, (response) => {
      let received = 0;
      response.on('data', ({ length }: Buffer) => {
        received += length;
      });
      response.on('end', () => resolve({ status: response.statusCode, bodyBytes: received }));
    });
    request.on('error', reject);
    wire.push(Buffer.concat([Buffer.from(text, 'latin1'), Buffer.alloc(bodyBytes)]));
  });
}
