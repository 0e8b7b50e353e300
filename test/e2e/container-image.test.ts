import { afterAll, beforeAll, expect, test } from 'vitest';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { type Dockerd, startDockerd } from '../support/dockerd.ts';
import { pushIndex } from '../support/image-set.ts';
import { freePort } from '../support/loopback.ts';
import { buildMetahubImage, METAHUB_IMAGE } from '../support/metahub-image.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const IMAGE = 'qnib/metahub:built';

/** The status of an answer; undefined while nobody answers. */
async function statusOf(url: string, user?: string): Promise<number | undefined> {
  const authorization = user === undefined ? {} : { authorization: `Basic ${btoa(`${user}:${user}`)}` };
  return fetch(url, { headers: authorization }).then(
    (response) => response.status,
    () => undefined,
  );
}

describeWith(
  ['root', 'dockerd', 'docker', 'docker-registry', 'gcc', ...METAHUB_IMAGE],
  'the container image of MetaHub, run by dockerd',
  () => {
    let workplace: Workplace;
    let dockerd: Dockerd;
    let registry: DockerRegistry;

    beforeAll(async () => {
      workplace = openWorkplace();
      const loadable = await buildMetahubImage(workplace, IMAGE);
      registry = await startDockerRegistry(workplace);
      await pushIndex(workplace, registry, 'qnib/bench', 'docker', [
        { optimizedFor: 'generic' },
        { optimizedFor: 'cpu:broadwell', features: ['cpu:broadwell'] },
      ]);
      dockerd = await startDockerd(workplace, { mirror: 'http://127.0.0.1:1' });
      await dockerd.docker('load', '--quiet', '--input', loadable);
    }, 600_000);
    afterAll(() => workplace?.close());

    test('runs as a user without rights, on a read-only root, and serves by PORT and METAHUB_ variables', async () => {
      const port = await freePort();
      await dockerd.docker(
        ...['run', '--detach', '--name', 'mirror', '--network', 'host', '--read-only', '--cap-drop', 'ALL'],
        ...[
          '--env',
          `PORT=${port}`,
          '--env',
          'METAHUB_SET=cpu:broadwell',
          '--env',
          'METAHUB_PUBLIC_REGISTRIES=off',
        ],
        ...['--env', `METAHUB_UPSTREAM=docker.io=${registry.url}`, IMAGE],
      );
      await expect.poll(() => statusOf(`http://127.0.0.1:${port}/readyz`)).toBe(200);
      const answer = await fetch(`http://127.0.0.1:${port}/v2/qnib/bench/manifests/latest`, {
        headers: { accept: 'application/vnd.docker.distribution.manifest.list.v2+json' },
      });
      expect(answer.status).toBe(200);
      // The derived index has one entry for this platform instead of two.
      expect(((await answer.json()) as { manifests: readonly unknown[] }).manifests).toHaveLength(1);

      const look =
        "const {writeFileSync:w}=require('fs');const t=(p)=>{try{w(p,'');return 'written'}catch(e){return e.code}};";
      const seen = await dockerd.docker(
        ...['exec', 'mirror', '/usr/lib/metahub/node', '--eval'],
        `${look} console.log(process.getuid(), process.env.HOME, t('/x'), t('/var/cache/metahub/x'))`,
      );
      expect(seen).toBe('65532 / EROFS written\n');
      await dockerd.docker('rm', '--force', '--volumes', 'mirror');
    });

    test('listens on every address of the container', async () => {
      await dockerd.docker('run', '--detach', '--name', 'every', '--network', 'none', IMAGE);
      await expect.poll(() => dockerd.docker('logs', 'every')).toContain('http://0.0.0.0:5080');
      await dockerd.docker('rm', '--force', '--volumes', 'every');
    });

    test('ends within its time and with success when it is stopped', async () => {
      await dockerd.docker('run', '--detach', '--name', 'stopped', '--network', 'none', IMAGE);
      await expect.poll(() => dockerd.docker('logs', 'stopped')).toContain('http://');
      await dockerd.docker('stop', '--time', '20', 'stopped');
      expect(await dockerd.docker('inspect', '--format', '{{.State.ExitCode}}', 'stopped')).toBe('0\n');
      await dockerd.docker('rm', '--volumes', 'stopped');
    });

    test('serves the demonstration as a service of a swarm: PORT, STATIC_MACHINES and the host’s network', async () => {
      const [port, swarmPort] = [await freePort(), await freePort()];
      const swarm = ['--advertise-addr', '127.0.0.1', '--listen-addr', `127.0.0.1:${swarmPort}`];
      await dockerd.docker('swarm', 'init', ...swarm);
      workplace.onClose(() => dockerd.attempt('swarm', 'leave', '--force'));
      await dockerd.docker(
        ...['service', 'create', '--detach', '--name', 'metahub', '-e', `PORT=${port}`, '--network', 'host'],
        ...['-e', 'STATIC_MACHINES=true', '-e', 'METAHUB_PUBLIC_REGISTRIES=off'],
        ...['-e', `METAHUB_UPSTREAM=docker.io=${registry.url}`, IMAGE],
      );
      const url = `http://127.0.0.1:${port}/v2/`;
      await expect.poll(() => statusOf(url)).toBe(401);
      expect(await statusOf(url, 'qnib-type1')).toBe(200);
      const pulled = `127.0.0.1:${port}/qnib/bench`;
      const password = ['login', '--username', 'qnib-type1', '--password', 'qnib-type1'];
      await dockerd.docker(...password, `127.0.0.1:${port}`);
      await dockerd.pull(pulled);
      expect(await dockerd.run(pulled)).toBe('>> This container is optimized for: cpu:broadwell');
      await dockerd.docker('service', 'rm', 'metahub');
    });
  },
);
