import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import type { Tag } from '../../src/oci/reference.ts';
import type { Admission } from '../../src/oci/registry.ts';
import { RegistryError } from '../../src/oci/registry-error.ts';
import type { PreparedManifest } from '../../src/server/manifests.ts';
import { createResponseCache } from '../../src/server/manifests.ts';
import { createAcceptReader } from '../../src/server/request-validation.ts';
import type { ManifestRoute } from '../../src/server/routes.ts';
import { createFakeRegistry, type FakeRegistry } from '../support/fake-registry.ts';
import { ask, exchange, openGate, serve } from '../support/served.ts';
import { repository } from '../support/upstream.ts';

const PATH = '/v2/library/app/manifests/latest';

/** Tags of this registry may be answered again for `maxAgeMs`. */
function aged(maxAgeMs: number): FakeRegistry {
  const registry = createFakeRegistry();
  registry.putManifest({ schemaVersion: 2, manifests: [] }, { tag: 'latest' });
  const { manifest } = registry;
  registry.manifest = async (...asked) => ({ ...(await manifest(...asked)), maxAgeMs });
  return registry;
}

const serveAged = async (maxAgeMs: number) => {
  const registry = aged(maxAgeMs);
  return { ...(await serve({ gate: openGate(registry) })), registry };
};

describe('a cached manifest', () => {
  test.each([
    ['a malformed Host', 'Host: a b'],
    [
      'several Authorization headers',
      'Host: localhost\r\nAuthorization: Basic YTph\r\nAuthorization: Basic Yjpi',
    ],
  ])('is not sent to a request with %s, which is refused', async (_, lines) => {
    const { port } = await serve({ gate: openGate(aged(60_000)), hasLogins: true });
    const get = (headers: string) =>
      exchange(port, `GET ${PATH} HTTP/1.1\r\n${headers}\r\nConnection: close\r\n\r\n`);
    for (let round = 0; round < 2; round += 1) expect(await get('Host: localhost')).toContain(' 200 OK');
    expect(await get(lines)).toContain(' 400 Bad Request');
  });

  test('is sent from memory, to GET and HEAD alike', async () => {
    const { port, registry } = await serveAged(60_000);
    const first = await ask(port, PATH);
    for (let round = 0; round < 3; round += 1) {
      const again = await ask(port, PATH);
      expect(again.body.equals(first.body)).toBe(true);
      expect((await ask(port, PATH, { method: 'HEAD' })).status).toBe(200);
    }
    expect(registry.count()).toBe(1);
  });

  test('is requested again when its lifetime has ended, or when it had none', async () => {
    for (const maxAgeMs of [0, 1]) {
      const { port, registry } = await serveAged(maxAgeMs);
      await ask(port, PATH);
      await expect
        .poll(async () => {
          await ask(port, PATH);
          return registry.count();
        })
        .toBeGreaterThan(1);
    }
  });

  test('is not sent to a client that accepts no index, nor the other way round', async () => {
    const { port, registry } = await serveAged(60_000);
    for (const accept of ['*/*', MEDIA_TYPE.ociManifest, MEDIA_TYPE.ociIndex, MEDIA_TYPE.dockerManifest]) {
      await ask(port, PATH, { headers: { accept } });
    }
    expect(registry.calls.map(({ options }) => options.acceptsIndex)).toEqual([true, false]);
  });

  test.each([
    ['another Host', 'Host: evil.example\r\n', 403],
    ['two Hosts', 'Host: 127.0.0.1\r\nHost: 127.0.0.1\r\n', 400],
    ['no Host', '', 400],
    ['a web page of another site', 'Host: 127.0.0.1\r\nSec-Fetch-Site: cross-site\r\n', 403],
    ['a web page of another origin', 'Host: 127.0.0.1\r\nOrigin: https://evil.example\r\n', 403],
    ['a malformed Via', 'Host: 127.0.0.1\r\nVia: x\r\n', 400],
    ['an expectation', 'Host: 127.0.0.1\r\nExpect: the-impossible\r\n', 417],
    ['a body', 'Host: 127.0.0.1\r\nContent-Length: 5\r\n', 400],
    ['a body in chunks', 'Host: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n', 400],
  ])('is not sent to a request with %s', async (_, headers, status) => {
    const { port } = await serveAged(60_000);
    expect((await ask(port, PATH)).status).toBe(200);
    const received = await exchange(port, `GET ${PATH} HTTP/1.1\r\n${headers}Connection: close\r\n\r\n`);
    expect(received).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  });

  test('is not sent to a request of another version of HTTP', async () => {
    const { port } = await serveAged(60_000);
    expect((await ask(port, PATH)).status).toBe(200);
    const received = await exchange(port, `GET ${PATH} HTTP/2.0\r\nHost: 127.0.0.1\r\n\r\n`);
    expect(received).toMatch(/^HTTP\/1\.1 505 /);
  });

  test('is a different one for a different source host', async () => {
    const { port, registry } = await serveAged(60_000);
    await ask(port, PATH);
    await ask(port, `${PATH}?ns=ghcr.io`);
    await ask(port, '/v2/ghcr.io/library/app/manifests/latest');
    expect(registry.calls.map(({ repository }) => repository)).toEqual([
      'docker.io/library/app',
      'ghcr.io/library/app',
      'ghcr.io/library/app',
    ]);
  });

  test('gives 304 when the client has it', async () => {
    const { port, registry } = await serveAged(60_000);
    const { etag } = (await ask(port, PATH)).headers;
    const again = await ask(port, PATH, { headers: { 'if-none-match': String(etag) } });
    expect([again.status, registry.count()]).toEqual([304, 1]);
  });

  test('is requested again after invalidate(), also when a request was in progress', async () => {
    const { port, registry, server } = await serveAged(60_000);
    await ask(port, PATH);
    server.invalidate();
    registry.before = () => server.invalidate();
    await ask(port, PATH);
    registry.before = () => {};
    await ask(port, PATH);
    await ask(port, PATH);
    expect(registry.count()).toBe(3);
  });

  test.each(['no-cache', 'max-age=0', 'no-store, No-Cache'])(
    'is requested again with Cache-Control: %s, with revalidation at the registry',
    async (value) => {
      const { port, registry } = await serveAged(60_000);
      await ask(port, PATH);
      await ask(port, PATH, { headers: { 'cache-control': value } });
      expect(registry.calls.map(({ options }) => options.revalidate)).toEqual([false, true]);
    },
  );

  test('is requested again when its tag has moved, under every name', async () => {
    const { port, registry, server } = await serveAged(60_000);
    const targets = [PATH, '/v2/docker.io/library/app/manifests/latest', `${PATH}?ns=docker.io`];
    for (const target of targets) await ask(port, target);
    server.invalidateTag(repository('library/app', 'docker.io'), 'other' as Tag);
    for (const target of targets) await ask(port, target);
    expect(registry.count()).toBe(3);
    server.invalidateTag(repository('library/app', 'docker.io'), 'latest' as Tag);
    for (const target of targets) await ask(port, target);
    expect(registry.count()).toBe(6);
  });

  test('does not make the server accept a loop, a body or a missing Host', async () => {
    const { port } = await serveAged(60_000);
    await ask(port, PATH);
    const statusWith = async (headers: Record<string, string>) => (await ask(port, PATH, { headers })).status;
    expect(await statusWith({ via: '1.1 metahub-test' })).toBe(508);
    expect(await statusWith({ 'content-length': '5' })).toBe(400);
  });
});

