import { describe, expect, test } from 'vitest';
import type { PushForwarder } from '../../src/oci/push.ts';
import { hashed } from '../support/site.ts';
import { serveSite } from '../support/site-server.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;
const push: PushForwarder = { forward: async (_, res) => void res.writeHead(202).end() };

async function site() {
  const file = `user: ci\npassword: "${await hashed('ci')}"\npush: ["**"]\n`;
  return serveSite({ 'ci.yaml': file }, { push });
}

describe('a site that mirrors ghcr.io, but not evil.example', () => {
  test.each([
    ['GET', '/v2/team/app/manifests/latest?ns=HOST'],
    ['HEAD', '/v2/HOST/team/app/manifests/latest'],
    ['GET', `/v2/HOST/team/app/manifests/${DIGEST}`],
    ['GET', `/v2/team/app/blobs/${DIGEST}?ns=HOST`],
    ['HEAD', `/v2/HOST/team/app/blobs/${DIGEST}`],
    ['GET', '/v2/HOST/team/app/tags/list'],
    ['GET', `/v2/team/app/referrers/${DIGEST}?ns=HOST`],
    ['POST', '/v2/team/app/blobs/uploads/?ns=HOST'],
    ['POST', '/v2/HOST/team/app/blobs/uploads/'],
    ['POST', `/v2/team/app/blobs/uploads/?mount=${DIGEST}&from=HOST/team/app`],
    ['PATCH', '/v2/team/app/blobs/uploads/session?ns=HOST'],
    ['PUT', '/v2/HOST/team/app/manifests/latest'],
    ['DELETE', '/v2/HOST/team/app/manifests/latest'],
  ])('answers %s %s alike for both while the client has no valid login', async (method, path) => {
    const { ask } = await site();
    const answerFor = async (host: string, as: string | undefined) => {
      const answer = await ask(path.replace('HOST', host), { method, as });
      const challenge = answer.headers.get('www-authenticate');
      return JSON.stringify([answer.status, challenge, await answer.text()]).replaceAll(host, 'HOST');
    };
    for (const as of [undefined, 'stranger']) {
      const mirrored = await answerFor('ghcr.io', as);
      expect(mirrored).toMatch(/^\[401,/);
      expect(await answerFor('evil.example', as)).toBe(mirrored);
    }
  });

  test.each([
    ['GET', '/v2/team/app/manifests/latest?ns=evil.example'],
    ['GET', `/v2/evil.example/team/app/blobs/${DIGEST}`],
    ['POST', '/v2/evil.example/team/app/blobs/uploads/'],
  ])('says to a client with a login that evil.example is not configured: %s %s', async (method, path) => {
    const { ask } = await site();
    const answer = await ask(path, { method, as: 'ci' });
    expect([answer.status, await answer.json()]).toMatchObject([403, { errors: [{ code: 'DENIED' }] }]);
  });
});
