import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { freePort } from '../support/loopback.ts';
import { startMetahub } from '../support/metahub.ts';
import { ask, codeOf, dial, exchange } from '../support/served.ts';
import { type HeldImage, startWholeMirror, type WholeMirror } from '../support/whole-mirror.ts';
import { openWorkplace } from '../support/workplace.ts';

// What clients can do to `metahub serve`, a process of its own, with its cache and its registry.

const workplace = openWorkplace();
let mirror: WholeMirror;
let image: HeldImage;
beforeAll(async () => {
  mirror = await startWholeMirror(workplace);
  image = mirror.push(5000);
});
afterAll(() => workplace.close());

const manifestPath = ({ tag }: HeldImage) => `/v2/team/app/manifests/${tag}`;
const blobPath = ({ layer }: HeldImage) => `/v2/team/app/blobs/${layer}`;

/** Whatever was done: the next client is served, by the same process. */
async function expectServing(): Promise<void> {
  const { pid } = mirror.metahub;
  expect((await ask(mirror.port, blobPath(image))).body.equals(image.layerBytes)).toBe(true);
  process.kill(pid, 0);
  expect(mirror.metahub.log()).not.toMatch(/"level":"error"/);
}

/** The status of the first answer to bytes that are sent as they are. */
async function statusOf(...writes: (string | Buffer)[]): Promise<number> {
  return Number(/^HTTP\/1\.1 (\d+)/.exec(await exchange(mirror.port, ...writes))?.[1]);
}

const rawRequest = (target: string, head = '') =>
  `GET ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n${head}\r\n`;

describe('fault 47: slowloris', () => {
  test('two hundred headers that never end delay no other client of a mirror', async () => {
    const slow = Array.from({ length: 200 }, () => dial(mirror.port));
    for (const socket of slow) socket.write('GET /v2/ HTTP/1.1\r\nX-Slow: ');
    await Promise.all(slow.map((socket) => (socket.connecting ? once(socket, 'connect') : undefined)));
    await expectServing();
    for (const socket of slow) socket.destroy();
  });
});

describe('fault 48: header overflow', () => {
  test('a mirror answers 431, and serves the next client', async () => {
    expect(await statusOf(rawRequest('/v2/', `X-Long: ${'x'.repeat(100_000)}\r\n`))).toBe(431);
    await expectServing();
  });
});

describe('fault 49: a URL of 1 MB', () => {
  test('a mirror refuses the URL, and serves the next client', async () => {
    expect([414, 431]).toContain(await statusOf(rawRequest(`/v2/${'a'.repeat(1_000_000)}/manifests/x`)));
    await expectServing();
  });
});

describe('fault 50: %2e%2e, NUL', () => {
  test.each([
    '/v2/%2e%2e/%2e%2e/etc/passwd',
    '/v2/team/../../blobs/x',
    '/v2/team/app/manifests/..%2f..%2fsecret',
    '/v2/team%00/app/manifests/latest',
    '/v2//team/app/manifests/latest',
    '/v2/team/app/blobs/sha256:..%2f..%2foci-layout',
    `/v2/team/app/blobs/sha256:${'0'.repeat(63)}/`,
    '\\v2\\team\\app\\manifests\\latest',
  ])('a mirror refuses %s without a request to the registry', async (target) => {
    const before = mirror.requests().length;
    expect([400, 404]).toContain(await statusOf(rawRequest(target)));
    expect(mirror.requests()).toHaveLength(before);
    await expectServing();
  });
});

describe('fault 51: a bad repository name', () => {
  test.each(['TEAM/app', 'team/-app', 'team/app_', 'te..am/app', `${'a'.repeat(300)}/b`])(
    'a mirror answers %s with NAME_INVALID, without a request to the registry',
    async (name) => {
      const before = mirror.requests().length;
      const answer = await ask(mirror.port, `/v2/${name}/manifests/latest`);
      expect([answer.status, codeOf(answer)]).toEqual([400, 'NAME_INVALID']);
      expect(mirror.requests()).toHaveLength(before);
    },
  );
});

describe('fault 52: ns= of a host that is not allowed', () => {
  test.each([
    '169.254.169.254',
    'localhost',
    '127.0.0.1:22',
    'evil.example',
    '[::1]:80',
    'docker.io.evil.example',
  ])('a mirror refuses %s in ns and in the path, without a request to any registry', async (host) => {
    const before = mirror.requests().length;
    const byQuery = await ask(mirror.port, `/v2/team/app/manifests/latest?ns=${encodeURIComponent(host)}`);
    expect([400, 403]).toContain(byQuery.status);
    const byPath = await ask(mirror.port, `/v2/${host}/team/app/manifests/latest`);
    expect([400, 403]).toContain(byPath.status);
    expect(mirror.requests()).toHaveLength(before);
  });
});

describe('fault 53: a loop of mirrors', () => {
  test('a mirror that is its own registry answers 508 at once', async () => {
    const port = await freePort();
    const place = openWorkplace();
    workplace.onClose(place.close);
    await startMetahub(place, {
      upstream: `http://127.0.0.1:${port}`,
      args: ['--listen', `127.0.0.1:${port}`],
    });
    const { status } = await ask(port, '/v2/team/app/manifests/latest');
    expect([502, 508]).toContain(status);
    // Once to itself, and not a second time.
    const metrics = (await ask(port, '/metrics')).body.toString();
    const requests = [...metrics.matchAll(/^metahub_requests_total\{kind="manifest".*\} (\d+)$/gm)];
    const answered = requests.reduce((sum, [, count]) => sum + Number(count), 0);
    expect(answered).toBeGreaterThan(1);
    expect(answered).toBeLessThan(10);
  });

  test('two mirrors that are each other’s registry answer 508', async () => {
    const ports = [await freePort(), await freePort()];
    for (const [index, port] of ports.entries()) {
      const place = openWorkplace();
      workplace.onClose(place.close);
      const upstream = `http://127.0.0.1:${ports[1 - index]}`;
      await startMetahub(place, { upstream, args: ['--listen', `127.0.0.1:${port}`] });
    }
    expect([502, 508]).toContain((await ask(ports[0] ?? 0, '/v2/team/app/manifests/latest')).status);
  });
});

