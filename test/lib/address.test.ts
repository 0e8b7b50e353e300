import { describe, expect, test } from 'vitest';
import {
  addressClass,
  addressMatcher,
  isInSubnet,
  isLoopback,
  isPublicAddress,
  networkClass,
} from '../../src/lib/address.ts';
import { defaultUpstream, upstreamAt } from '../../src/upstream/settings.ts';
import { startServer, type TestServer } from '../support/hostile-registry.ts';
import { startProxy } from '../support/proxy.ts';
import { closing, repository, tagged, upstreamTo } from '../support/upstream.ts';

describe('isLoopback()', () => {
  test.each([
    ...['localhost', 'LocalHost', '127.0.0.1', '127.0.0.2', '127.255.255.254'],
    ...['::1', '[::1]', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1', '::ffff:7f01:203', '[::ffff:7f00:1]'],
  ])('accepts %s', (host) => {
    expect(isLoopback(host)).toBe(true);
  });

  test.each([
    ...['127.evil.example', '127.0.0.1.evil.example', 'evil127.0.0.1', '127.0.0', 'evillocalhost'],
    ...['localhost.evil.example', '::', '::11', '128.0.0.1', '0.0.0.0', '', '127.0.0.256', '127.1'],
    ...[
      '::ffff:128.0.0.1',
      '::ffff:7eff:ffff',
      '::7f00:1',
      '::1%eth0',
      '[127.0.0.1]',
      '[localhost]',
      '[::1',
      '::1]',
    ],
  ])('refuses %s', (host) => {
    expect(isLoopback(host)).toBe(false);
  });
});

describe('isPublicAddress()', () => {
  test.each([
    '127.0.0.1',
    '127.255.255.254',
    '0.0.0.0',
    '10.1.2.3',
    '100.100.100.200',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '192.0.0.192',
    '198.18.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    'fe80::1',
    'fc00::1',
    'fd00:ec2::254',
    'ff02::1',
    '::ffff:127.0.0.1',
    '::ffff:a9fe:a9fe',
    '::ffff:169.254.169.254',
    '64:ff9b::a9fe:a9fe',
    '64:ff9b::169.254.169.254',
    '::127.0.0.1',
    '::8.8.8.8',
    '168.63.129.16',
    '203.0.113.1',
    // A NAT64 of the site's own, 6to4, Teredo and SIIT: IPv4 addresses in other clothes.
    '64:ff9b:1::a9fe:a9fe',
    '2002:7f00:1::1',
    '2001:0:7f00:1::1',
    '::ffff:0:127.0.0.1',
    '100::1',
    '2001:db8::1',
    '5f00::1',
    'fe80::1%eth0',
    'localhost',
    '',
  ])('“%s” is not public', (address) => {
    expect(isPublicAddress(address)).toBe(false);
  });

  test.each([
    '1.1.1.1',
    '8.8.8.8',
    '172.15.255.255',
    '172.32.0.1',
    '192.169.0.1',
    '100.128.0.1',
    '169.253.255.255',
    '2606:4700::1111',
    '2001:4860:4860::8888',
    '2a00:1450:4001::1',
    '::ffff:8.8.8.8',
    '64:ff9b::808:808',
  ])('%s is public', (address) => {
    expect(isPublicAddress(address)).toBe(true);
  });
});

/** Redirects to `location` from a registry on loopback, which the operator named as one that may be there. */
async function redirected(location: (target: TestServer) => string, secret = 'secret of this machine') {
  const target = closing(await startServer((_, response) => void response.end(secret)));
  const registry = closing(
    await startServer((_, response) => void response.writeHead(307, { location: location(target) }).end()),
  );
  return { target, registry };
}

describe('fault 20: redirect to a metadata address or loopback', () => {
  test.each([
    ['loopback', ({ port }: TestServer) => `http://127.0.0.1:${port}/`],
    ['loopback as one number', ({ port }: TestServer) => `http://2130706433:${port}/`],
    ['loopback in hexadecimal', ({ port }: TestServer) => `http://0x7f.1:${port}/`],
    ['loopback in octal', ({ port }: TestServer) => `http://0177.0.0.1:${port}/`],
    ['every address of this host', ({ port }: TestServer) => `http://0.0.0.0:${port}/`],
    ['loopback in IPv6', ({ port }: TestServer) => `http://[::1]:${port}/`],
    ['IPv4 loopback in IPv6', ({ port }: TestServer) => `http://[::ffff:127.0.0.1]:${port}/`],
    ['a name that DNS has at loopback', ({ port }: TestServer) => `http://localhost:${port}/`],
    ['AWS, Azure, Google: 169.254.169.254', () => 'http://169.254.169.254/latest/meta-data/'],
    ['AWS in IPv6', () => 'http://[fd00:ec2::254]/latest/meta-data/'],
    ['Alibaba: 100.100.100.200', () => 'http://100.100.100.200/latest/meta-data/'],
  ])('%s: is refused before the connection', async (_, location) => {
    const { target, registry } = await redirected(location);
    const asked = upstreamTo(upstreamAt(registry.url)).manifest(repository('app'), tagged('v1'));
    await expect(asked).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 502 });
    await expect(asked).rejects.toThrow(/has no public address; if that is intended, name it/);
    expect(target.connections().made).toBe(0);
  });

  test('is followed where the operator has named that host', async () => {
    const { target, registry } = await redirected((to) => `${to.url}/`, '{"schemaVersion":2,"manifests":[]}');
    const [endpoint] = upstreamAt(registry.url).endpoints;
    const upstream = upstreamTo({ endpoints: [{ ...endpoint, trustedHosts: [target.host] }] });
    await upstream.manifest(repository('app'), tagged('v1'));
    expect(target.requests).toHaveLength(1);
  });

  test('is not followed through an HTTP proxy that could reach it', async () => {
    const { target } = await redirected(() => '');
    const proxy = closing(
      await startProxy((host) => (host === '169.254.169.254' ? target.port : registry.port)),
    );
    const registry = closing(
      await startServer(
        (_, response) => void response.writeHead(307, { location: 'http://169.254.169.254/' }).end(),
      ),
    );
    const upstream = upstreamTo(upstreamAt('http://registry.example'), { proxy: { http: proxy.url } });
    await expect(upstream.manifest(repository('app'), tagged('v1'))).rejects.toThrow('has no public address');
    expect(proxy.targets).toEqual(['http://registry.example/v2/app/manifests/v1']);
  });

  test('to the address of the proxy itself is refused', async () => {
    const proxy = closing(await startProxy(() => undefined));
    const { registry } = await redirected(() => `${proxy.url}/`);
    const upstream = upstreamTo(upstreamAt(registry.url), { proxy: { https: proxy.url } });
    await expect(upstream.manifest(repository('app'), tagged('v1'))).rejects.toThrow('has no public address');
    expect(proxy.targets).toEqual([]);
  });
});

