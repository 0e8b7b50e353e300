import { connect } from 'node:net';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { DOCKER_HUB, parseRepositoryName, parseSourceHost } from '../../src/oci/reference.ts';
import { RegistryError } from '../../src/oci/registry-error.ts';
import { createAcceptReader, isKnownToClient, isOwnHost } from '../../src/server/request-validation.ts';
import { parseRoute } from '../../src/server/routes.ts';
import { FUZZ_RUNS } from '../support/fuzz.ts';
import { closeOf } from '../support/loopback.ts';
import { ask, serve } from '../support/served.ts';

const RUNS = { numRuns: FUZZ_RUNS };
const DIGEST = digestOf(Buffer.from('x'));

const character = fc.constantFrom(...'abz09AZ._-:/@%?#&=+*\\ \t\u0000\r\n\u00e4~');
const word = fc.string({ unit: character, maxLength: 12 });
const piece = fc.oneof(
  { weight: 3, arbitrary: word },
  fc.constantFrom(
    'library',
    'app',
    'ghcr.io',
    'localhost:5000',
    '..',
    '%2e%2e',
    '',
    'manifests',
    'blobs',
    'tags',
  ),
  fc.constantFrom('list', 'referrers', 'latest', DIGEST, 'sha256:totallywrong', 'evil.example', '[::1]:80'),
);
const query = fc.oneof(
  fc.constant(''),
  fc
    .tuple(fc.constantFrom('ns', 'n', 'last', 'artifactType', 'x', 'NS'), piece)
    .map(([k, v]) => `?${k}=${v}`),
  word.map((text) => `?${text}`),
);
const component = fc.stringMatching(/^[a-z0-9]{1,8}(?:[._-][a-z0-9]{1,8})?$/);
const wellFormed = fc
  .tuple(
    fc.array(component, { minLength: 1, maxLength: 4 }),
    fc.constantFrom('manifests/latest', `manifests/${DIGEST}`, `blobs/${DIGEST}`, 'tags/list'),
  )
  .map(([path, rest]) => `/v2/${path.join('/')}/${rest}`);
const target = fc.oneof(
  wellFormed,
  fc.tuple(fc.array(piece, { maxLength: 6 }), query).map(([path, rest]) => `/v2/${path.join('/')}${rest}`),
  fc.string({ maxLength: 200 }),
);

describe('any request target', () => {
  test('is parsed as a route with well-formed names, or as an error of the spec', () => {
    const seen = { routes: 0, errors: 0 };
    fc.assert(
      fc.property(target, (text) => {
        try {
          const route = parseRoute(text, DOCKER_HUB);
          if (!('repository' in route)) return;
          seen.routes += 1;
          const { host, name } = route.repository;
          expect(parseRepositoryName(name)).toBe(name);
          expect(name.split('/')).not.toContain('..');
          expect(parseSourceHost(host)).toBe(host);
        } catch (error) {
          if (!(error instanceof RegistryError)) throw error;
          seen.errors += 1;
          expect([400, 404]).toContain(error.status);
        }
      }),
      RUNS,
    );
    expect(seen.routes).toBeGreaterThan(FUZZ_RUNS / 20);
    expect(seen.errors).toBeGreaterThan(FUZZ_RUNS / 5);
  });

  test('that is parsed as a route is formatted to the same text', () => {
    fc.assert(
      fc.property(fc.array(component, { minLength: 2, maxLength: 5 }), component, (path, tag) => {
        fc.pre(!path[0]?.includes('.') && path[0] !== 'localhost');
        const route = parseRoute(`/v2/${path.join('/')}/manifests/${tag}`, DOCKER_HUB);
        expect(route).toMatchObject({
          kind: 'manifest',
          repository: { name: path.join('/') },
          reference: { tag },
        });
      }),
      RUNS,
    );
  });
});

