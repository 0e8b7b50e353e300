import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '../support/loopback.ts';
import type { Metahub } from '../support/metahub.ts';
import {
  Browser,
  DEVICE_CLIENT,
  type OpenidProvider,
  SITE_CLIENT,
  startOpenidProvider,
} from '../support/oidc-provider.ts';
import { startRedis } from '../support/redis.ts';
import { startReplicas } from '../support/replicas.ts';
import { describeWith } from '../support/required-programs.ts';
import { untilReady } from '../support/until-ready.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const PERSON = { email: 'alice@example.org', groups: ['hpc'] };

/** Of both tests together less than ten refusals: more are counted in one line. */
const ROUNDS = 2;

describeWith(['redis-server', 'redis-cli'], 'people at two replicas that share a Redis', () => {
  let workplace: Workplace;
  let provider: OpenidProvider;
  let replicas: readonly Metahub[];
  let siteUrl: string;

  beforeAll(async () => {
    workplace = openWorkplace();
    const redis = await startRedis(workplace);
    siteUrl = `http://127.0.0.1:${await freePort()}`;
    provider = await startOpenidProvider({ 'sub-alice': PERSON }, () => [`${siteUrl}/login/callback`]);
    workplace.onClose(provider.close);
    const machines = join(workplace.directory, 'machines.d');
    mkdirSync(machines);
    const secret = join(workplace.directory, 'oidc.secret');
    writeFileSync(secret, `${SITE_CLIENT.secret}\n`, { mode: 0o600 });
    const settings = join(workplace.directory, 'config.yaml');
    writeFileSync(
      settings,
      `siteUrl: ${siteUrl}
machines: ${machines}
shared: redis://127.0.0.1:${redis.port}
oidc:
  issuer: ${provider.issuer}
  clientId: ${SITE_CLIENT.id}
  clientSecretFile: ${secret}
  deviceClientId: ${DEVICE_CLIENT}
  accounts: [{ claims: { groups: hpc }, account: "{email}" }]
`,
    );
    replicas = await startReplicas(workplace, 2, {
      upstream: 'http://127.0.0.1:9',
      args: ['--config', settings],
      argsOf: (at) => (at === 0 ? ['--listen', siteUrl.slice('http://'.length)] : []),
    });
    for (const replica of replicas) await untilReady(replica);
  });
  afterAll(() => workplace?.close());

  const refusals = () => replicas.flatMap(({ log }) => [...log().matchAll(/"reason":"login-used"/g)]).length;

  /** Sends the same to both at the same time; returns their statuses, the lower one first. */
  async function toBoth(send: (replica: Metahub) => Promise<Response>): Promise<readonly number[]> {
    const answers = await Promise.all(replicas.map(send));
    return answers.map(({ status }) => status).sort();
  }

  test('a callback that is sent to both opens one session, each time', async () => {
    const before = refusals();
    for (let round = 0; round < ROUNDS; round += 1) {
      const browser = new Browser();
      const { url } = await browser.logIn(`${siteUrl}/login`, 'sub-alice', `${siteUrl}/login/callback`);
      const cookie = [...browser.cookiesFor(siteUrl)].map((pair) => pair.join('=')).join('; ');
      const path = url.slice(siteUrl.length);
      const send = (replica: Metahub) =>
        fetch(`${replica.url}${path}`, { redirect: 'manual', headers: { cookie } });
      expect(await toBoth(send)).toEqual([303, 403]);
      expect(await toBoth(send)).toEqual([403, 403]);
    }
    // Not by the provider, which would refuse the used code itself.
    expect(refusals() - before).toBe(ROUNDS * 3);
  });

  test('an ID token that is sent to both is exchanged once, each time', async () => {
    const before = refusals();
    for (let round = 0; round < ROUNDS; round += 1) {
      const nowS = Math.floor(Date.now() / 1000);
      const idToken = await provider.sign({
        ...{ iss: provider.issuer, aud: DEVICE_CLIENT, sub: 'sub-alice', iat: nowS, exp: nowS + 300 },
        ...{ ...PERSON, jti: `token ${round}` },
      });
      const form = () =>
        new URLSearchParams({
          grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
          subject_token: idToken,
          subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
        });
      const send = ({ url }: Metahub) => fetch(`${url}/login/token`, { method: 'POST', body: form() });
      expect(await toBoth(send)).toEqual([200, 403]);
    }
    expect(refusals() - before).toBe(ROUNDS);
  });
});
