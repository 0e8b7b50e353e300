import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { profileOfFeatures } from '../../src/host/assumed-features.ts';
import type { PullVerdict, StatusFacts } from '../../src/server/status-facts.ts';
import { parseDocument } from '../support/json-documents.ts';
import { freePort } from '../support/loopback.ts';
import { startServer } from '../support/processes.ts';
import { runCli } from '../support/run-cli.ts';
import { ask, serve } from '../support/served.ts';

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).href;
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The time for as long as a test goes on: it can take longer than the second that it reads of. */
const NOW = Date.UTC(2026, 0, 3);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'], now: NOW });
  onTestFinished(() => void vi.useRealTimers());
});

const decision = (verdict: PullVerdict, more: Partial<StatusFacts['decisions'][number]> = {}) => ({
  at: new Date(NOW),
  image: `docker.io/acme/${verdict}:v1`,
  verdict,
  digest: `sha256:${'a'.repeat(64)}`,
  reason: `because of ${verdict}`,
  ...more,
});

const FACTS: StatusFacts = {
  version: '1.2.3',
  startedAt: new Date('2026-01-02T03:04:05Z'),
  hostName: 'node-17',
  warnings: ['anyone who reaches 0.0.0.0 can pull'],
  profile: profileOfFeatures(['cpu:broadwell', 'nvcap:9.0']),
  decisions: [
    decision('generic', { notes: ['an accelerator is not used'] }),
    decision('fitted', { entry: 'cpu:broadwell' }),
    decision('refused', { digest: '', reason: 'no entry runs here' }),
  ],
  pulls: { fitted: 7, generic: 2, unchanged: 30, refused: 1, failed: 4 },
  cache: { usedBytes: 1_234_567, limitBytes: 50_000_000, results: { hit: 9, miss: 3 } },
  registries: [
    { registry: 'docker.io', requests: 5, failures: 0, meanMs: 38.4 },
    { registry: 'ghcr.io', requests: 5, failures: 2, failing: 'ghcr.io refused the connection', meanMs: 0 },
  ],
  figures: [['lists of images', '3']],
};

async function mirror(facts: StatusFacts = FACTS): Promise<{ readonly url: string; readonly port: number }> {
  const { port } = await serve({ status: () => facts });
  return { url: `http://127.0.0.1:${port}`, port };
}

