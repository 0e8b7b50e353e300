import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { createPusher, type PushHost, reachableLocation } from '../../src/upstream/pusher.ts';
import { type UpstreamSettings, upstreamAt } from '../../src/upstream/settings.ts';
import { requireBasic } from '../support/guarded-registry.ts';
import { type Handler, startServer } from '../support/hostile-registry.ts';
import { turns } from '../support/turns.ts';
import { closing, repository, tagged } from '../support/upstream.ts';

const app = repository('team/app');
const BYTES = Buffer.from('the bytes of a layer');
const DIGEST = digestOf(BYTES);
const MANIFEST = { mediaType: MEDIA_TYPE.ociIndex, bytes: Buffer.from('{"schemaVersion":2,"manifests":[]}') };
const LOGIN = `Basic ${Buffer.from('ann:secret').toString('base64')}`;

function pusherTo(settings: UpstreamSettings) {
  return closing(
    createPusher({
      allowed: { get: () => settings },
      pseudonym: 'metahub-test',
      now: () => performance.now(),
      credentials: { loginFor: async () => ({ kind: 'basic', username: 'ann', password: 'secret' }) },
    }),
  );
}

/** A registry that takes pushes, except for what `odd` answers itself by returning true. */
async function registry(odd: (...exchange: Parameters<Handler>) => boolean = () => false) {
  const server = closing(
    await startServer((request, response) => {
      if (odd(request, response)) return;
      if (request.method === 'HEAD') return void response.writeHead(404).end();
      if (request.method === 'POST') {
        return void response.writeHead(202, { location: "/upload/1?_state=a%2bb~c'd|e" }).end();
      }
      response.writeHead(201).end();
    }),
  );
  const writes = () => server.requests.filter(({ method }) => method === 'PUT');
  return { server, writes, pusher: pusherTo(upstreamAt(server.url)) };
}

const blob = {
  digest: DIGEST,
  sizeBytes: BYTES.length,
  from: undefined,
  write: async (sink: NodeJS.WritableStream) => void sink.write(BYTES),
};

describe('fault 69: a push with redirects or unusual answers', () => {
  test('a blob is uploaded to the unchanged Location with the digest appended to its query', async () => {
    const { writes, pusher } = await registry();
    expect(await pusher.blob(app, blob)).toBe('uploaded');
    const [put] = writes();
    expect(put?.target).toBe(`/upload/1?_state=a%2bb~c'd|e&digest=${encodeURIComponent(DIGEST)}`);
    expect(put?.body).toBe(BYTES.toString());
  });

  test.each([200, 202, 204])(
    'a blob is uploaded when the registry answers its PUT with %s',
    async (status) => {
      const { pusher } = await registry((request, response) => {
        if (request.method !== 'PUT') return false;
        response.writeHead(status).end();
        return true;
      });
      expect(await pusher.blob(app, blob)).toBe('uploaded');
      await pusher.manifest(app, tagged('v1'), MANIFEST);
    },
  );

  test.each([400, 403, 405, 500])(
    'a blob is uploaded when the registry answers its HEAD with %s',
    async (status) => {
      const { writes, pusher } = await registry((request, response) => {
        if (request.method !== 'HEAD') return false;
        response.writeHead(status).end();
        return true;
      });
      expect(await pusher.blob(app, blob)).toBe('uploaded');
      expect(writes()).toHaveLength(1);
    },
  );

  test('a blob is not uploaded when its HEAD is redirected to storage that has it', async () => {
    const { writes, pusher } = await registry((request, response) => {
      if (request.method !== 'HEAD') return false;
      if (request.url === '/storage') response.writeHead(200).end();
      else response.writeHead(307, { location: '/storage' }).end();
      return true;
    });
    expect(await pusher.blob(app, blob)).toBe('exists');
    expect(writes()).toHaveLength(0);
  });

  test.each([301, 302, 307, 308])(
    'a push follows redirects of POST and PUT with %s and keeps the method',
    async (status) => {
      const { server, writes, pusher } = await registry((request, response) => {
        const isMoved = request.url?.includes('moved') === true;
        if (request.method === 'HEAD' || isMoved) return false;
        response.writeHead(status, { location: `/moved${request.url}` }).end();
        return true;
      });
      expect(await pusher.blob(app, blob)).toBe('uploaded');
      expect(writes().at(-1)).toMatchObject({ body: BYTES.toString() });
      expect(writes().at(-1)?.target).toMatch(/^\/moved\/upload/);
      expect(server.requests.filter(({ method }) => method === 'POST')).toHaveLength(2);
      await pusher.manifest(app, tagged('v1'), MANIFEST);
      expect(writes().at(-1)?.target).toBe('/moved/v2/team/app/manifests/v1');
    },
  );

  test('a push fails when redirects never end', async () => {
    const { pusher } = await registry((request, response) => {
      if (request.method !== 'POST') return false;
      response.writeHead(307, { location: request.url ?? '' }).end();
      return true;
    });
    await expect(pusher.blob(app, blob)).rejects.toThrow('more than 5 times');
  });

  test('a blob is uploaded to the registry’s host when the Location names an unreachable host', async () => {
    const { writes, pusher } = await registry((request, response) => {
      if (request.method !== 'POST') return false;
      response.writeHead(202, { location: 'http://registry-inside:5000/upload/1' }).end();
      return true;
    });
    expect(await pusher.blob(app, blob)).toBe('uploaded');
    expect(writes()).toMatchObject([{ body: BYTES.toString() }]);
  });
});

