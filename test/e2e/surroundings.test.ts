import { randomBytes } from 'node:crypto';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { bearerChallenge, createTokenService, requireBearer } from '../support/guarded-registry.ts';
import { createContent, type Handler, serveContent } from '../support/hostile-registry.ts';
import { startInternet } from '../support/internet.ts';
import { startMetahub } from '../support/metahub.ts';
import { ask } from '../support/served.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

// What `metahub serve` takes from the environment it is started in, as a process of its own.

const IMAGE = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, layers: [] };
const LOGIN = { Username: 'ann', Secret: 'of-the-helper' };

describe('a Docker Hub behind a proxy, whose login a credential helper knows', () => {
  let workplace: Workplace;
  beforeAll(() => {
    workplace = openWorkplace();
  });
  afterAll(() => workplace.close());

  /** A docker configuration that sends for the Hub's login to a helper on a PATH of its own. */
  function dockerConfig() {
    const folder = workplace.folder('docker');
    const helper = join(folder, 'docker-credential-mine');
    writeFileSync(
      helper,
      `#!/bin/sh\nread server\ntest "$server" = https://index.docker.io/v1/ && echo '${JSON.stringify(LOGIN)}'\n`,
    );
    chmodSync(helper, 0o755);
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ credHelpers: { 'docker.io': 'mine' } }));
    return { DOCKER_CONFIG: folder, PATH: `${folder}:${process.env['PATH']}` };
  }

  async function start(environment: Readonly<Record<string, string>> = {}) {
    const content = createContent();
    const layer = randomBytes(3_000_000);
    const digest = content.putBlob(layer);
    content.putManifest(IMAGE, MEDIA_TYPE.ociManifest, 'v1');
    const tokens = createTokenService();
    const challenge = bearerChallenge('https://auth.docker.io/token', 'registry.docker.io');
    const hub: Handler = requireBearer(tokens, challenge, serveContent(content));
    const internet = await startInternet({ 'registry-1.docker.io': hub, 'auth.docker.io': tokens.handler });
    const { proxy, extraAuthorities = [] } = internet.options;
    const metahub = await startMetahub(workplace, {
      args: ['--upstream', 'docker.io', '--upstream', 'elsewhere.invalid', '--own-logins', 'on'],
      env: {
        ...dockerConfig(),
        // Lower case would be stronger.
        ...{ https_proxy: '', no_proxy: '' },
        HTTPS_PROXY: proxy?.https ?? '',
        NODE_EXTRA_CA_CERTS: extraAuthorities[0] ?? '',
        ...environment,
      },
    });
    return { internet, metahub, port: Number(new URL(metahub.url).port), digest, layer };
  }

  test('is reached by it, over TLS, and the login is shown to the token service only', async () => {
    const { internet, metahub, port, digest, layer } = await start();
    expect((await ask(port, '/v2/team/app/manifests/v1')).status).toBe(200);
    expect((await ask(port, `/v2/team/app/blobs/${digest}`)).body.equals(layer)).toBe(true);
    const shownTo = (host: string) => [
      ...new Set(internet.asked(host).map(({ headers }) => headers['authorization'])),
    ];
    const basic = `Basic ${Buffer.from('ann:of-the-helper').toString('base64')}`;
    expect(shownTo('auth.docker.io')).toEqual([basic]);
    expect(shownTo('registry-1.docker.io')).toEqual([undefined, 'Bearer token-1']);
    expect([...new Set(internet.proxy.targets)]).toEqual(['registry-1.docker.io:443', 'auth.docker.io:443']);
    expect(metahub.log()).not.toMatch(/of-the-helper|token-1/);
  });

  test('a host in NO_PROXY is reached without the proxy', async () => {
    const { internet, port } = await start({ NO_PROXY: 'elsewhere.invalid' });
    const path = '/v2/elsewhere.invalid/team/app/manifests/v1';
    expect((await ask(port, path)).body.toString()).toContain('DNS');
    expect(internet.proxy.targets).toEqual([]);
  });
});
