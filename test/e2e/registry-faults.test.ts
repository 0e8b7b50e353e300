import { once } from 'node:events';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { startBlackHole } from '../support/black-hole.ts';
import { type Handler, serveContent } from '../support/hostile-registry.ts';
import { startMetahub } from '../support/metahub.ts';
import { ask, codeOf } from '../support/served.ts';
import { type HeldImage, startWholeMirror, type WholeMirror } from '../support/whole-mirror.ts';
import { openWorkplace } from '../support/workplace.ts';

// What a runtime sees of a failing registry through the whole mirror, a process of its own.

const workplace = openWorkplace();
let mirror: WholeMirror;
beforeAll(async () => {
  mirror = await startWholeMirror(workplace);
});
afterAll(() => workplace.close());

const manifestPath = ({ tag }: HeldImage) => `/v2/team/app/manifests/${tag}`;
const blobPath = ({ layer }: HeldImage) => `/v2/team/app/blobs/${layer}`;

/** Asks for an image as a runtime does: it comes as it was, by a tag that is said to be stale. */
async function expectStale(port: number, image: HeldImage): Promise<void> {
  for (const method of ['HEAD', 'GET']) {
    const { status, headers } = await ask(port, manifestPath(image), { method });
    expect([status, headers['docker-content-digest']]).toEqual([200, image.manifest]);
    expect(headers['warning']).toMatch(/^110 /);
  }
  const byDigest = await ask(port, `/v2/team/app/manifests/${image.manifest}`);
  expect([byDigest.status, digestOf(byDigest.body)]).toEqual([200, image.manifest]);
  const blob = await ask(port, blobPath(image));
  expect([blob.status, blob.body.equals(image.layerBytes)]).toEqual([200, true]);
}

async function pull(port: number, image: HeldImage): Promise<void> {
  expect((await ask(port, manifestPath(image))).status).toBe(200);
  expect((await ask(port, blobPath(image))).body.equals(image.layerBytes)).toBe(true);
}

/** An image that was pulled once is served while the registry behaves like this; one that was not is an error. */
async function expectHeldServed(handler: Handler, statuses: readonly number[] = [502]): Promise<void> {
  const [held, unknown] = [mirror.push(), mirror.push()];
  mirror.behave(undefined);
  await pull(mirror.port, held);
  mirror.behave(handler);
  try {
    await expectStale(mirror.port, held);
    const refused = await ask(mirror.port, manifestPath(unknown));
    expect(statuses).toContain(refused.status);
    expect(codeOf(refused)).toBeDefined();
  } finally {
    mirror.behave(undefined);
  }
  // What failed is forgotten as soon as it no longer fails.
  await pull(mirror.port, unknown);
}

const answer =
  (status: number, headers: Readonly<Record<string, string>>, body: string | Buffer): Handler =>
  ({ method }, response) => {
    response.writeHead(status, { 'content-length': Buffer.byteLength(body), ...headers });
    response.end(method === 'HEAD' ? undefined : body);
  };

describe('fault 4: response headers never come', () => {
  test('a stored tag is served stale, after the time limit for a response head', () =>
    expectHeldServed(() => {}, [504]));
});

describe('fault 12: not JSON', () => {
  test('a stored tag is served stale', () =>
    expectHeldServed(answer(200, { 'content-type': MEDIA_TYPE.ociIndex }, 'not found, sorry')));
});

describe('fault 13: 100 MB of JSON', () => {
  test('a stored tag is served stale', () => {
    const filler = Buffer.alloc(1024 * 1024, ' ');
    return expectHeldServed(async (_, response) => {
      response.writeHead(200, { 'content-type': MEDIA_TYPE.ociIndex });
      for (let sent = 0; sent < 100 && !response.destroyed; sent += 1) {
        if (!response.write(filler)) await Promise.race([once(response, 'drain'), once(response, 'close')]);
      }
      response.end('{}');
    });
  });
});

describe('fault 19: redirect loop', () => {
  test('a stored tag is served stale', () =>
    expectHeldServed((request, response) => {
      response.writeHead(307, { location: request.url ?? '/' }).end();
    }));
});

