import { describe, expect, test } from 'vitest';
import type { HostProfile } from '../../src/host/profile.ts';
import { isOwnHost } from '../../src/server/host-header.ts';
import { createMetrics } from '../../src/server/metrics.ts';
import type { StatusFacts } from '../../src/server/status-page.ts';
import { ask, codeOf, serve } from '../support/served.ts';

const PROFILE: HostProfile = {
  platform: { os: 'linux', architecture: 'amd64', variant: 'v3' },
  cpu: { microarchitecture: 'broadwell', vendor: 'GenuineIntel', compatible: ['broadwell'], flags: [] },
  gpus: [{ vendor: 'nvidia', name: 'Tesla <M60>', computeCapability: '5.2' }],
  features: ['cpu:broadwell', 'nvcap:5.2'],
  warnings: [],
};

const FACTS: StatusFacts = {
  version: '1.2.3',
  startedAt: new Date('2026-01-02T03:04:05Z'),
  profile: PROFILE,
  decisions: [
    {
      at: new Date('2026-01-02T03:05:06Z'),
      image: 'docker.io/qnib/bench:<script>alert(1)</script>',
      digest: `sha256:${'a'.repeat(64)}`,
      entry: 'cpu:broadwell',
      reason: 'the only entry that demands "cpu:broadwell"',
    },
  ],
  figures: [['cache hits', '93 % of 1,204']],
};

describe('the status page', () => {
  test('says what this host is, what was pulled, which entry each got and why', async () => {
    const { port } = await serve({ status: () => FACTS });
    const { status, headers, body } = await ask(port, '/');
    expect(status).toBe(200);
    expect(headers['content-type']).toBe('text/html; charset=utf-8');
    const text = body.toString();
    for (const part of ['1.2.3', 'linux/amd64/v3', 'broadwell', 'cpu:broadwell nvcap:5.2', '93 % of 1,204']) {
      expect(text).toContain(part);
    }
  });

  test('escapes what comes from elsewhere, and runs and loads nothing', async () => {
    const { port } = await serve({ status: () => FACTS });
    const { headers, body } = await ask(port, '/');
    expect(body.toString()).not.toContain('<script>');
    expect(body.toString()).toContain('Tesla &lt;M60&gt;');
    expect(headers['content-security-policy']).toContain("default-src 'none'");
  });

  test('tells how to find out why nothing was pulled', async () => {
    const { port } = await serve({ status: () => ({ ...FACTS, decisions: [] }) });
    expect((await ask(port, '/')).body.toString()).toContain('the README tells how');
  });

  test('is JSON for programs', async () => {
    const { port } = await serve({ status: () => FACTS });
    const { headers, body } = await ask(port, '/status.json');
    expect(headers['content-type']).toBe('application/json');
    expect(JSON.parse(body.toString())).toMatchObject({ version: '1.2.3', profile: PROFILE });
  });
});

describe('fault 58: pages under a name that was made to point here', () => {
  test.each(['/', '/status.json', '/metrics', '/healthz', '/readyz'])('%s is refused', async (path) => {
    const { port } = await serve();
    const answer = await ask(port, path, { headers: { host: `rebound.example:${port}` } });
    expect([answer.status, codeOf(answer)]).toEqual([403, 'DENIED']);
    expect((await ask(port, path)).status).toBe(200);
  });

  test.each([
    ['127.0.0.1:5080', true],
    ['127.0.0.1', true],
    ['[::1]:5080', true],
    ['localhost:5080', true],
    ['LOCALHOST', true],
    ['192.0.2.7:5080', true],
    ['mirror.site.example', true],
    ['Mirror.Site.Example:5080', true],
    ['rebound.example', false],
    ['localhost.rebound.example', false],
    ['127.0.0.1.rebound.example', false],
    ['user@127.0.0.1', false],
    ['127.0.0.1:5080:80', false],
    ['127.0.0.1/', false],
    ['', false],
    [undefined, false],
  ])('Host %s: %s', (host, expected) => {
    expect(isOwnHost(host, ['mirror.site.example'])).toBe(expected);
  });
});

describe('health', () => {
  test('alive is not ready', async () => {
    const { port } = await serve({ status: () => ({ ...FACTS, notReady: 'the cache cannot be written' }) });
    expect((await ask(port, '/healthz')).status).toBe(200);
    const { status, body } = await ask(port, '/readyz');
    expect([status, body.toString()]).toEqual([503, 'the cache cannot be written\n']);
  });
});

describe('metrics', () => {
  test('count requests by what they asked for and how they ended', async () => {
    const { port, registry } = await serve();
    registry.putManifest({ schemaVersion: 2, manifests: [] }, { tag: 'latest' });
    await ask(port, '/v2/a/b/manifests/latest');
    await ask(port, '/v2/a/b/manifests/absent');
    await ask(port, '/v2/a/b/manifests/absent', { method: 'PUT' });
    const { headers, body } = await ask(port, '/metrics');
    expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(body.toString().split('\n')).toEqual(
      expect.arrayContaining([
        '# TYPE metahub_requests_total counter',
        'metahub_requests_total{kind="manifest",method="GET",status="200"} 1',
        'metahub_requests_total{kind="manifest",method="GET",status="404"} 1',
        'metahub_requests_total{kind="unread",method="other",status="405"} 1',
        'metahub_failures_total{code="MANIFEST_UNKNOWN"} 1',
      ]),
    );
  });

  test('are in the text format, values of labels escaped and bounded in number', () => {
    const metrics = createMetrics();
    const counter = metrics.counter('pulls_total', 'Pulls.', ['who']);
    counter.child('a "quoted"\n\\name').add(2);
    metrics.gauge('held_bytes', 'Bytes held.', () => 7);
    metrics.gauge('parts', 'By part.', () => [[['one'], 1]], ['part']);
    expect(metrics.text()).toBe(
      [
        '# HELP pulls_total Pulls.',
        '# TYPE pulls_total counter',
        'pulls_total{who="a \\"quoted\\"\\n\\\\name"} 2',
        '# HELP held_bytes Bytes held.',
        '# TYPE held_bytes gauge',
        'held_bytes 7',
        '# HELP parts By part.',
        '# TYPE parts gauge',
        'parts{part="one"} 1',
        '',
      ].join('\n'),
    );
    for (let name = 0; name < 5000; name += 1) counter.child(String(name)).add();
    expect(metrics.text()).toContain('pulls_total{who="other"} 4001');
  });
});

test('one line of the access log per request, without its query', async () => {
  const { port, log } = await serve();
  await ask(port, '/v2/a/b/manifests/latest?ns=ghcr.io&token=secret');
  await expect.poll(() => log.filter(({ event }) => event === 'request').length).toBe(1);
  const line = log.find(({ event }) => event === 'request');
  expect(line).toMatchObject({
    level: 'debug',
    fields: { method: 'GET', path: '/v2/a/b/manifests/latest', status: '404', client: '127.0.0.1' },
  });
  expect(JSON.stringify(log)).not.toContain('secret');
});

test('an exact path of others is theirs, with any method', async () => {
  const { port } = await serve({
    handlers: new Map([['/token', (req, res) => res.end(`${req.method} ${req.url}`)]]),
  });
  expect((await ask(port, '/token?scope=x', { method: 'POST' })).body.toString()).toBe('POST /token?scope=x');
  expect((await ask(port, '/token/', { method: 'POST' })).status).toBe(405);
});
