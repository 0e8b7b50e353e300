import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createAuthority, type TestAuthority } from '../support/certificates.ts';
import { metahub as command } from '../support/cli.ts';
import { type Containerd, startContainerd } from '../support/containerd.ts';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { type Dockerd, startDockerd } from '../support/dockerd.ts';
import { type ImageSet, lineOf, pushImageSet } from '../support/image-set.ts';
import { type Metahub, startMetahub } from '../support/metahub.ts';
import { MIRRORED_REGISTRY } from '../support/mirrored-registry.ts';
import { startNginx } from '../support/nginx.ts';
import { run } from '../support/processes.ts';
import { describeWith } from '../support/required-programs.ts';
import { hashed } from '../support/site.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const PROGRAMS = [...MIRRORED_REGISTRY, 'dockerd', 'docker', 'podman', 'skopeo', 'nginx', 'openssl', 'curl'];

describeWith(PROGRAMS, 'a site behind nginx with a certificate', () => {
  let workplace: Workplace;
  let registry: DockerRegistry;
  let images: ImageSet;
  let metahub: Metahub;
  let dockerd: Dockerd;
  let authority: TestAuthority;
  /** `localhost:PORT`, where nginx listens. */
  let site: string;
  /** What a client on the node has in its environment: trust in the authority, and files of logins of its own. */
  let env: Readonly<Record<string, string>>;

  beforeAll(async () => {
    workplace = openWorkplace();
    registry = await startDockerRegistry(workplace);
    images = await pushImageSet(workplace, registry);
    const machines = workplace.folder('machines.d');
    writeFileSync(
      join(machines, 'site.yaml'),
      `user: site
password: "${await hashed('hush')}"
repositories: [qnib/bench]
types:
  - name: gpu
    features: [cpu:broadwell, nvcap:5.2]
`,
    );
    metahub = await startMetahub(workplace, { upstream: registry.url, args: ['--machines', machines] });
    authority = await createAuthority();
    workplace.onClose(() => authority.remove());
    site = await startNginx(workplace, {
      backend: metahub.url,
      certificate: await authority.issue('localhost'),
    });
    dockerd = await startDockerd(workplace, { mirror: registry.url });
    const client = workplace.folder('client');
    env = {
      NODE_EXTRA_CA_CERTS: authority.certFile,
      SSL_CERT_FILE: authority.certFile,
      DOCKER_CONFIG: join(workplace.directory, 'dockerd/client'),
      DOCKER_HOST: `unix://${join(workplace.directory, 'dockerd/docker.sock')}`,
      REGISTRY_AUTH_FILE: join(client, 'auth.json'),
    };
  });
  afterAll(() => workplace?.close());

  const login = (args: readonly string[], password = 'hush') =>
    command(['login', `https://${site}`, '--password-stdin', ...args], { env, input: `${password}\n` });
  const copied = async () => {
    const target = join(workplace.folder('copies'), String(performance.now()));
    const digest = join(workplace.directory, 'digest');
    await run(
      'skopeo',
      ['copy', '--quiet', '--digestfile', digest, `docker://${site}/qnib/bench`, `dir:${target}`],
      {
        env,
      },
    );
    return readFileSync(digest, 'utf8').trim();
  };

  test('sends a client without a login to the token service under the name that the client used', async () => {
    const curl = ['--silent', '--head', '--cacert', authority.certFile, `https://${site}/v2/`];
    expect(await run('curl', curl)).toMatch(
      new RegExp(`www-authenticate: Bearer realm="https://${site}/token",service="metahub", Basic`, 'i'),
    );
  });

  test('metahub login makes a node known as its machine type to docker, podman and skopeo', async () => {
    const result = await login(['--user', 'site', '--set', 'cpu:broadwell', '--set', 'nvcap:5.2']);
    expect(result).toMatchObject({ status: 0, stderr: '' });
    expect(result.stdout).toBe(
      `this host logs in as site-gpu (the machine type of this host)
docker is logged in to ${site} as site-gpu
podman is logged in to ${site} as site-gpu
skopeo is logged in to ${site} as site-gpu
`,
    );
    await dockerd.pull(`${site}/qnib/bench`);
    expect(await dockerd.run(`${site}/qnib/bench`)).toBe(lineOf('cpu:broadwell,nvcap:5.2'));
    expect(await copied()).toBe(images.bench.entry('cpu:broadwell,nvcap:5.2'));
  });

  test('metahub login lets a node without a machine type describe itself', async () => {
    const result = await login([
      '--user',
      'site',
      '--set',
      'cpu:skylake',
      '--set',
      'nvcap:none',
      '--runtime',
      'skopeo',
    ]);
    expect(result.stdout).toMatch(
      /^this host logs in as site\/cpu#skylake\S* \(no machine type equals this host/,
    );
    expect(result.status).toBe(0);
    expect(await copied()).toBe(images.bench.entry('cpu:skylake'));
  });

  test('metahub login says what is wrong, and ends with a status that says so too', async () => {
    const wrong = await login(['--user', 'site'], 'guess');
    expect(wrong).toMatchObject({ status: 1, stdout: '' });
    expect(wrong.stderr).toContain(`${site} refuses the login of site`);
    const refused = await login(['--as', 'site-nothing', '--runtime', 'skopeo']);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain('skopeo is not logged in: ');
  });

  test('another repository than the account’s is refused', async () => {
    await login(['--as', 'site-gpu']);
    const pull = await dockerd.attempt('pull', `${site}/qnib/levels`);
    expect(pull.status).not.toBe(0);
    expect(pull.stderr).toMatch(/denied/);
  });

  test('the status page, which asks for no login, names no image', async () => {
    const page = await fetch(`${metahub.url}/`);
    expect(page.status).toBe(200);
    expect(await page.text()).not.toContain('qnib/bench');
  });

  test('the audit trail has the client’s address and machine, and no secret', async () => {
    const trail = metahub.log();
    expect(trail).toMatch(/access admitted.*site-gpu.*qnib\/bench/);
    expect(trail).not.toContain('hush');
    expect(trail).not.toMatch(/Basic [A-Za-z0-9+/]{8}|eyJ[\w-]+\.eyJ/);
  });
});