test('a registry has half an hour to answer an upload', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  let arrive = () => {};
  const arrived = new Promise<void>((resolve) => {
    arrive = resolve;
  });
  const { pusher } = await registry(({ method }) => {
    if (method === 'PUT') arrive();
    return method === 'PUT';
  });
  let status = 0;
  const pushing = pusher.manifest(app, tagged('v1'), MANIFEST).catch((error: { status: number }) => {
    status = error.status;
  });
  await arrived;
  await vi.advanceTimersByTimeAsync(30 * 60_000 - 1);
  await turns(2);
  expect(status).toBe(0);
  vi.advanceTimersByTime(1);
  await pushing;
  expect(status).toBe(504);
});

test('a manifest that the registry says it has stored under another digest fails', async () => {
  const { pusher } = await registry((request, response) => {
    if (!request.url?.includes('/manifests/')) return false;
    response.writeHead(201, { 'docker-content-digest': DIGEST }).end();
    return true;
  });
  await expect(pusher.manifest(app, tagged('v1'), MANIFEST)).rejects.toThrow('stored something else');
});

describe('the location where an upload continues', () => {
  const at = (href: string) => {
    const url = new URL(href);
    return { url, target: `${url.pathname}${url.search}` };
  };
  test.each([
    ['of the registry', 'https://registry.test', 'https://registry.test/up?a', 'https://registry.test/up?a'],
    ['of another host', 'https://registry.test', 'https://other.test/up?a', 'https://other.test/up?a'],
    [
      'of another host without TLS before',
      'http://registry.test',
      'http://other.test/up',
      'http://other.test/up',
    ],
    ['that leaves TLS', 'https://registry.test', 'http://registry.test/up?a', 'https://registry.test/up?a'],
    ['with a login', 'https://registry.test', 'https://ann:x@other.test/up', 'https://registry.test/up'],
    ['with a password', 'https://registry.test', 'https://:x@other.test/up', 'https://registry.test/up'],
    ['of another protocol', 'http://registry.test', 'ftp://other.test/up', 'http://registry.test/up'],
    ['that cannot be reached', 'https://registry.test', 'https://gone.test/up', 'https://registry.test/up'],
  ])('%s at %s: %s is requested as %s', async (_, root, said, requested) => {
    const reaches = async (url: URL) => url.hostname !== 'gone.test';
    const host = { root: new URL(root), reaches } as Partial<PushHost> as PushHost;
    const { url, target } = await reachableLocation(host, at(said));
    expect(`${url.origin}${target}`).toBe(requested);
    expect([url.username, url.password]).toEqual(['', '']);
  });
});

describe('the login for a registry', () => {
  /** A registry that has uploads sent to `elsewhere`. */
  async function sendingTo(elsewhere: string, trustedHosts: readonly string[]) {
    const handler: Handler = (request, response) => {
      if (request.method === 'HEAD') response.writeHead(404).end();
      else if (request.method === 'POST') response.writeHead(202, { location: `${elsewhere}/upload` }).end();
      else response.writeHead(201).end();
    };
    const server = closing(await startServer(requireBasic('ann:secret', handler)));
    const [endpoint] = upstreamAt(server.url).endpoints;
    return { server, pusher: pusherTo({ endpoints: [{ ...endpoint, trustedHosts }] }) };
  }

  test('does not reach another host in an upload’s Location', async () => {
    const other = closing(await startServer((_, response) => void response.writeHead(201).end()));
    const { server, pusher } = await sendingTo(other.url, ['127.0.0.1']);
    expect(await pusher.blob(app, blob)).toBe('uploaded');
    expect(server.requests.some(({ headers }) => headers['authorization'] === LOGIN)).toBe(true);
    expect(other.requests.map(({ headers }) => headers['authorization'])).toEqual([undefined]);
  });

  test('does not reach another host that a PUT is redirected to', async () => {
    const other = closing(await startServer((_, response) => void response.writeHead(201).end()));
    const server = closing(
      await startServer(
        requireBasic('ann:secret', (_, response) => {
          response.writeHead(307, { location: `${other.url}/there` }).end();
        }),
      ),
    );
    const [endpoint] = upstreamAt(server.url).endpoints;
    const pusher = pusherTo({ endpoints: [{ ...endpoint, trustedHosts: ['127.0.0.1'] }] });
    await pusher.manifest(app, tagged('v1'), MANIFEST);
    expect(other.requests).toMatchObject([{ method: 'PUT', body: MANIFEST.bytes.toString() }]);
    expect(other.requests[0]?.headers['authorization']).toBeUndefined();
  });
});
