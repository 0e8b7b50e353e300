import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { allowedUpstreams, type Upstreams, UpstreamsValue } from '../../../src/cli/settings/upstreams.ts';
import { readValue } from '../../../src/lib/config-source.ts';
import { parseSourceHost } from '../../../src/oci/reference.ts';

const readUpstreams = (value: unknown) => readValue(UpstreamsValue, value);

function at(upstreams: Upstreams, name: string) {
  const host = parseSourceHost(name);
  return host && upstreams.get(host);
}

describe('the setting upstream', () => {
  test('NAME=URL is one endpoint, whatever its address', () => {
    expect(at(readUpstreams('docker.io=http://127.0.0.1:5000'), 'docker.io')).toEqual({
      endpoints: [{ url: 'http://127.0.0.1:5000', anyAddress: true }],
    });
  });

  test('fault 76: a registry at a private address: a bare NAME uses the address that the name resolves to', () => {
    expect(at(readUpstreams(['registry.gitlab.com']), 'registry.gitlab.com')).toEqual({
      endpoints: [{ url: 'https://registry.gitlab.com', anyAddress: true }],
    });
  });

  test('a repeated NAME adds the next endpoint for failover', () => {
    const upstreams = readUpstreams([
      'docker.io=https://harbor.site/v2/hub',
      'docker.io=https://registry-1.docker.io',
    ]);
    expect(at(upstreams, 'docker.io')?.endpoints.map(({ url }) => url)).toEqual([
      'https://harbor.site/v2/hub',
      'https://registry-1.docker.io',
    ]);
  });

  test('the file’s map takes URLs, lists and whole endpoints', () => {
    const upstreams = readUpstreams({
      'ghcr.io': 'https://ghcr.io',
      'quay.io': ['https://a.example', 'https://quay.io'],
      'registry.site': {
        blobs: 'redirect',
        endpoints: [
          { url: 'https://registry.site', tls: { ca: '/etc/site.pem' }, trustedHosts: ['s3.site'] },
        ],
      },
    });
    expect(at(upstreams, 'quay.io')?.endpoints).toHaveLength(2);
    expect(at(upstreams, 'registry.site')).toMatchObject({
      blobs: 'redirect',
      endpoints: [{ tls: { caFile: '/etc/site.pem' }, trustedHosts: ['s3.site'] }],
    });
  });

  test('accepts the examples of docs/upstreams.md, which show every setting', () => {
    const page = readFileSync(new URL('../../../docs/upstreams.md', import.meta.url), 'utf8');
    const [, example = ''] = /^```yaml\n([\s\S]*?)^```/m.exec(page) ?? [];
    const upstreams = readUpstreams(parse(example).upstream);
    expect([...upstreams.keys()]).toEqual(['registry.example', 'docker.io', 'quay.io', 'git.example']);
    expect(at(upstreams, 'docker.io')?.endpoints).toHaveLength(3);
    const described = [...page.matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name);
    const settings = ['blobs', 'url', 'ns', 'passThrough', 'trustedHosts', 'anyAddress', 'tls'];
    expect(described).toEqual(settings);
  });

  test.each([
    ['not a host=http://x', /is not a registry host/],
    ['docker.io=ftp://x', /not of the form/],
    ['docker.io=https://user:secret@x', /contains a login/],
    [
      { 'a.example': { endpoint: 'https://a.example' } },
      /^"a\.example"\.endpoint: this key does not exist; did you mean endpoints\?/,
    ],
    [{ 'a.example': { endpoints: [] } }, /endpoints: an endpoint is expected/],
    [
      { 'a.example': { endpoints: 'https://a.example', blobs: 'copy' } },
      /blobs: “copy” is not one of stream, redirect/,
    ],
    [
      { 'a.example': { endpoints: { url: 'https://a.example', tls: { verify: false } } } },
      /endpoints\.tls\.verify: this key does not exist/,
    ],
    [
      { 'a.example': { endpoints: { url: 'https://a.example', tls: { key: 'k.pem' } } } },
      /tls: there is a key without its cert/,
    ],
  ])('refuses %j', (value, why) => {
    expect(() => readUpstreams(value)).toThrow(why);
  });
});

describe('allowedUpstreams()', () => {
  test('returns the named upstreams before the public registries, or in their place', () => {
    const upstream = readUpstreams('docker.io=http://127.0.0.1:5000');
    const open = allowedUpstreams({ upstream, publicRegistries: true });
    expect(at(open, 'docker.io')?.endpoints[0]?.url).toBe('http://127.0.0.1:5000');
    expect(at(open, 'ghcr.io')?.endpoints[0]?.url).toBe('https://ghcr.io');
    expect([...allowedUpstreams({ upstream, publicRegistries: false }).keys()]).toEqual(['docker.io']);
  });

  test('never lists an address that nobody configured', () => {
    const open = allowedUpstreams({ upstream: new Map(), publicRegistries: true });
    expect(at(open, '169.254.169.254')).toBeUndefined();
    expect(
      [...open.values()].flatMap(({ endpoints }) => endpoints).some(({ anyAddress }) => anyAddress),
    ).toBe(false);
  });
});
