import { createServer, type ServerResponse } from 'node:http';
import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../src/lib/config-error.ts';
import type { Log } from '../../src/lib/log.ts';
import { RegistryError } from '../../src/oci/registry-error.ts';
import type { AuditEntry } from '../../src/site/audit.ts';
import {
  answering,
  basicRefusal,
  type MESSAGES,
  type SiteAnswer,
  sendJson,
  unauthorized,
} from '../../src/site/responses.ts';
import { listenOnLoopback } from '../support/loopback.ts';
import { afterTest } from '../support/upstream.ts';

type Line = Parameters<Log>;

/** A server with one endpoint, and what it logs and audits. */
async function serving(answer: SiteAnswer) {
  const lines: Line[] = [];
  const audited: AuditEntry[] = [];
  const handler = answering(
    {
      what: 'the list',
      log: (...line) => void lines.push(line),
      audit: (entry) => void audited.push(entry),
      clientAddress: (address, headers) => `${address} for ${headers['x-client']}`,
    },
    answer,
  );
  const server = createServer(handler);
  const port = await listenOnLoopback(server);
  afterTest(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  const ask = (signal?: AbortSignal) =>
    fetch(`http://127.0.0.1:${port}/list?name=secret`, {
      headers: { 'x-client': 'a' },
      ...(signal && { signal }),
    });
  return { lines, audited, ask };
}

const WHO = { decision: 'refused', address: '127.0.0.1 for a', resource: '/list' };

describe('an endpoint of a site', () => {
  test.each<[string, Error, string]>([
    ['400', new RegistryError('NAME_INVALID', 'no'), 'invalid-body'],
    ['403', new RegistryError('DENIED', 'no'), 'not-allowed'],
    ['405', new RegistryError('UNSUPPORTED', 'no'), 'method-not-allowed'],
    ['413', new RegistryError('DENIED', 'no', { status: 413 }), 'too-large'],
    ['502', new RegistryError('UNAVAILABLE', 'no'), 'internal'],
    [
      '409',
      new RegistryError('NAME_INVALID', 'no', { status: 409, cause: new ConfigError('exists', 'no') }),
      'exists',
    ],
  ])(
    'answers a refusal with %s, one line of the audit trail, and no error in the log',
    async (status, error, reason) => {
      const { ask, lines, audited } = await serving(async () => {
        throw error;
      });
      const answer = await ask();
      expect([answer.status, await answer.json()]).toEqual([
        Number(status),
        { errors: [{ code: (error as RegistryError).code, message: 'no' }] },
      ]);
      expect(audited).toEqual([{ ...WHO, reason }]);
      expect(lines).toEqual([]);
    },
  );

  test('answers another failure with 500 without its reason, which is in the log', async () => {
    const { ask, lines, audited } = await serving(async () => {
      throw new Error('the disk /srv is full');
    });
    const answer = await ask();
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect([answer.status, await answer.json()]).toEqual([
      500,
      { errors: [{ code: 'UNKNOWN', message: 'the list failed' }] },
    ]);
    const reason = 'Error: the disk /srv is full';
    expect(lines).toEqual([['error', 'endpoint-failed', 'the list failed', { reason }]]);
    expect(audited).toEqual([{ ...WHO, reason: 'internal' }]);
  });

  test('gives the reason that the endpoint has found', async () => {
    const { ask, audited } = await serving(async (_request, _response, trail) => {
      Object.assign(trail, { reason: 'cross-site', who: 'lab' });
      throw new RegistryError('DENIED', 'no', { headers: { 'x-more': 'yes' } });
    });
    const answer = await ask();
    expect([answer.status, answer.headers.get('x-more')]).toEqual([403, 'yes']);
    expect(audited).toEqual([{ ...WHO, who: 'lab', reason: 'cross-site' }]);
  });

  test('cuts an answer off that has begun, and logs why', async () => {
    const { ask, lines } = await serving(async (_request, response) => {
      response.writeHead(200, { 'content-length': 10 });
      await new Promise<void>((resolve) => response.write('half', () => resolve()));
      throw new Error('gone');
    });
    await expect(ask().then((answer) => answer.text())).rejects.toThrow();
    expect(lines.map(([, event]) => event)).toEqual(['endpoint-failed']);
  });

  test('logs no error when the client has left, which is the reason for it', async () => {
    let arrived: (response: ServerResponse) => void = () => {};
    const arrival = new Promise<ServerResponse>((resolve) => {
      arrived = resolve;
    });
    const { ask, lines, audited } = await serving(async (_request, response) => {
      const left = new Promise((resolve) => response.once('close', resolve));
      arrived(response);
      await left;
      throw new Error('the client left');
    });
    const client = new AbortController();
    const asked = ask(client.signal);
    await arrival;
    client.abort();
    await expect(asked).rejects.toThrow('aborted');
    await expect.poll(() => audited).toEqual([{ ...WHO, reason: 'internal' }]);
    expect(lines).toEqual([]);
  });

  test('sends JSON that no cache stores, with further headers', async () => {
    const { ask } = await serving(async (_request, response) =>
      sendJson(response, 201, { a: 1 }, { 'x-more': 'b' }),
    );
    const answer = await ask();
    expect([answer.status, await answer.json()]).toEqual([201, { a: 1 }]);
    expect(['cache-control', 'x-more'].map((name) => answer.headers.get(name))).toEqual(['no-store', 'b']);
  });
});

describe('the answer to a failed login', () => {
  const where = { siteUrl: () => 'https://hub.test', headers: {} };
  const BEARER = 'Bearer realm="https://hub.test/token",service="metahub"';
  const BASIC = 'Basic realm="metahub"';

  test.each<[keyof typeof MESSAGES, string, string]>([
    ['no-credentials', '', 'this site needs a login'],
    ['malformed-credentials', '', 'the Authorization header is neither Basic nor Bearer'],
    ['wrong-credentials', '', 'there is no such login, or the password is wrong'],
    ['unknown-machine', '', 'the user name describes no machine: write ACCOUNT/cpu#zen4,nvcap#9.0'],
    ['expired-access-token', '', 'the access token has expired: make another with metahub token create'],
    ['expired-token', ',error="invalid_token"', 'the token has expired: ask for another'],
    [
      'invalid-token',
      ',error="invalid_token"',
      'the token is not of this site, or its login has changed: ask for another',
    ],
  ])('is 401 with the next step: %s', (reason, error, message) => {
    const [docker, http] = [unauthorized({ reason }, where), basicRefusal({ reason })];
    const isMissing = reason === 'no-credentials';
    expect(docker).toMatchObject({
      ...{ status: 401, code: 'UNAUTHORIZED', message: isMissing ? `${message}: docker login` : message },
      headers: { 'www-authenticate': `${BEARER}${error}, ${BASIC}` },
    });
    expect(http).toMatchObject({
      ...{ status: 401, code: 'UNAUTHORIZED' },
      message: isMissing ? `${message}: send user name and password by HTTP Basic` : message,
      headers: { 'www-authenticate': BASIC },
    });
  });
});