describe('a source host whose address is this machine', () => {
  test.each(['localhost', '127.0.0.1', '[::1]'])(
    '%s is refused unless the operator configured it',
    async (name) => {
      const server = closing(await startServer((_, response) => void response.end('{}')));
      const { host } = repository('app', `${name}:${server.port}`);
      const asked = upstreamTo(defaultUpstream(host)).manifest(repository('app'), tagged('v1'));
      await expect(asked).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      expect(server.connections().made).toBe(0);
    },
  );
});

describe('addressClass', () => {
  test.each([
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['192.0.2.1', '192.0.2.1'],
    ['2001:DB8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['2001:0db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ])('gives %s the class %s', (address, counted) => {
    expect(addressClass(address)).toBe(counted);
  });
});

describe('networkClass', () => {
  test.each([
    ['192.0.2.255', '192.0.2.0/24'],
    ['::ffff:192.0.2.1', '192.0.2.0/24'],
    ['2001:DB8:1:ffff::1', '2001:db8:1::/48'],
    ['2001:db8::1%eth0', '2001:db8:0::/48'],
    ['', ''],
  ])('%s is in %s', (address, network) => {
    expect(networkClass(address)).toBe(network);
  });
});

describe('addressMatcher', () => {
  test.each([
    ['10.0.0.7', true],
    ['10.0.0.8', false],
    ['192.0.2.200', true],
    ['2001:db8::1', true],
    ['2001:db9::1', false],
    ['', false],
  ])('%s: %s', (address, isListed) => {
    expect(addressMatcher(['10.0.0.7', '192.0.2.0/24', '2001:db8::/32'])(address)).toBe(isListed);
  });

  test.each(['nginx', '10.0.0.0/33', '10.0.0.7/', '10.0.0.0/ 8', '10.0.0.0/1e1', '2001:db8::/129', ''])(
    'refuses %o',
    (item) => {
      expect(() => addressMatcher([item])).toThrow('is not the address of a proxy');
    },
  );
});

describe('isInSubnet()', () => {
  test.each([
    ['10.0.0.0/8', '10.1.2.3', true],
    ['10.0.0.0/8', '11.1.2.3', false],
    ['10.0.0.7', '10.0.0.7', true],
    ['10.0.0.7', '10.0.0.8', false],
    ['2001:db8::/32', '2001:db8:1::1', true],
    ['2001:db8::/32', '2001:db9::1', false],
    ['0.0.0.0/0', '192.0.2.1', true],
  ])('%s has %s: %s', (subnet, address, isIn) => {
    expect(isInSubnet(subnet, address)).toBe(isIn);
  });

  test('has no address of the other family', () => {
    expect(isInSubnet('10.0.0.0/8', '::ffff:10.0.0.1')).toBe(false);
    expect(isInSubnet('::/0', '10.0.0.1')).toBe(false);
  });

  test.each(['10.0.0.0/33', '2001:db8::/129', '10.0.0.0/', '10.0.0.0/8/8', 'hub.lan/8', '/8', ''])(
    'is false for “%s”, which is not a subnet',
    (text) => {
      expect(isInSubnet(text, '10.0.0.0')).toBe(false);
    },
  );
});
