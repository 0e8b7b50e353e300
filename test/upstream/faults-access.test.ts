import { describe, expect, test } from 'vitest';
import { upstreamAt } from '../../src/upstream/settings.ts';
import { bearerChallenge, createTokenService } from '../support/guarded-registry.ts';
import { startServer } from '../support/hostile-registry.ts';
import { closing, repository, tagged, upstreamTo } from '../support/upstream.ts';

const app = repository('team/app');

describe('fault 24: 401 for ever', () => {
  test.each([
    ['Basic', 'Basic realm="registry"'],
    ['Bearer', undefined],
  ])('%s: UNAUTHORIZED after at most the requests of one challenge', async (_, basic) => {
    const tokens = createTokenService();
    const server = closing(
      await startServer((request, response) => {
        if (request.url?.startsWith('/token')) return tokens.handler(request, response);
        const challenge = basic ?? bearerChallenge(`http://${request.headers.host}/token`);
        response.writeHead(401, { 'www-authenticate': challenge }).end();
      }),
    );
    const upstream = upstreamTo(upstreamAt(server.url), {
      credentials: { loginFor: async () => ({ kind: 'basic', username: 'ann', password: 'pw' }) },
    });
    const asked = () => upstream.manifest(app, tagged('v1'));
    await expect(asked()).rejects.toMatchObject({ code: 'UNAUTHORIZED', status: 401 });
    await expect(asked()).rejects.toMatchObject({ code: 'UNAUTHORIZED' });
    expect(server.requests.length).toBeLessThanOrEqual(6);
  });
});

describe('fault 26: garbage challenge', () => {
  test.each([
    ['none', undefined],
    ['an empty one', ''],
    ['punctuation', ',,=,"",;'],
    ['Bearer without a realm', 'Bearer service="registry"'],
    ['a scheme nobody knows', 'Negotiate YIIJvwYGKwYBBQUCoIIJszCCCa'],
    ['very much of it', `Bearer ${'x="y",'.repeat(2000)}`],
  ])('%s: UNAUTHORIZED, after one request', async (_, challenge) => {
    const server = closing(
      await startServer(
        (_request, response) =>
          void response
            .writeHead(401, challenge === undefined ? {} : { 'www-authenticate': challenge })
            .end(),
      ),
    );
    const asked = upstreamTo(upstreamAt(server.url)).manifest(app, tagged('v1'));
    await expect(asked).rejects.toMatchObject({ code: 'UNAUTHORIZED', status: 401 });
    expect(server.requests).toHaveLength(1);
  });
});

describe('fault 26: garbage challenge', () => {
  test.each([
    ['is not a URL', 'Bearer realm="http://127.0.0.1/'],
    ['is of another protocol', 'Bearer realm="ftp://127.0.0.1/"'],
    ['contains a user', 'Bearer realm="http://ann@127.0.0.1/"'],
    ['contains a password', 'Bearer realm="http://:secret@127.0.0.1/"'],
  ])('a realm that %s is refused without a request to it', async (_, challenge) => {
    const server = closing(
      await startServer(
        (_, response) => void response.writeHead(401, { 'www-authenticate': challenge }).end(),
      ),
    );
    const asked = upstreamTo(upstreamAt(server.url)).manifest(app, tagged('v1'));
    await expect(asked).rejects.toThrow(`${server.host} names a token service that is not a URL`);
    expect(server.requests).toHaveLength(1);
  });
});