describe('any header', () => {
  const host = fc.constantFrom(
    'localhost',
    '127.0.0.1',
    '[::1]',
    'LOCALHOST',
    'evillocalhost',
    '127.0.0.1.evil',
  );
  const port = fc.constantFrom('', ':', ':80', ':65535', ':65536', ':x', '@x');
  const entityTag = fc.constantFrom(DIGEST, `"${DIGEST}"`, `W/"${DIGEST}"`, '*', `"${DIGEST}`, '"other"');
  const value = fc.oneof(
    fc.tuple(host, port).map((parts) => parts.join('')),
    fc.array(entityTag, { minLength: 1, maxLength: 3 }).map((tags) => tags.join(', ')),
    fc.string({ maxLength: 100 }),
    fc.array(piece).map((parts) => parts.join(',')),
  );

  test('Accept, If-None-Match and Host are parsed without an error', () => {
    const acceptsIndex = createAcceptReader();
    const seen = { known: 0, own: 0 };
    fc.assert(
      fc.property(value, (text) => {
        expect(acceptsIndex(text)).toBe(acceptsIndex(text));
        if (isKnownToClient(text, DIGEST)) {
          seen.known += 1;
          expect(text.includes(DIGEST) || text.includes('*')).toBe(true);
        }
        if (isOwnHost(text, [])) {
          seen.own += 1;
          expect(text.toLowerCase()).toMatch(/^(localhost|[\d.]+|\[[\da-f:.]+\])(:\d*)?$/);
        }
      }),
      RUNS,
    );
    expect(seen.known).toBeGreaterThan(FUZZ_RUNS / 50);
    expect(seen.own).toBeGreaterThan(FUZZ_RUNS / 50);
  });

  test('Range gives exactly the bytes that it says, or all of them, or 416', async () => {
    const { port, registry } = await serve();
    const bytes = Buffer.from(
      Array.from({ length: 1000 }, (_, position) => (position * 31 + (position >> 3)) % 251),
    );
    const digest = registry.putBlob(bytes);
    const bound = fc.oneof(
      fc.nat(1100).map(String),
      fc.constantFrom('', '-1', '99999999999999999999', 'x', ' 5'),
    );
    const range = fc.tuple(fc.constantFrom('bytes', 'Bytes', 'lines', ''), bound, bound);
    const statuses = { 200: 0, 206: 0, 416: 0 };
    await fc.assert(
      fc.asyncProperty(range, async ([unit, first, last]) => {
        const answer = await ask(port, `/v2/a/b/blobs/${digest}`, {
          headers: { range: `${unit}=${first}-${last}` },
        });
        expect(Object.keys(statuses)).toContain(String(answer.status));
        statuses[answer.status as keyof typeof statuses] += 1;
        if (answer.status === 200) {
          expect(answer.body.equals(bytes)).toBe(true);
          return;
        }
        if (answer.status === 416) {
          expect(answer.headers['content-range']).toBe('bytes */1000');
          return;
        }
        expect(answer.status).toBe(206);
        const [, start, end] =
          /^bytes (\d+)-(\d+)\/1000$/.exec(String(answer.headers['content-range'])) ?? [];
        expect(answer.body.equals(bytes.subarray(Number(start), Number(end) + 1))).toBe(true);
        expect(answer.body.length).toBeGreaterThan(0);
      }),
      RUNS,
    );
    for (const count of Object.values(statuses)) expect(count).toBeGreaterThan(FUZZ_RUNS / 50);
  });
});

describe('any bytes on a connection', () => {
  const line = fc.oneof(
    fc
      .tuple(
        fc.constantFrom('GET', 'HEAD', 'PUT', 'get', ''),
        target,
        fc.constantFrom('HTTP/1.1', 'HTTP/1.0', 'HTTP/9'),
      )
      .map((parts) => parts.join(' ')),
    fc.string({ maxLength: 80 }),
  );
  const header = fc.oneof(
    fc
      .tuple(
        fc.constantFrom('Host', 'Accept', 'Range', 'Via', 'Content-Length', 'Transfer-Encoding', 'X'),
        word,
      )
      .map(([name, text]) => `${name}: ${text}`),
    word,
  );
  const message = fc
    .tuple(line, fc.array(header, { maxLength: 5 }))
    .map(([first, headers]) => [first, ...headers, 'Connection: close', '', ''].join('\r\n'));

  test('get an HTTP response or close the connection, and the next client is served', async () => {
    const { port, log } = await serve({ limits: { headersTimeoutMs: 1000 } });
    const seen = { answered: 0, refused: 0 };
    await fc.assert(
      fc.asyncProperty(message, async (bytes) => {
        const socket = connect(port, '127.0.0.1');
        socket.on('error', () => {
          // Cut while we still wrote: that is an answer, too.
        });
        let received = '';
        socket.on('data', (chunk) => {
          received += chunk.toString('latin1');
        });
        // Not ended: a client that closes its half has left, and is not answered.
        socket.write(Buffer.from(bytes, 'utf8'));
        await closeOf(socket);
        expect(received).toMatch(/^HTTP\/1\.1 [2-5]\d\d /);
        expect(received).not.toMatch(/^HTTP\/1\.1 500 /);
        seen[received.startsWith('HTTP/1.1 400') ? 'refused' : 'answered'] += 1;
      }),
      RUNS,
    );
    expect(seen.answered).toBeGreaterThan(FUZZ_RUNS / 50);
    expect(seen.refused).toBeGreaterThan(FUZZ_RUNS / 50);
    expect((await ask(port, '/v2/')).status).toBe(200);
    expect(log.filter(({ level }) => level === 'error')).toEqual([]);
  });
});
