import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { renderSiteChart } from '../../scripts/manifests.ts';
import {
  DEBIAN_RELEASE,
  type DebianRelease,
  openDebianRelease,
  ReleaseUnavailableError,
} from '../support/debian-release.ts';
import { startDockerRegistry } from '../support/docker-registry.ts';
import { type Dockerd, startDockerd } from '../support/dockerd.ts';
import { lineOf, pushIndex } from '../support/image-set.ts';
import { parseManifests } from '../support/kubernetes-tools.ts';
import { buildMetahubImage, METAHUB_IMAGE } from '../support/metahub-image.ts';
import {
  NETWORK_NAMESPACE,
  type NetworkNamespace,
  openNetworkNamespace,
} from '../support/network-namespace.ts';
import { podArguments, podIn } from '../support/pod.ts';
import { run } from '../support/processes.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
interface Releases {
  readonly trixie: DebianRelease;
  readonly forky: DebianRelease;
}

const SITE = 'http://127.0.0.1:5080';
/** The replicas’ network, whose first address is the machine itself. */
const SUBNET = '172.30.0.0/24';
const MACHINE = '172.30.0.1';
/** Has curl print the status of an answer, and nothing else. */
const STATUS = ['--output', '/dev/null', '--write-out', '%{http_code}'];