describe('fault 20: redirect to a metadata address or loopback', () => {
  test('a stored tag is served stale, and no request goes there', () =>
    expectHeldServed(answer(307, { location: 'http://169.254.169.254/latest/meta-data/' }, '')));
});

describe('fault 23: 429 with Retry-After', () => {
  test('a stored tag is served stale; for another tag the client learns when to retry', () =>
    expectHeldServed(answer(429, { 'retry-after': '1' }, '{"errors":[{"code":"TOOMANYREQUESTS"}]}'), [429]));
});

// A 401 must carry a challenge (RFC 9110 15.5.2), and the registry's own is of no use at the mirror: the answer is 403.
describe('fault 24: 401 for ever', () => {
  test('a stored tag is served stale', () =>
    expectHeldServed(answer(401, { 'www-authenticate': 'Basic realm="x"' }, ''), [403]));

  test('403 for ever: a stored tag is served stale', () =>
    expectHeldServed(answer(403, {}, 'denied'), [403]));
});

describe('fault 26: garbage challenge', () => {
  test('a stored tag is served stale', () =>
    expectHeldServed(answer(401, { 'www-authenticate': '",=,Bearer' }, ''), [403]));
});

describe('fault 27: 500, then well', () => {
  test.each([500, 502, 503])('a stored tag is served stale while the registry answers %d', (status) =>
    expectHeldServed(answer(status, {}, 'not now'), [502, 503, 504]),
  );
});

describe('fault 29: captive portal', () => {
  test('a stored tag is served stale', () =>
    expectHeldServed(answer(200, { 'content-type': 'text/html' }, '<!DOCTYPE html><title>Hotel</title>')));
});

describe('fault 30: gzip bomb', () => {
  test('a stored tag is served stale', () =>
    expectHeldServed(
      answer(
        200,
        { 'content-type': MEDIA_TYPE.ociIndex, 'content-encoding': 'gzip' },
        gzipSync(Buffer.alloc(10_000_000)),
      ),
    ));
});

describe('fault 10: wrong digest', () => {
  test('no complete answer has wrong bytes, and no wrong byte is stored', async () => {
    const honest = serveContent(mirror.content);
    const [small, large] = [mirror.push(1000), mirror.push(3_000_000)];
    mirror.behave((request, response) => {
      if (!/\/blobs\//.test(request.url ?? '')) return honest(request, response);
      const bytes = Buffer.from(mirror.content.blobs.get((request.url ?? '').split('/').at(-1) ?? '') ?? '');
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
      response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
    });
    // Cut before the first byte of it, and before the last.
    await expect(ask(mirror.port, blobPath(small))).rejects.toThrow('socket hang up');
    await expect(ask(mirror.port, blobPath(large))).rejects.toThrow('aborted');
    mirror.behave(undefined);
    await pull(mirror.port, small);
    await pull(mirror.port, large);
  });
});

describe('a registry that is gone', () => {
  let image: HeldImage;
  beforeAll(async () => {
    image = mirror.push();
    await pull(mirror.port, image);
    await mirror.closeRegistry();
  });

  /** Another mirror on the same data, in front of a registry that is elsewhere. */
  async function expectStaleFrom(upstream: string): Promise<void> {
    await mirror.metahub.stop();
    const { url, stop } = await startMetahub(workplace, { upstream });
    await expectStale(Number(new URL(url).port), image);
    expect(await stop()).toBe(0);
  }

  test('fault 1: connection refused: a stored tag is served stale', async () => {
    await expectStale(mirror.port, image);
  });

  test('fault 2: name not found: a stored tag is served stale, also after a restart', () =>
    expectStaleFrom('http://registry.invalid:5000'));

  test('fault 3: connect black hole: a stored tag is served stale', async () => {
    const hole = await startBlackHole();
    workplace.onClose(hole.close);
    await expectStaleFrom(`http://127.0.0.1:${hole.port}`);
  });

  test('fault 28: bad or expired certificate: a stored tag is served stale', async () => {
    // A registry that speaks no TLS at all has the worst certificate.
    const plain = await startWholeMirror(workplace);
    await expectStaleFrom(`https://127.0.0.1:${plain.port}`);
  });
});
