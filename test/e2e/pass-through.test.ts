import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startDockerRegistry } from '../support/docker-registry.ts';
import { type Dockerd, startDockerd } from '../support/dockerd.ts';
import { type ImageSet, lineOf, pushImageSet } from '../support/image-set.ts';
import { type Metahub, startMetahub } from '../support/metahub.ts';
import { MIRRORED_REGISTRY } from '../support/mirrored-registry.ts';
import { type PrivateHub, startPrivateHub } from '../support/private-hub.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const LOGIN = { username: 'alice', password: 'of-the-hub' };

describeWith(
  [...MIRRORED_REGISTRY, 'dockerd', 'docker'],
  'clients’ own logins passed on to a private Hub',
  () => {
    let workplace: Workplace;
    let hub: PrivateHub;
    let images: ImageSet;
    let metahub: Metahub;
    let dockerd: Dockerd;

    /** What `docker login` writes for Docker Hub; undefined logs out. */
    function login(who: typeof LOGIN | undefined): void {
      const auth = who && Buffer.from(`${who.username}:${who.password}`).toString('base64');
      const auths = auth === undefined ? {} : { 'https://index.docker.io/v1/': { auth } };
      writeFileSync(join(workplace.folder('dockerd/client'), 'config.json'), JSON.stringify({ auths }));
    }

    beforeAll(async () => {
      workplace = openWorkplace();
      const registry = await startDockerRegistry(workplace);
      images = await pushImageSet(workplace, registry);
      hub = await startPrivateHub(workplace, { registry: registry.url, ...LOGIN });
      const config = join(workplace.directory, 'config.yaml');
      writeFileSync(
        config,
        JSON.stringify({ upstream: { 'docker.io': { endpoints: [{ url: hub.url, passThrough: true }] } } }),
      );
      metahub = await startMetahub(workplace, { args: ['--config', config], host: 'cpu:broadwell' });
      dockerd = await startDockerd(workplace, { mirror: metahub.url });
    });
    afterAll(() => workplace?.close());

    test('the mirror answers a client without a login with the challenge of the Hub', async () => {
      const response = await fetch(`${metahub.url}/v2/`);
      expect(response.status).toBe(401);
      expect(response.headers.get('www-authenticate')).toBe(
        `Bearer realm="${hub.url}/token",service="private.example"`,
      );
    });

    test('dockerd pulls a private image with its user’s login, tailored, and the mirror stores no login', async () => {
      login(LOGIN);
      await dockerd.pull('qnib/bench');
      expect(await dockerd.run('qnib/bench')).toBe(lineOf('cpu:broadwell'));
      expect(hub.shown.filter((shown) => shown?.startsWith('Basic'))).toEqual([]);
      expect(metahub.log()).not.toMatch(/of-the-hub|token-\d/);
    });

    test('the mirror does not serve content of one login to a client that the Hub does not know', async () => {
      const { digest } = images.bench;
      for (const headers of [{}, { authorization: 'Bearer stolen' }]) {
        for (const target of [`manifests/${digest}`, 'manifests/latest']) {
          const response = await fetch(`${metahub.url}/v2/qnib/bench/${target}`, { headers });
          expect(response.status, `${target} ${JSON.stringify(headers)}`).toBe(401);
        }
      }
    });

    test('another token of the same login is served from the cache, once the Hub has said that it may', async () => {
      await dockerd.forget();
      await dockerd.pull('qnib/bench');
      expect(await dockerd.run('qnib/bench')).toBe(lineOf('cpu:broadwell'));
    });
  },
);
