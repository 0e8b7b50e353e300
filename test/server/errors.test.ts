import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { type ErrorCode, RegistryError } from '../../src/oci/registry-error.ts';
import { ask, codeOf, serve } from '../support/served.ts';

const PATH = '/v2/team/app/manifests/latest';
const INDEX = Buffer.from('{"schemaVersion":2,"manifests":[]}');

async function serveFailing(failure: unknown) {
  const served = await serve();
  served.registry.before = () => {
    throw failure;
  };
  return served;
}

describe('a registry’s error', () => {
  test.each<[ErrorCode, number]>([
    ['MANIFEST_UNKNOWN', 404],
    ['NAME_UNKNOWN', 404],
    ['DENIED', 403],
    ['TOOMANYREQUESTS', 429],
    ['MANIFEST_INVALID', 502],
    ['UNAVAILABLE', 502],
  ])('%s gives %i and the spec’s JSON', async (code, status) => {
    const { port } = await serveFailing(
      new RegistryError(code, 'registry.test says so', { detail: { tag: 'latest' } }),
    );
    const answer = await ask(port, PATH);
    expect(answer.status).toBe(status);
    expect(answer.headers['content-type']).toBe('application/json');
    expect(JSON.parse(answer.body.toString())).toEqual({
      errors: [{ code, message: 'registry.test says so', detail: { tag: 'latest' } }],
    });
  });

  test('with 401 keeps its challenge', async () => {
    const headers = { 'www-authenticate': 'Bearer realm="https://auth.example/token",service="x"' };
    const { port } = await serveFailing(new RegistryError('UNAUTHORIZED', 'log in', { headers }));
    const answer = await ask(port, PATH);
    expect([answer.status, codeOf(answer)]).toEqual([401, 'UNAUTHORIZED']);
    expect(answer.headers['www-authenticate']).toBe(headers['www-authenticate']);
  });

  test('with 401 but without a challenge becomes 403, because RFC 9110 15.5.2 requires one with every 401', async () => {
    const { port } = await serveFailing(new RegistryError('UNAUTHORIZED', 'registry.test says no'));
    const answer = await ask(port, PATH);
    expect([answer.status, codeOf(answer)]).toEqual([403, 'DENIED']);
    expect(answer.body.toString()).toContain('registry.test says no');
  });

  test.each([400, 405, 406, 415, 451, 503])('keeps the upstream status %i', async (status) => {
    const { port } = await serveFailing(
      new RegistryError('UNAVAILABLE', 'registry.test says so', { status, headers: { 'retry-after': '7' } }),
    );
    const answer = await ask(port, PATH);
    expect(answer.status).toBe(status);
    expect(answer.headers['retry-after']).toBe('7');
    expect(answer.headers['allow']).toBe(status === 405 ? 'GET, HEAD' : undefined);
  });

  test('is not cached', async () => {
    const { port } = await serveFailing(new RegistryError('MANIFEST_UNKNOWN', 'not there'));
    expect((await ask(port, PATH)).headers['cache-control']).toBe('no-store');
  });

  test('keeps its own status: an upstream that never answers gives 504', async () => {
    const { port, log } = await serveFailing(
      new RegistryError('UNAVAILABLE', 'registry.test did not answer', { status: 504 }),
    );
    expect((await ask(port, PATH)).status).toBe(504);
    const line = log.find(({ level }) => level === 'warning');
    expect(line).toMatchObject({ event: 'request-failed', fields: { path: PATH, status: 504 } });
  });

  test('keeps Retry-After and the rate limit, and no other header', async () => {
    const { port } = await serveFailing(
      new RegistryError('TOOMANYREQUESTS', 'enough', {
        headers: {
          'retry-after': '30',
          'ratelimit-limit': '100;w=21600',
          'ratelimit-remaining': '0;w=21600',
          'set-cookie': 'session=1',
          server: 'upstream',
        },
      }),
    );
    const { headers } = await ask(port, PATH);
    expect(headers).toMatchObject({
      'retry-after': '30',
      'ratelimit-limit': '100;w=21600',
      'ratelimit-remaining': '0;w=21600',
    });
    expect(headers['set-cookie']).toBeUndefined();
    expect(headers['server']).toBeUndefined();
  });

  test('that is not a registry’s shows no internals', async () => {
    const { port, log } = await serveFailing(new TypeError('secret of the implementation'));
    const answer = await ask(port, PATH);
    expect([answer.status, codeOf(answer)]).toEqual([500, 'UNKNOWN']);
    expect(answer.body.toString()).not.toContain('secret');
    expect(log.find(({ level }) => level === 'error')?.fields['cause']).toBe('secret of the implementation');
  });

  test('that the client causes is not a warning in the log', async () => {
    const { port, log } = await serveFailing(new RegistryError('MANIFEST_UNKNOWN', 'not there'));
    await ask(port, PATH);
    await expect.poll(() => log.length).toBeGreaterThan(0);
    expect(log.filter(({ level }) => level !== 'debug')).toEqual([]);
  });

  test('about referrers that upstream does not support is 404, so that clients use the referrers tag', async () => {
    const { port } = await serveFailing(new RegistryError('NAME_UNKNOWN', 'no such API'));
    expect((await ask(port, `/v2/team/app/referrers/${digestOf(INDEX)}`)).status).toBe(404);
  });
});

test('a manifest has the headers of a stale response and of upstream’s rate limits', async () => {
  const { port, registry } = await serve();
  const notices = { warning: '110 - "Response is Stale"', 'ratelimit-remaining': '7;w=21600' };
  registry.manifest = async () => ({
    digest: digestOf(INDEX),
    mediaType: MEDIA_TYPE.ociIndex,
    bytes: INDEX,
    maxAgeMs: 0,
    notices,
  });
  for (const method of ['GET', 'HEAD'])
    expect((await ask(port, PATH, { method })).headers).toMatchObject(notices);
});

test('a manifest requested by its sha512 digest is sent with its sha512 digest', async () => {
  const { port, registry } = await serve();
  const digest = digestOf(INDEX, 'sha512');
  registry.manifest = async () => ({
    digest,
    mediaType: MEDIA_TYPE.ociIndex,
    bytes: INDEX,
    maxAgeMs: Number.POSITIVE_INFINITY,
  });
  const { status, headers, body } = await ask(port, `/v2/team/app/manifests/${digest}`);
  expect([status, headers['docker-content-digest'], body.equals(INDEX)]).toEqual([200, digest, true]);
});