describe('fault 54: Range edges, overflow', () => {
  test.each([
    ['bytes=0-0', 206, 0, 1],
    ['bytes=4999-', 206, 4999, 5000],
    ['bytes=-1', 206, 4999, 5000],
    ['bytes=-99999999999999999999', 206, 0, 5000],
    ['bytes=10-99999999999999999999', 206, 10, 5000],
    ['bytes=5000-', 416, 0, 0],
    ['bytes=18446744073709551615-', 416, 0, 0],
    ['bytes=-0', 416, 0, 0],
    ['bytes=0-1,3-4', 200, 0, 5000],
  ])('a mirror answers %s of a stored blob with %d', async (range, status, start, end) => {
    await expectServing();
    const answer = await ask(mirror.port, blobPath(image), { headers: { range } });
    expect(answer.status).toBe(status);
    if (status !== 416) expect(answer.body.equals(image.layerBytes.subarray(start, end))).toBe(true);
  });
});

describe('fault 55: HEAD equals GET', () => {
  test('a mirror answers HEAD and GET equally for tag, digest and blob, before they are stored and after', async () => {
    const fresh = mirror.push();
    const paths = [manifestPath(fresh), `/v2/team/app/manifests/${fresh.manifest}`, blobPath(fresh)];
    const headersOf = ({ date: _, age: __, ...rest }: Readonly<Record<string, unknown>>) => rest;
    for (const round of ['not held', 'held']) {
      for (const path of paths) {
        const head = await ask(mirror.port, path, { method: 'HEAD' });
        const get = await ask(mirror.port, path);
        expect([round, head.status, headersOf(head.headers)]).toEqual([round, 200, headersOf(get.headers)]);
        expect(digestOf(get.body)).toBe(get.headers['docker-content-digest']);
      }
    }
  });
});

describe('fault 56: If-None-Match', () => {
  test('a mirror answers 304 for what the client has, and does not fetch it from the registry', async () => {
    await ask(mirror.port, manifestPath(image));
    for (const [path, digest] of [
      [manifestPath(image), image.manifest],
      [blobPath(image), image.layer],
    ] as const) {
      const before = mirror.requests().length;
      const { status, body } = await ask(mirror.port, path, { headers: { 'if-none-match': `"${digest}"` } });
      expect([status, body.length]).toEqual([304, 0]);
      expect(
        mirror
          .requests()
          .slice(before)
          .filter((line) => line.startsWith('GET')),
      ).toEqual([]);
    }
  });
});

describe('fault 57: PUT, POST, DELETE, PATCH', () => {
  test.each(['PUT', 'POST', 'DELETE', 'PATCH'])('a mirror passes %s on to no registry', async (method) => {
    const before = mirror.requests().length;
    const answer = await ask(mirror.port, '/v2/team/app/manifests/latest', { method });
    expect([answer.status, codeOf(answer)]).toEqual([405, 'UNSUPPORTED']);
    expect(mirror.requests()).toHaveLength(before);
  });
});

describe('fault 58: Host rebinding', () => {
  test.each(['/', '/status.json', '/metrics', '/v2/', 'the tag', 'the layer'])(
    'a mirror refuses %s under a foreign Host, and answers it under its own',
    async (what) => {
      const path = { 'the tag': manifestPath(image), 'the layer': blobPath(image) }[what] ?? what;
      const { status } = await ask(mirror.port, path, { headers: { host: 'rebound.example' } });
      expect(status).toBe(403);
      expect((await ask(mirror.port, path)).status).toBe(200);
    },
  );
});

describe('fault 59: CRLF in a header', () => {
  test('a line break in a document, as the value of a header of the mirror, ends no header', async () => {
    const document = {
      schemaVersion: 2,
      mediaType: 'application/x\r\nX-Injected: yes',
      config: { mediaType: MEDIA_TYPE.ociConfig, digest: image.layer, size: 5000 },
      layers: [],
    };
    const digest = mirror.content.putManifest(document, 'application/json', 'odd');
    const received = await exchange(mirror.port, rawRequest('/v2/team/app/manifests/odd'));
    expect(received).toMatch(/^HTTP\/1\.1 200 /);
    expect(received).toContain(`\r\nDocker-Content-Digest: ${digest}\r\n`);
    expect(received).toMatch(/\r\nContent-Type: application\/octet-stream\r\n/i);
    expect(received).not.toMatch(/^X-Injected/im);
    await expectServing();
  });
});

describe('fault 60: a slow reader', () => {
  const residentMib = () => {
    const status = readFileSync(`/proc/${mirror.metahub.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024;
  };

  test('thirty-two readers that stand still use no more than their share of a mirror’s memory', async () => {
    const large = mirror.push(48 * 2 ** 20);
    await ask(mirror.port, blobPath(image));
    const before = residentMib();
    const readers = Array.from({ length: 32 }, () => dial(mirror.port).pause());
    for (const socket of readers) socket.write(rawRequest(blobPath(large)));
    // Held in the meantime: whoever reads gets it whole.
    expect(digestOf((await ask(mirror.port, blobPath(large))).body)).toBe(large.layer);
    expect(residentMib() - before).toBeLessThan(128);
    for (const socket of readers) socket.destroy();
  });
});