describeWith(
  [
    ...DEBIAN_RELEASE,
    ...METAHUB_IMAGE,
    ...NETWORK_NAMESPACE,
    'dockerd',
    'docker',
    'docker-registry',
    'gcc',
    'tar',
  ],
  'deploy/compose/site.yaml, started by docker compose',
  () => {
    let workplace: Workplace;
    let network: NetworkNamespace;
    let dockerd: Dockerd;
    let compose: (...words: readonly string[]) => Promise<string>;

    let unavailable: string | undefined;

    /** Debian 12 has no Compose, and no nginx that resolves names again. */
    async function openReleases(): Promise<Releases> {
      const trixie = await openDebianRelease({
        name: 'compose',
        suites: ['trixie'],
        packages: ['docker-compose', 'valkey-server', 'dash', 'coreutils'],
      });
      return {
        trixie,
        forky: await openDebianRelease({ name: 'nginx', suites: ['forky'], packages: ['nginx'] }),
      };
    }

    /** What the images of the file hold, from Debian: Valkey 8, and an nginx that resolves names again (1.27.3). */
    async function loadImages({ trixie, forky }: Releases): Promise<void> {
      await dockerd.docker(
        'load',
        '--quiet',
        '--input',
        await buildMetahubImage(workplace, 'ghcr.io/qnib/metahub:0.1.0'),
      );
      const images = [
        { name: 'valkey/valkey:8', tree: trixie.tree, command: ['valkey-server'] },
        { name: 'nginx:1.28', tree: forky.tree, command: ['nginx', '-g', 'daemon off;'] },
      ];
      for (const { name, tree, command } of images) {
        const archive = join(workplace.directory, 'image.tar');
        await run('tar', ['--create', '--file', archive, '--directory', tree, '.']);
        await dockerd.docker('import', '--change', `CMD ${JSON.stringify(command)}`, archive, name);
      }
    }

    /** The steps of docs/replicas.md, up to the start; two machine types more. */
    async function prepare(folder: string): Promise<void> {
      const text = readFileSync(join(ROOT, 'docs/replicas.md'), 'utf8');
      const [, block = ''] = /cd deploy\/compose && ([\s\S]*?)```/.exec(text) ?? [];
      const steps = block.trim().split(/\n +\$ /);
      expect(steps.pop()).toBe('docker compose --file site.yaml up --detach');
      const types = ['bdw --feature cpu:broadwell', 'skl --feature cpu:skylake'];
      steps.splice(
        -2,
        0,
        ...types.map((type) => `metahub machine add qnib ${type} --machines site/machines.d`),
      );
      const functions = [
        `metahub() { '${process.execPath}' '${join(ROOT, 'bin/metahub.js')}' "$@"; }`,
        // Whoever runs the tests is root.
        'sudo() { "$@"; }',
      ];
      await run('sh', ['-euc', [...functions, ...steps].join('\n')], { cwd: folder });
    }

    const curl = (...words: readonly string[]) =>
      network.programs.run('curl', ['--silent', '--show-error', ...words]);
    const ready = () => curl(`${SITE}/readyz`).catch(String);
    const replicas = async () => (await compose('ps', '--quiet', 'metahub')).trim().split('\n');
    const addressOf = async (container: string) =>
      (
        await dockerd.docker(
          'inspect',
          '--format',
          '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}',
          container,
        )
      ).trim();

    beforeAll(async () => {
      const releases = await openReleases().catch((error: unknown) => {
        if (error instanceof ReleaseUnavailableError) return error;
        throw error;
      });
      if (releases instanceof ReleaseUnavailableError) {
        unavailable = `Debian’s archive does not deliver newer releases: ${releases.message}`;
        process.stderr.write(`SKIPPED deploy/compose/site.yaml: ${unavailable}\n`);
        return;
      }
      workplace = openWorkplace();
      network = await openNetworkNamespace(workplace);
      dockerd = await startDockerd(workplace, { programs: network.programs });
      await loadImages(releases);
      const folder = workplace.folder('compose');
      cpSync(join(ROOT, 'deploy/compose'), folder, { recursive: true });
      await prepare(folder);

      const registry = await startDockerRegistry(workplace);
      await pushIndex(workplace, registry, 'qnib/bench', 'docker', [
        { optimizedFor: 'generic' },
        { optimizedFor: 'cpu:skylake', features: ['cpu:skylake'] },
        { optimizedFor: 'cpu:broadwell', features: ['cpu:broadwell'] },
      ]);
      await registry.stop();
      const upstream = await network.programs.startServer({
        command: 'docker-registry',
        args: ['serve', join(workplace.directory, 'registry/config.yml')],
        env: { REGISTRY_HTTP_ADDR: ':5000' },
        ready: /listening on/,
      });
      workplace.onClose(() => upstream.stop());
      // What a test has in the place of Docker Hub, and nothing else.
      const test = {
        services: { metahub: { environment: { METAHUB_UPSTREAM: `docker.io=http://${MACHINE}:5000` } } },
        networks: { site: { ipam: { config: [{ subnet: SUBNET }] } } },
      };
      writeFileSync(join(folder, 'test.yaml'), JSON.stringify(test));
      compose = (...words) =>
        releases.trixie.programs.run(
          '/usr/libexec/docker/cli-plugins/docker-compose',
          ['--file', join(folder, 'site.yaml'), '--file', join(folder, 'test.yaml'), ...words],
          { env: { DOCKER_HOST: dockerd.host } },
        );
      await compose('up', '--detach', '--pull', 'never');
      workplace.onClose(() => compose('down', '--timeout', '1'));
    }, 900_000);
    beforeEach(({ skip }) => skip(unavailable !== undefined, unavailable));
    afterAll(() => workplace?.close());

    test('nginx asks each of three replicas in turn, and all of them share Redis', async () => {
      await expect.poll(ready).toBe('ready\n');
      const containers = await replicas();
      expect(containers).toHaveLength(3);
      for (const container of containers) {
        const url = `http://${await addressOf(container)}:5080`;
        await expect.poll(() => curl(`${url}/metrics`)).toMatch(/^metahub_shared_up 1$/m);
      }
      const askedAll = async () => {
        await curl('--output', '/dev/null', `${SITE}/v2/`);
        const addresses = await Promise.all(containers.map(addressOf));
        const metrics = await Promise.all(addresses.map((address) => curl(`http://${address}:5080/metrics`)));
        return metrics.every((text) => /^metahub_requests_total\{.*status="401".*\} [1-9]/m.test(text));
      };
      await expect.poll(askedAll).toBe(true);
    });

    test('docker pulls as either machine type, while a replica is killed', async () => {
      const image = '127.0.0.1:5080/qnib/bench';
      for (const type of ['bdw', 'skl']) {
        await dockerd.docker('login', '--username', `qnib-${type}`, '--password', 'secret', '127.0.0.1:5080');
        const [victim = ''] = await replicas();
        const pid = await dockerd.docker('inspect', '--format', '{{.State.Pid}}', victim);
        process.kill(Number(pid), 'SIGKILL');
        await dockerd.pull(image);
        const chosen = type === 'bdw' ? 'cpu:broadwell' : 'cpu:skylake';
        expect(await dockerd.run(image)).toBe(lineOf(chosen));
        await dockerd.docker('logout', '127.0.0.1:5080');
        // restart: unless-stopped
        const restarts = () =>
          dockerd.docker('inspect', '--format', '{{.RestartCount}} {{.State.Running}}', victim);
        await expect.poll(restarts).toMatch(/^[1-9]\d* true/);
        await dockerd.docker('rmi', '--force', image);
      }
    });

    test('the site continues without Redis, reports the loss, and reconnects', async () => {
      await compose('kill', 'redis');
      await expect.poll(ready).toMatch(/^ready\ndegraded: /);
      expect(await curl('--user', 'qnib-bdw:secret', ...STATUS, `${SITE}/v2/`)).toBe('200');
      await compose('start', 'redis');
      await expect.poll(ready).toBe('ready\n');
    });

    test('no replica runs with rights, writes to its root, or shows a secret in its process or its log', async () => {
      const password = readFileSync(join(workplace.directory, 'compose/site/redis-password'), 'utf8').trim();
      const containers = (await compose('ps', '--quiet')).trim().split('\n');
      expect(containers).toHaveLength(5);
      for (const container of containers) {
        const seen = await dockerd.docker('inspect', container);
        const log = await dockerd.attempt('logs', container);
        const processes = await dockerd.docker('top', container, '-eo', 'pid,args');
        expect(seen + log.stdout + log.stderr + processes).not.toContain(password);
      }
      for (const container of await replicas()) {
        const pid = await dockerd.docker('inspect', '--format', '{{.State.Pid}}', container);
        const status = readFileSync(`/proc/${pid.trim()}/status`, 'utf8');
        expect(status).toMatch(/^Uid:\s+65532\s/m);
        expect(status).toMatch(/^CapEff:\s+0{16}$/m);
        expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
      }
    });

    test('the pod of the Helm chart runs as rendered: its probes, Redis, and a login', async () => {
      const site = join(workplace.directory, 'compose/site');
      const read = (name: string) => readFileSync(join(site, name), 'utf8');
      const values = ['machines.secret=machines', 'registryCredentials=logins', `proxies={${SUBNET}}`];
      const manifests = parseManifests(await renderSiteChart(...values));
      const started = await dockerd.docker(
        ...['run', '--detach', '--name', 'pod', '--network', 'metahub-site_site'],
        ...podArguments(workplace, manifests, {
          'metahub-site': { 'token.key': read('token.key'), 'redis-password': read('redis-password') },
          machines: { 'qnib.yaml': read('machines.d/qnib.yaml') },
          logins: { '.dockerconfigjson': '{}' },
        }),
      );
      workplace.onClose(() => dockerd.attempt('rm', '--force', 'pod'));
      const [container] = podIn(manifests).containers;
      const port = container?.ports.find(({ name }) => name === 'http')?.containerPort;
      const url = `http://${await addressOf(started.trim())}:${port}`;
      for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe'] as const) {
        const { path } = container?.[probe].httpGet ?? { path: '' };
        await expect.poll(() => curl('--fail', `${url}${path}`).catch(String)).toMatch(/^(ok|ready)\n$/);
      }
      await expect.poll(() => curl(`${url}/metrics`)).toMatch(/^metahub_shared_up 1$/m);
      expect(await curl('--user', 'qnib-bdw:secret', ...STATUS, `${url}/v2/`)).toBe('200');
      expect(await curl('--user', 'qnib-bdw:wrong', ...STATUS, `${url}/v2/`)).toBe('401');
      await dockerd.docker('stop', '--time', '45', 'pod');
      expect(await dockerd.docker('inspect', '--format', '{{.State.ExitCode}}', 'pod')).toBe('0\n');
    });
  },
);
