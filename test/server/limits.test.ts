import { readFileSync } from 'node:fs';
import { Agent, get, type IncomingMessage } from 'node:http';
import { expect, onTestFinished, test } from 'vitest';
import { DEFAULT_LIMITS } from '../../src/server/connections.ts';
import { ask, openGate, serve } from '../support/served.ts';

const SECURITY = readFileSync(new URL('../../docs/security.md', import.meta.url), 'utf8').replaceAll(
  /\s+/g,
  ' ',
);

const kib = (bytes: number) => `${bytes / 1024} KiB`;
const mib = (bytes: number) => `${bytes / 2 ** 20} MiB`;
const counted = (count: number) => count.toLocaleString('en');

test('docs/security.md says the limits of a server', () => {
  const limits = DEFAULT_LIMITS;
  for (const sentence of [
    `A request target has at most ${kib(limits.targetBytes)}, and all headers ${kib(limits.headerBytes)}, which a client sends within ${limits.headersTimeoutMs / 1000} seconds;`,
    `an upload takes at most ${limits.uploadTimeoutMs / 3_600_000} hours.`,
    `MetaHub answers ${counted(limits.inFlight)} requests at once, keeps ${mib(limits.responseCacheBytes)} of answers in memory,`,
    `closes a connection ${limits.keepAliveTimeoutMs / 1000} seconds after its last answer, or after ${limits.idleTimeoutMs / 60_000} minutes without traffic.`,
    `at most half of the ${counted(limits.connections)} connections`,
    `and ${mib(limits.answerBytes)} while MetaHub sends them.`,
  ]) {
    expect(SECURITY).toContain(sentence);
  }
});

test('an answer says how long its connection stays open', async () => {
  const { port } = await serve();
  const agent = new Agent({ keepAlive: true });
  onTestFinished(() => agent.destroy());
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get({ port, agent, path: '/v2/', host: '127.0.0.1' }, resolve).on('error', reject);
  });
  response.resume();
  expect(response.headers['keep-alive']).toBe('timeout=65');
});

test('a mirror with logins on loopback answers under any name: a page under another name has no login', async () => {
  const { registry } = await serve();
  registry.putManifest({ schemaVersion: 2, manifests: [] }, { tag: 'latest' });
  for (const [hasLogins, status] of [
    [true, 200],
    [false, 403],
  ] as const) {
    const { port } = await serve({ gate: openGate(registry), hasLogins });
    const headers = { host: 'hub.example.org' };
    expect((await ask(port, '/v2/library/app/manifests/latest', { headers })).status).toBe(status);
  }
});
