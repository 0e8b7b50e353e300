import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { proxyAuthorization, proxyFor, proxyFromEnvironment } from '../../src/upstream/net/dial.ts';
import { AddressRefusedError, createNameGuard } from '../../src/upstream/net/name-guard.ts';
import { defaultUpstream, upstreamAt } from '../../src/upstream/settings.ts';
import { createAuthority } from '../support/certificates.ts';
import { createContent, serveContent, startRawServer, startServer } from '../support/hostile-registry.ts';
import { startInternet } from '../support/internet.ts';
import { startProxy } from '../support/proxy.ts';
import { afterTest, closing, readBlob, repository, tagged, upstreamTo } from '../support/upstream.ts';

const INDEX = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [] };

function content() {
  const made = createContent();
  made.putManifest(INDEX, MEDIA_TYPE.ociIndex, 'v1');
  return made;
}

describe('proxyFromEnvironment()', () => {
  test('reads the usual variables, of which lower case has priority as in curl', () => {
    expect(
      proxyFromEnvironment({
        HTTPS_PROXY: 'http://upper:1',
        https_proxy: 'http://lower:2',
        HTTP_PROXY: 'http://plain:3',
        NO_PROXY: 'example.com',
        no_proxy: '',
      }),
    ).toEqual({ https: 'http://lower:2', http: 'http://plain:3', noProxy: 'example.com' });
  });
});

describe('proxyFor()', () => {
  const settings = { https: 'proxy.example:3128', http: 'http://plain.example:8080' };

  test.each([
    ['https://ghcr.io/v2/', '', 'http://proxy.example:3128/'],
    ['http://ghcr.io/v2/', '', 'http://plain.example:8080/'],
    ['https://ghcr.io/', 'ghcr.io', undefined],
    ['https://ghcr.io/', 'GHCR.IO', undefined],
    ['https://pkg.ghcr.io/', 'ghcr.io', undefined],
    ['https://pkg.ghcr.io/', '.ghcr.io', undefined],
    ['https://pkg.ghcr.io/', '*.ghcr.io', undefined],
    ['https://notghcr.io/', 'ghcr.io', 'http://proxy.example:3128/'],
    ['https://ghcr.io/', 'quay.io, ghcr.io', undefined],
    ['https://ghcr.io/', 'quay.io ghcr.io', undefined],
    ['https://ghcr.io/', '*', undefined],
    ['https://ghcr.io/', 'ghcr.io:443', undefined],
    ['https://ghcr.io:8443/', 'ghcr.io:443', 'http://proxy.example:3128/'],
    ['https://10.1.2.3/', '10.1.2.3', undefined],
    ['https://10.1.2.3/', '10.0.0.0/8', undefined],
    ['https://11.1.2.3/', '10.0.0.0/8', 'http://proxy.example:3128/'],
    ['https://10.1.2.3/', '10.0.0.0/99', 'http://proxy.example:3128/'],
    ['https://[2001:db8::1]/', '2001:db8::/32', undefined],
    ['https://10.1.2.3/', '2.3', 'http://proxy.example:3128/'],
    ['https://[2001:db8::1]/', '2001:db8::1', undefined],
    ['https://localhost:5000/', '', undefined],
    ['http://127.0.0.1:5000/', '', undefined],
    ['https://[::1]/', '', undefined],
  ])('for %s with NO_PROXY=%s is %s', (target, noProxy, expected) => {
    expect(proxyFor(new URL(target), { ...settings, noProxy })?.href).toBe(expected);
  });

  test('throws an error that shows no login for an address that is not a proxy’s', () => {
    const ask = () => proxyFor(new URL('https://ghcr.io'), { https: 'socks5://ann:hunter2@proxy:1080' });
    expect(ask).toThrow('the proxy of the environment is not of the form http://HOST:PORT');
  });
});

