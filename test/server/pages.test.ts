import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { HostProfile } from '../../src/host/profile.ts';
import { html } from '../../src/lib/html.ts';
import { createMetrics } from '../../src/server/metrics.ts';
import { isOwnHost } from '../../src/server/request-validation.ts';
import type { StatusFacts } from '../../src/server/status-facts.ts';
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
      verdict: 'fitted',
      digest: `sha256:${'a'.repeat(64)}`,
      entry: 'cpu:broadwell',
      reason: 'the only entry that demands "cpu:broadwell"',
      notes: ["this host's accelerator (<nvidia>) is not used"],
    },
  ],
  figures: [['cache hits', '93 % of 1,204']],
};

test('html`` escapes every character that could end a text or an attribute, and keeps markup unchanged', () => {
  const evil = `&<>"'`;
  expect(html`<i title="${evil}">${[evil, html`<b>`]}</i>`.markup).toBe(
    '<i title="&amp;&lt;&gt;&quot;&#39;">&amp;&lt;&gt;&quot;&#39;<b></i>',
  );
});

describe('the status page', () => {
  test('shows this host, recent pulls, and the selected entry of each with the reason', async () => {
    const { port } = await serve({ status: () => FACTS });
    const { status, headers, body } = await ask(port, '/');
    expect(status).toBe(200);
    expect(headers['content-type']).toBe('text/html; charset=utf-8');
    const text = body.toString();
    for (const part of [
      '1.2.3',
      'linux/amd64/v3',
      'broadwell',
      'cpu:broadwell nvcap:5.2',
      '93 % of 1,204',
      'fitted',
    ]) {
      expect(text).toContain(part);
    }
  });

  test('shows the note about a selection next to its reason', async () => {
    const { port } = await serve({ status: () => FACTS });
    const text = (await ask(port, '/')).body.toString();
    expect(text).toMatch(
      /cpu:broadwell&quot;<p class="warn">.* accelerator \(&lt;nvidia&gt;\) is not used<\/p>/,
    );
  });

  test('escapes foreign text, and contains no script and no external resource', async () => {
    const { port } = await serve({ status: () => FACTS });
    const { headers, body } = await ask(port, '/');
    expect(body.toString()).not.toContain('<script>alert');
    expect(body.toString()).toContain('bench:&lt;script&gt;alert(1)&lt;/script&gt;');
    expect(body.toString()).toContain('Tesla &lt;M60&gt;');
    const policy = String(headers['content-security-policy']);
    expect(policy).toContain("default-src 'none'");
    const [, script = ''] = /<script>([\s\S]*?)<\/script>/.exec(body.toString()) ?? [];
    const hash = createHash('sha256').update(script).digest('base64');
    expect(policy).toContain(`script-src 'sha256-${hash}'`);
    expect(body.toString()).not.toMatch(/<(?:link|img|iframe)|src=|https?:\/\//);
  });

  test('says how to find out why nothing was pulled', async () => {
    const { port } = await serve({ status: () => ({ ...FACTS, decisions: [] }) });
    expect((await ask(port, '/')).body.toString()).toContain('the README explains how');
  });

  test('of a site links to its pages, and does not say that nothing was pulled', async () => {
    const site = { ...FACTS, profile: undefined, decisions: [], sitePath: '/site/' };
    const { port } = await serve({ status: () => site });
    const text = (await ask(port, '/')).body.toString();
    expect(text).toContain('<a href="/site/">the pages of the site</a>');
    expect(text).not.toMatch(/Recent pulls|No tag was requested/);
    const node = await serve({ status: () => FACTS });
    expect((await ask(node.port, '/')).body.toString()).not.toContain('the pages of the site');
  });

  test('draws the microarchitectures around this host: what it runs, what it is, what it does not run', async () => {
    const { port } = await serve({ status: () => FACTS });
    const text = (await ask(port, '/')).body.toString();
    expect(text).toContain('<span class="node host">broadwell</span>');
    expect(text).toContain('<span class="node runs">haswell</span>');
    expect(text).toContain('<span class="node beyond">skylake</span>');
  });

  test('filters recent pulls by image and result, and keeps the filter in its form', async () => {
    const [one] = FACTS.decisions;
    if (one === undefined) throw new Error('there is a decision');
    const decisions = [
      { ...one, image: 'docker.io/a/first:1' },
      { ...one, image: 'docker.io/b/second:1', verdict: 'refused' as const },
    ];
    const { port } = await serve({ status: () => ({ ...FACTS, decisions }) });
    const page = async (query: string) => (await ask(port, `/${query}`)).body.toString();
    expect(await page('')).toMatch(/a\/first:1[\s\S]*b\/second:1/);
    const byVerdict = await page('?verdict=refused');
    expect(byVerdict).not.toContain('a/first:1');
    expect(byVerdict).toContain('<option value="refused" selected>');
    const byImage = await page('?image=first&verdict=');
    expect(byImage).not.toContain('b/second:1');
    expect(await page('?image=%22%3E%3Cb%3E')).toContain('value="&quot;&gt;&lt;b&gt;"');
    expect(await page('?verdict=nonsense')).toMatch(/a\/first:1[\s\S]*b\/second:1/);
  });

  test('shows warnings, the cache in exact bytes, registries, runtimes and the latest reload', async () => {
    const facts: StatusFacts = {
      ...FACTS,
      hostName: 'node-17',
      warnings: ['anyone who reaches 0.0.0.0 can pull'],
      pulls: { fitted: 7, generic: 2, unchanged: 30, refused: 1, failed: 4 },
      cache: {
        usedBytes: 1_234_567,
        limitBytes: 50_000_000,
        trouble: 'the disk is full',
        results: { hit: 9, miss: 3, stale: 0 },
      },
      registries: [
        { registry: 'ghcr.io', requests: 5, failures: 2, failing: 'ghcr.io refused', meanMs: 38.4 },
      ],
      reload: { at: new Date('2026-01-02T04:00:00Z'), refused: 'config.yaml:3: unknown setting' },
    };
    const { port, registry } = await serve({ status: () => facts });
    const digest = registry.putManifest({ schemaVersion: 2, manifests: [] });
    const headers = { 'user-agent': 'containerd/2.1.0' };
    await ask(port, `/v2/a/b/manifests/${digest}`, { headers });
    await expect.poll(async () => (await ask(port, '/')).body.toString()).toContain('containerd');
    const text = (await ask(port, '/')).body.toString();
    for (const part of [
      'node-17',
      'anyone who reaches 0.0.0.0 can pull',
      'Nothing new is stored: the disk is full.',
      '7 fitted',
      '4 failed',
      '1,234,567 of 50,000,000 bytes',
      '9 hit · 3 miss',
      '5 requests, 2 failed',
      'ghcr.io refused',
      'config.yaml:3: unknown setting',
    ]) {
      expect(text).toContain(part);
    }
    expect(text).not.toContain('stale');
  });

  test('is JSON for programs that accept JSON', async () => {
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

describe('the health endpoints', () => {
  test('report a mirror that serves as alive and ready', async () => {
    const { port } = await serve();
    const pages = await Promise.all(['/healthz', '/readyz'].map((path) => ask(port, path)));
    expect(pages.map(({ status, body }) => `${status} ${body}`)).toEqual(['200 ok\n', '200 ready\n']);
  });
});

describe('the metrics endpoint', () => {
  test('counts requests by kind and by result', async () => {
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
        'metahub_failures_total{code="UNAVAILABLE"} 0',
        '# TYPE metahub_request_duration_seconds histogram',
        'metahub_request_duration_seconds_count{kind="manifest"} 2',
        'metahub_request_duration_seconds_bucket{kind="blob",le="+Inf"} 0',
        'metahub_runtime_last_success_timestamp_seconds{runtime="podman"} 0',
      ]),
    );
  });

  test('uses the text format, with label values escaped and limited in number', () => {
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

  test('counts a value at a histogram’s bound in that bound’s bucket, and lower values in every bucket above', () => {
    const metrics = createMetrics();
    const histogram = metrics.histogram('seconds', 'Time.', [0.1, 1], ['kind'], [['idle']]);
    for (const value of [0.05, 0.1, 0.5, 1, 7]) histogram.child('busy').observe(value);
    expect(metrics.text().split('\n').slice(2, -1)).toEqual([
      'seconds_bucket{kind="idle",le="0.1"} 0',
      'seconds_bucket{kind="idle",le="1"} 0',
      'seconds_bucket{kind="idle",le="+Inf"} 0',
      'seconds_sum{kind="idle"} 0',
      'seconds_count{kind="idle"} 0',
      'seconds_bucket{kind="busy",le="0.1"} 2',
      'seconds_bucket{kind="busy",le="1"} 4',
      'seconds_bucket{kind="busy",le="+Inf"} 5',
      'seconds_sum{kind="busy"} 8.65',
      'seconds_count{kind="busy"} 5',
    ]);
  });

  test('has a sample of each counter from the start', () => {
    const metrics = createMetrics();
    metrics.counter('plain_total', 'Plain.');
    metrics.counter('labelled_total', 'Labelled.', ['kind'], [['a'], ['b']]);
    expect(metrics.text()).toContain('\nplain_total 0\n');
    expect(metrics.text()).toContain('\nlabelled_total{kind="a"} 0\nlabelled_total{kind="b"} 0\n');
  });
});

test('the access log has one line per request, without its query', async () => {
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

test('an exact path that a handler registers is the handler’s, with any method', async () => {
  const { port } = await serve({
    handlers: new Map([['/token', (req, res) => res.end(`${req.method} ${req.url}`)]]),
  });
  expect((await ask(port, '/token?scope=x', { method: 'POST' })).body.toString()).toBe('POST /token?scope=x');
  expect((await ask(port, '/token/', { method: 'POST' })).status).toBe(405);
});
