import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { type Dockerd, startDockerd } from '../support/dockerd.ts';
import { type ImageSet, lineOf, pushImageSet } from '../support/image-set.ts';
import { type Metahub, startMetahub } from '../support/metahub.ts';
import { MIRRORED_REGISTRY } from '../support/mirrored-registry.ts';
import { openPodman } from '../support/podman.ts';
import { describeWith } from '../support/required-programs.ts';
import { openSkopeo } from '../support/skopeo.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const SITE = ['--static-machines', 'on'];

describeWith([...MIRRORED_REGISTRY, 'dockerd', 'docker'], 'a site that chooses by login', () => {
  let workplace: Workplace;
  let registry: DockerRegistry;
  let images: ImageSet;
  let metahub: Metahub;
  let dockerd: Dockerd;
  let site: string;
  let image: string;
  const login = (type: string) => dockerd.docker('login', '--username', type, '--password', type, site);

  beforeAll(async () => {
    workplace = openWorkplace();
    registry = await startDockerRegistry(workplace);
    images = await pushImageSet(workplace, registry);
    metahub = await startMetahub(workplace, { upstream: registry.url, args: SITE });
    dockerd = await startDockerd(workplace, { mirror: registry.url });
    site = new URL(metahub.url).host;
    image = `${site}/qnib/bench`;
  });
  afterAll(() => workplace?.close());

  test('refuses a pull without a login', async () => {
    const pull = await dockerd.attempt('pull', image);
    expect(pull.status).not.toBe(0);
    expect(pull.stderr).toMatch(/no basic auth credentials|unauthorized|authentication required/);
  });

  test('a wrong password is refused at the login', async () => {
    const wrong = await dockerd.attempt('login', '--username', 'qnib-type1', '--password', 'guess', site);
    expect(wrong.status).not.toBe(0);
    expect(wrong.stderr).toMatch(/unauthorized|incorrect username or password/);
  });

  test('follows logins as type1, then type2, then type4', async () => {
    await login('qnib-type1');
    const first = await dockerd.docker('run', '--rm', '--network', 'none', image);
    expect(first.trim()).toBe(lineOf('cpu:broadwell'));
    const digests = await dockerd.digestsOf(image);

    await login('qnib-type2');
    expect(await dockerd.pull(image)).toContain('Downloaded newer image');
    expect(await dockerd.run(image)).toBe(lineOf('cpu:skylake'));
    expect(await dockerd.digestsOf(image)).not.toEqual(digests);

    await login('qnib-type4');
    await dockerd.pull(image);
    expect(await dockerd.run(image)).toBe(lineOf('cpu:broadwell,nvcap:5.2'));
  });

  test('type3, a Coffee Lake without an image of its own, runs the code of its ancestor', async () => {
    await login('qnib-type3');
    await dockerd.pull(image);
    expect(await dockerd.run(image)).toBe(lineOf('cpu:skylake'));
  });

  test('type0, without features, runs the generic entry', async () => {
    await login('qnib-type0');
    await dockerd.pull(image);
    expect(await dockerd.run(image)).toBe(lineOf('generic'));
  });

  test('after logging out, a pull is refused again', async () => {
    await login('qnib-type1');
    await dockerd.docker('logout', site);
    expect((await dockerd.attempt('pull', image)).status).not.toBe(0);
  });

  describeWith(['podman', 'runc'], 'podman', () => {
    test.each([
      ['qnib-type1', 'cpu:broadwell'],
      ['qnib-type2', 'cpu:skylake'],
      ['qnib-type4', 'cpu:broadwell,nvcap:5.2'],
    ])('logged in as %s runs %s', async (type, line) => {
      const podman = openPodman(workplace, { mirror: metahub.url });
      await podman.podman('login', '--tls-verify=false', '--username', type, '--password', type, site);
      await podman.pull(`${image}:latest`, '--tls-verify=false');
      expect(await podman.run(`${image}:latest`)).toBe(lineOf(line));
    });
  });

  describeWith(['skopeo'], 'skopeo', () => {
    test.each([
      ['qnib-type1', 'cpu:broadwell'],
      ['qnib-type2', 'cpu:skylake'],
      ['qnib-type4', 'cpu:broadwell,nvcap:5.2'],
    ])('logged in as %s copies %s', async (type, line) => {
      const skopeo = openSkopeo(workplace, { mirror: metahub.url });
      await skopeo.skopeo('login', '--tls-verify=false', '--username', type, '--password', type, site);
      expect((await skopeo.copy(`${image}:latest`)).digest).toBe(images.bench.entry(line));
    });
  });
});

describeWith([...MIRRORED_REGISTRY, 'dockerd', 'docker'], 'a site that matches exactly, as in 2019', () => {
  let workplace: Workplace;
  afterAll(() => workplace?.close());

  describe('type3, for which there is no image', () => {
    test('is refused, with the reason', async () => {
      workplace = openWorkplace();
      const registry = await startDockerRegistry(workplace);
      await pushImageSet(workplace, registry);
      const args = [...SITE, '--match', 'exact'];
      const metahub = await startMetahub(workplace, { upstream: registry.url, args });
      const dockerd = await startDockerd(workplace, { mirror: registry.url });
      const site = new URL(metahub.url).host;
      await dockerd.docker('login', '--username', 'qnib-type3', '--password', 'qnib-type3', site);
      const pull = await dockerd.attempt('pull', `${site}/qnib/bench`);
      expect(pull.status).not.toBe(0);
      expect(pull.stderr).toMatch(/no (?:entry|matching)/i);
    });
  });
});