describeWith(
  [...MIRRORED_REGISTRY, 'containerd', 'ctr', 'runc'],
  'containerd, which asks for tokens by a form',
  () => {
    let workplace: Workplace;
    let metahub: Metahub;
    let containerd: Containerd;

    beforeAll(async () => {
      workplace = openWorkplace();
      const registry = await startDockerRegistry(workplace);
      await pushImageSet(workplace, registry);
      metahub = await startMetahub(workplace, { upstream: registry.url, args: ['--static-machines', 'on'] });
      containerd = await startContainerd(workplace, { mirror: metahub.url });
    });
    afterAll(() => workplace?.close());

    test.each([
      ['qnib-type1', 'cpu:broadwell'],
      ['qnib-type4', 'cpu:broadwell,nvcap:5.2'],
    ])('lets %s run %s, under the site’s name and under docker.io’s', async (login, line) => {
      for (const image of [`${new URL(metahub.url).host}/qnib/bench:latest`, 'docker.io/qnib/bench:latest']) {
        await containerd.pull(image, '--user', `${login}:${login}`);
        expect(await containerd.run(image)).toBe(lineOf(line));
      }
    });

    test('refuses a client without a login', async () => {
      await expect(containerd.pull('docker.io/qnib/levels:latest')).rejects.toThrow(
        /401|authorization failed/,
      );
    });
  },
);

describe('metahub serve with logins, without a certificate', () => {
  test('does not start on anything but loopback, and says what to do', async () => {
    const result = await command(['serve', '--listen', '0.0.0.0:0', '--static-machines', 'on']);
    expect(result.status).toBe(2);
    expect(result.stderr).toBe(
      `metahub: logins on 0.0.0.0 would send passwords over the network in clear text
  Set --tls-cert and --tls-key, listen on 127.0.0.1 behind a proxy that terminates TLS, or accept the risk with --insecure-logins on.
`,
    );
  });

  test('does not start with a machine file that it cannot serve, and names the line', async () => {
    const workplace = openWorkplace();
    try {
      writeFileSync(join(workplace.directory, 'a.yaml'), 'user: a\npassword: hunter2\n');
      const result = await command(['serve', '--listen', '127.0.0.1:0', '--machines', workplace.directory]);
      expect(result.status).toBe(2);
      expect(result.stderr).toContain(
        `${join(workplace.directory, 'a.yaml')}:2:11: password: a scrypt hash is expected`,
      );
      expect(result.stderr).not.toContain('hunter2');
    } finally {
      await workplace.close();
    }
  });
});