describe('a registry behind a proxy', () => {
  const { host } = repository('app', 'registry.example');
  const app = repository('app', 'registry.example');

  test('over TLS uses a tunnel, through which manifests and blobs arrive complete', async () => {
    const made = content();
    const bytes = randomBytes(2_000_000);
    const digest = made.putBlob(bytes);
    const internet = await startInternet({ 'registry.example': serveContent(made) });
    const upstream = upstreamTo(defaultUpstream(host), internet.options);
    await upstream.manifest(app, tagged('v1'));
    expect((await readBlob(await upstream.blob(app, digest))).equals(bytes)).toBe(true);
    expect(new Set(internet.proxy.targets)).toEqual(new Set(['registry.example:443']));
  });

  test('over TLS uses the login for the proxy', async () => {
    const internet = await startInternet({ 'registry.example': serveContent(content()) });
    const https = internet.proxy.url.replace('http://', 'http://ann:p%40ss@');
    const upstream = upstreamTo(defaultUpstream(host), { ...internet.options, proxy: { https } });
    await upstream.manifest(app, tagged('v1'));
    expect(internet.proxy.logins).toEqual([`Basic ${Buffer.from('ann:p@ss').toString('base64')}`]);
    expect(internet.asked('registry.example')[0]?.headers).not.toHaveProperty('proxy-authorization');
  });

  /** A registry that is known by an address only, behind a proxy; its certificate is for `name`. */
  async function byAddress(name: string) {
    const authority = await createAuthority();
    afterTest(authority.remove);
    const server = closing(await startServer(serveContent(content()), await authority.issue(name)));
    const proxy = closing(await startProxy(() => server.port));
    const https = proxy.url.replace('127.0.0.1', 'localhost');
    return upstreamTo(upstreamAt('https://192.0.2.7'), {
      proxy: { https },
      extraAuthorities: [authority.certFile],
    });
  }

  test('over TLS by IP address must have a certificate for that address', async () => {
    const upstream = await byAddress('192.0.2.7');
    expect((await upstream.manifest(app, tagged('v1'))).mediaType).toBe(MEDIA_TYPE.ociIndex);
  });

  test('over TLS by IP address is refused with a certificate of the proxy’s own name', async () => {
    const upstream = await byAddress('localhost');
    await expect(upstream.manifest(app, tagged('v1'))).rejects.toThrow('has a certificate for another name');
  });

  test('without TLS is requested with the whole URL', async () => {
    const server = closing(await startServer(serveContent(content())));
    const proxy = closing(
      await startProxy((name) => (name === 'registry.example' ? server.port : undefined)),
    );
    const upstream = upstreamTo(upstreamAt('http://registry.example'), { proxy: { http: proxy.url } });
    await upstream.manifest(app, tagged('v1'));
    expect(proxy.targets).toEqual(['http://registry.example/v2/app/manifests/v1']);
    expect(server.requests[0]?.headers['host']).toBe('registry.example');
  });

  test('that the proxy refuses fails with an error that names the proxy', async () => {
    const proxy = closing(await startProxy(() => undefined));
    const upstream = upstreamTo(defaultUpstream(host), { proxy: { https: proxy.url } });
    const asked = upstream.manifest(app, tagged('v1'));
    await expect(asked).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 502 });
    await expect(asked).rejects.toThrow(`the proxy 127.0.0.1:${proxy.port} answered 403`);
  });

  test('fails with an error when the proxy is down', async () => {
    const proxy = await startProxy(() => undefined);
    await proxy.close();
    const upstream = upstreamTo(defaultUpstream(host), { proxy: { https: proxy.url } });
    await expect(upstream.manifest(app, tagged('v1'))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('is contacted directly with NO_PROXY for it', async () => {
    const proxy = closing(await startProxy(() => undefined));
    const upstream = upstreamTo(upstreamAt('https://registry.invalid'), {
      proxy: { https: proxy.url, noProxy: 'registry.invalid' },
    });
    await expect(upstream.manifest(app, tagged('v1'))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(proxy.targets).toEqual([]);
  });
});

describe('behind a proxy that resolves names', () => {
  const elsewhere = (location: string) =>
    startServer((_, response) => {
      response.writeHead(307, { location: `${location}/layer` }).end();
    });

  test.each([
    'http://metadata.google.internal',
    'https://metadata.google.internal',
    'http://localhost.',
    'https://printer',
    'http://router.lan',
    'https://169.254.169.254',
  ])('a redirect to %s is refused without a request to the proxy', async (location) => {
    const proxy = closing(await startProxy(() => undefined));
    const server = closing(await elsewhere(location));
    const upstream = upstreamTo(upstreamAt(server.url), { proxy: { http: proxy.url, https: proxy.url } });
    const asked = upstream.blob(repository('team/app'), digestOf(Buffer.from('x')));
    await expect(asked).rejects.toThrow('no public address');
    expect(proxy.targets).toEqual([]);
  });

  const at =
    (...addresses: readonly string[]) =>
    async () =>
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
  const unknown = () => Promise.reject(Object.assign(new Error('not found'), { code: 'ENOTFOUND' }));

  test.each([
    ['private addresses only', at('10.1.2.3', 'fd00::1'), false],
    ['a public address among others', at('10.1.2.3', '8.8.8.8'), true],
    ['nothing, as on hosts that only the proxy gets out of', unknown, true],
  ])('a name that resolves to %s is left to the proxy: %s', async (_, resolve, isLeft) => {
    const judged = createNameGuard(resolve)('storage.test');
    if (isLeft) await expect(judged).resolves.toBeUndefined();
    else await expect(judged).rejects.toBeInstanceOf(AddressRefusedError);
  });
});

describe('a tunnel', () => {
  /** A proxy that answers every CONNECT with this head, and leads to `port` where it is given. */
  const tunnelling = (head: string, port?: number) =>
    startRawServer((socket, asked) => {
      if (!asked.startsWith('CONNECT')) return;
      socket.write(`${head}\r\n\r\n`);
      if (port === undefined) return void socket.resetAndDestroy();
      const there = connect(port, '127.0.0.1');
      socket.removeAllListeners('data');
      there
        .on('error', () => {})
        .pipe(socket)
        .pipe(there);
    });

  test.each(['HTTP/1.1 200 OK', 'HTTP/1.1 201 Created', 'HTTP/1.1 299 Whatever'])(
    'is open once CONNECT gets %s',
    async (head) => {
      const authority = await createAuthority();
      afterTest(authority.remove);
      const server = closing(
        await startServer(serveContent(content()), await authority.issue('registry.test')),
      );
      const proxy = closing(await tunnelling(head, server.port));
      const upstream = upstreamTo(upstreamAt('https://registry.test'), {
        proxy: { https: proxy.url },
        extraAuthorities: [authority.certFile],
      });
      const manifest = await upstream.manifest(repository('team/app'), tagged('v1'));
      expect(server.requests.at(-1)?.target).toBe('/v2/team/app/manifests/v1');
      expect(manifest.digest).toBe(digestOf(manifest.bytes));
    },
  );

  test.each(['HTTP/1.1 200 OK', 'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade'])(
    'that sends %j and closes at once fails the request, and nothing else',
    async (head) => {
      const proxy = closing(await tunnelling(head));
      const upstream = upstreamTo(upstreamAt('https://registry.test'), { proxy: { https: proxy.url } });
      const asked = upstream.manifest(repository('team/app'), tagged('v1'));
      await expect(asked).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    },
  );
});

test.each([
  ['http://ann:100%@proxy.test', 'ann:100%'],
  ['http://ann:a%20b%40c@proxy.test', 'ann:a b@c'],
  ['http://ann:%zz%c3%a9@proxy.test', 'ann:%zzé'],
  ['http://ann@proxy.test', 'ann:'],
])('the login in %s is sent to the proxy as %s', (url, login) => {
  const shown = `Basic ${Buffer.from(login).toString('base64')}`;
  expect(proxyAuthorization(new URL(url))).toEqual({ 'proxy-authorization': shown });
});