/** A server that answers everything with this. */
async function serverThatSays(status: number, body: string): Promise<string> {
  const server: Server = createServer((_, res) => res.writeHead(status).end(body));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('metahub status', () => {
  test('says what the host is, what the last pulls got and why, and how cache and registries are', async () => {
    const { url } = await mirror();
    const { stdout, status } = await runCli('status', '--mirror', url);
    expect(status).toBe(0);
    for (const part of [
      `✓ MetaHub 1.2.3 at ${url} on node-17: ready`,
      'anyone who reaches 0.0.0.0 can pull',
      'broadwell',
      'nvcap:9.0',
      'Tags answered: 44 (7 fitted, 2 generic, 30 unchanged, 1 refused, 4 failed)',
      'generic   docker.io/acme/generic:v1, 0 s ago',
      'an accelerator is not used',
      'cpu:broadwell, sha256:aaaaaaaaaaaa',
      'refused   docker.io/acme/refused:v1',
      'no entry runs here',
      'Cache: 1,234,567 of 50,000,000 bytes; 9 hit, 3 miss',
      '✓ docker.io: 5 requested, 0 failed, 38 ms',
      '✗ ghcr.io: 5 requested, 2 failed, 0 ms',
      'ghcr.io refused the connection',
      'lists of images: 3; not reloaded since the start',
    ])
      expect(stdout).toContain(part);
    expect(stdout.indexOf('acme/generic')).toBeLessThan(stdout.indexOf('acme/refused'));
  });

  test('shows as many pulls as --last says', async () => {
    const { url } = await mirror();
    const { stdout } = await runCli('status', '--mirror', url, '--last', '1');
    expect(stdout).toContain('acme/generic');
    expect(stdout).not.toContain('acme/fitted');
    expect(await runCli('status', '--mirror', url, '--last', 'all')).toMatchObject({ status: 2 });
  });

  test.each([
    [-5000, '0 s ago'],
    [59_999, '59 s ago'],
    [60_000, '1 min ago'],
    [3_599_999, '59 min ago'],
    [3_600_000, '1 h ago'],
    [48 * 3_600_000 - 1, '47 h ago'],
    [48 * 3_600_000, '2 days ago'],
  ])('shows the time of a pull %s ms ago as %s', async (agoMs, text) => {
    const { url } = await mirror({
      ...FACTS,
      decisions: [decision('fitted', { at: new Date(NOW - agoMs) })],
    });
    const { stdout } = await runCli('status', '--mirror', url);
    expect(stdout).toContain(`docker.io/acme/fitted:v1, ${text}`);
  });

  test('exits with 3 and the reason when the latest reload was refused', async () => {
    const { url } = await mirror({ ...FACTS, reload: { at: new Date(NOW), refused: 'config.yaml:3: no' } });
    const { stdout, status } = await runCli('status', '--mirror', url);
    expect(status).toBe(3);
    expect(stdout).toContain('✗ the reload 0 s ago was refused: config.yaml:3: no');
  });

  test('shows a full disk, and a site whose logins bring machine types', async () => {
    const { profile: _, ...site } = FACTS;
    const cache = { usedBytes: 1, limitBytes: 2, trouble: 'the disk is full', results: {} };
    const { url } = await mirror({ ...site, cache });
    const { stdout } = await runCli('status', '--mirror', url);
    expect(stdout).toContain('✗ nothing new is stored: the disk is full');
    expect(stdout).toContain('Each login brings its own machine type.');
  });

  test('shows texts of registries and clients without control characters', async () => {
    const { url } = await mirror({ ...FACTS, decisions: [decision('failed', { reason: 'a\u001b[31mb' })] });
    expect((await runCli('status', '--mirror', url)).stdout).not.toContain('\u001b');
  });

  test('--json matches its schema, and says when runtimes pulled', async () => {
    const { url, port } = await mirror();
    await ask(port, '/v2/a/b/manifests/absent', { headers: { 'user-agent': 'docker/29.0' } });
    const { stdout } = await runCli('status', '--mirror', url, '--json');
    const document = parseDocument('status', stdout);
    expect(document).toMatchObject({
      url,
      version: '1.2.3',
      pulls: FACTS.pulls,
      cache: { usedBytes: 1_234_567 },
    });
    expect(document.decisions.map(({ verdict }) => verdict)).toEqual(['generic', 'fitted', 'refused']);
    expect(document.installed).toBeInstanceOf(Array);
  });

  test('says that no mirror runs, and how to start one', async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    const { stderr, stdout, status } = await runCli('status', '--mirror', url);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toContain(`no mirror answers at ${url}: connect ECONNREFUSED ${new URL(url).host}`);
    expect(stderr).toContain('systemctl start metahub');
  });

  test.each([
    [200, '{"version": "1"}'],
    [200, '<html>'],
    [404, '{}'],
    [200, `"${'x'.repeat(5 * 1024 * 1024)}"`],
  ])('refuses the answer of another server: %i %.20s', async (code, body) => {
    const url = await serverThatSays(code, body);
    const { stderr, status } = await runCli('status', '--mirror', url);
    expect(status).toBe(1);
    expect(stderr).toMatch(/not a MetaHub that shows \/status.json|more than 4194304 bytes/);
  });

  test('--watch shows the mirror again and again, also after it was away', async () => {
    let facts = FACTS;
    const served = await serve({ status: () => facts });
    const start = `import(${JSON.stringify(MAIN)}).then(({ main }) => main(['node', 'metahub', ...process.argv.slice(1)]))`;
    const words = ['status', '--watch', '--json', '--mirror', `http://127.0.0.1:${served.port}`];
    const watching = await startServer({
      command: process.execPath,
      args: ['--import', 'tsx', '--eval', start, '--', ...words],
      cwd: ROOT,
      ready: /"version":"1\.2\.3"/,
    });
    onTestFinished(() => void watching.stop('SIGKILL'));
    facts = { ...FACTS, version: '1.2.4' };
    await expect.poll(() => watching.output()).toContain('"version":"1.2.4"');
    await served.server.close();
    await expect.poll(() => watching.output()).toContain('no mirror answers');
  });
});