describe('access to it is checked for every request', () => {
  const refused: Admission = {
    kind: 'refused',
    error: new RegistryError('UNAUTHORIZED', 'log in first', {
      headers: { 'www-authenticate': 'Basic realm="metahub"' },
    }),
  };

  test.each(['at once', 'later'])('by a gate that returns %s', async (when) => {
    const registries = new Map(['anna', 'bert'].map((name) => [name, aged(60_000)]));
    const admissionOf = (name: string | undefined): Admission => {
      const registry = registries.get(name ?? '');
      return registry ? { kind: 'admitted', registry, key: `for ${name}`, login: name ?? '' } : refused;
    };
    const { port, log } = await serve({
      gate: {
        admit: ({ headers }) => {
          const admission = admissionOf(headers.authorization);
          return when === 'later' ? Promise.resolve(admission) : admission;
        },
      },
    });
    const statusAs = async (authorization?: string) =>
      (await ask(port, PATH, authorization === undefined ? {} : { headers: { authorization } })).status;
    for (let round = 0; round < 3; round += 1) {
      expect(await statusAs('anna')).toBe(200);
      expect(await statusAs('bert')).toBe(200);
      expect(await statusAs('mallory')).toBe(401);
      expect(await statusAs()).toBe(401);
    }
    for (const registry of registries.values()) expect(registry.count()).toBe(when === 'later' ? 3 : 1);
    const challenge = await ask(port, '/v2/');
    expect([challenge.status, challenge.headers['www-authenticate']]).toEqual([401, 'Basic realm="metahub"']);
    expect(JSON.stringify(log)).not.toContain('mallory');
  });

  test('invalidate() of one key makes its manifests be requested again, and no others', async () => {
    const registries = new Map(['anna', 'bert'].map((name) => [name, aged(60_000)]));
    const { port, server } = await serve({
      gate: {
        admit: ({ headers: { authorization: login = '' } }) => {
          const registry = registries.get(login);
          return registry ? { kind: 'admitted', registry, key: login, login } : refused;
        },
      },
    });
    const askAsBoth = async () => {
      for (const authorization of registries.keys()) await ask(port, PATH, { headers: { authorization } });
    };
    await askAsBoth();
    server.invalidate('anna');
    await askAsBoth();
    expect([...registries.values()].map((registry) => registry.count())).toEqual([2, 1]);
  });

  test('a gate that fails gives an internal error that does not show the reason', async () => {
    const { port, log } = await serve({
      gate: {
        admit: () => {
          throw new Error('the password file is at /etc/secret');
        },
      },
    });
    const { status, body } = await ask(port, PATH);
    expect(status).toBe(500);
    expect(body.toString()).not.toContain('secret');
    expect(log.find(({ level }) => level === 'error')?.fields['cause']).toContain('/etc/secret');
  });
});

describe('the memory of the response cache', () => {
  test('includes the targets, which a client can make long', async () => {
    const registry = aged(60_000);
    const { port } = await serve({ gate: openGate(registry), limits: { responseCacheBytes: 200_000 } });
    const targets = Array.from({ length: 60 }, (_, at) => `${PATH}?x=${at}${'y'.repeat(7000)}`);
    for (const target of targets) await ask(port, target);
    const before = registry.count();
    for (const target of targets.toReversed()) await ask(port, target);
    // Seven kilobytes each: of sixty, twenty-two fit into two hundred.
    expect(registry.count() - before).toBeGreaterThan(30);
  });
});

test('the Accept reader keeps 256 values: with one more, all are parsed again', () => {
  const acceptsIndex = createAcceptReader();
  const split = vi.spyOn(String.prototype, 'split');
  onTestFinished(() => split.mockRestore());
  const readsOf = (value: string) => split.mock.contexts.filter((text) => String(text) === value).length;
  const values = Array.from({ length: 257 }, (_, at) => `text/plain, text/x-${at}`);
  const [first = '', last = ''] = [values[0], values.at(-1)];
  for (const value of values.slice(0, -1)) acceptsIndex(value);
  acceptsIndex(first);
  expect(readsOf(first)).toBe(1);
  acceptsIndex(last);
  acceptsIndex(first);
  expect(readsOf(first)).toBe(2);
});

describe('createResponseCache()', () => {
  const route = (digest: Digest): ManifestRoute => ({
    kind: 'manifest',
    repository: repository('library/app', 'docker.io'),
    reference: { kind: 'digest', digest },
  });
  const prepared: PreparedManifest = {
    manifest: {
      bytes: Buffer.from('{}'),
      digest: digestOf(Buffer.from('{}')),
      mediaType: MEDIA_TYPE.ociIndex,
      maxAgeMs: Number.POSITIVE_INFINITY,
    },
    headers: [],
    headersOf304: [],
    storedMs: 0,
  };

  test('keeps immutable manifests for five minutes, because access to them can change', () => {
    let nowMs = 0;
    const cache = createResponseCache({ maxBytes: 1e6, now: () => nowMs });
    const request = {
      target: '/x',
      route: route(prepared.manifest.digest),
      admissionKey: 'a',
      acceptsIndex: true,
    };
    cache.beginStore(request)(prepared);
    nowMs = 5 * 60_000 - 1;
    expect(cache.find('/x', 'a', true)).toBe(prepared);
    nowMs = 5 * 60_000;
    expect(cache.find('/x', 'a', true)).toBeUndefined();
  });

  test('counts an answer’s bytes, key and two KiB of its headers', () => {
    const target = '/x?at=10';
    const keyLength = `i${target} a`.length;
    const entryBytes = prepared.manifest.bytes.length + keyLength + 2048;
    const cache = createResponseCache({ maxBytes: 10 * entryBytes, now: () => 0 });
    const targets = Array.from({ length: 11 }, (_, at) => `/x?at=${at + 10}`);
    const store = (one: string) =>
      cache.beginStore({
        ...{ target: one, route: route(prepared.manifest.digest), admissionKey: 'a', acceptsIndex: true },
      })(prepared);
    const kept = () => targets.filter((one) => cache.find(one, 'a', true) !== undefined).length;
    for (const one of targets.slice(0, 10)) store(one);
    expect(kept()).toBe(10);
    store(targets[10] ?? '');
    expect(kept()).toBe(10);
  });

  test('remembers the routes of four MiB of targets', () => {
    const cache = createResponseCache({ maxBytes: 1e9, now: () => 0 });
    const targets = Array.from({ length: 600 }, (_, at) => `/${at}/${'x'.repeat(8000)}`);
    for (const target of targets) {
      cache.beginStore({
        target,
        route: route(prepared.manifest.digest),
        admissionKey: 'a',
        acceptsIndex: true,
      })(prepared);
    }
    const remembered = targets.filter((target) => cache.routeOf(target) !== undefined).length;
    expect(remembered).toBe(Math.floor((4 * 2 ** 20) / (8005 + 256)));
  });
});
