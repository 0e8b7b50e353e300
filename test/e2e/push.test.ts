import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { metahub as command } from '../support/cli.ts';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { type Dockerd, startDockerd } from '../support/dockerd.ts';
import { type Metahub, startMetahub } from '../support/metahub.ts';
import { MIRRORED_REGISTRY } from '../support/mirrored-registry.ts';
import { attempt, run } from '../support/processes.ts';
import { describeWith } from '../support/required-programs.ts';
import { hashed } from '../support/site.ts';
import { tarOf } from '../support/tar.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const SOURCE = '#include <stdio.h>\nint main(void) { puts(LINE); return 0; }\n';
const UPSTREAM = { user: 'robot', password: 'of-the-registry' };
const basic = (user: string, password: string) =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;

describeWith(
  [...MIRRORED_REGISTRY, 'dockerd', 'docker', 'skopeo', 'htpasswd'],
  'pushes through a site',
  () => {
    let workplace: Workplace;
    let registry: DockerRegistry;
    let metahub: Metahub;
    let dockerd: Dockerd;
    /** `127.0.0.1:PORT`, as clients name the site. */
    let site: string;
    let machines: string;

    const tokenFor = (...words: readonly string[]) =>
      command(['token', 'create', 'ci', ...words, '--machines', machines]).then(({ stdout }) =>
        stdout.trim(),
      );
    const login = (user: string, password: string) =>
      dockerd.docker('login', '-u', user, '-p', password, site);
    /** What the registry itself has under a tag. */
    async function upstreamDigest(name: string, tag: string): Promise<string | null> {
      const response = await fetch(`${registry.url}/v2/${name}/manifests/${tag}`, {
        method: 'HEAD',
        headers: {
          authorization: basic(UPSTREAM.user, UPSTREAM.password),
          accept:
            'application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json',
        },
      });
      return response.headers.get('docker-content-digest');
    }
    /** An image of a program that prints a line, beside eight megabytes that nothing compresses. */
    async function build(name: string, line: string): Promise<void> {
      const [source, program] = [join(workplace.directory, 'p.c'), join(workplace.directory, 'p')];
      writeFileSync(source, SOURCE);
      await run('gcc', ['-static', '-Os', '-s', `-DLINE="${line}"`, '-o', program, source]);
      const archive = join(workplace.directory, 'image.tar');
      writeFileSync(
        archive,
        tarOf([
          { path: 'p', content: readFileSync(program) },
          { path: 'ballast', content: randomBytes(8 << 20) },
        ]),
      );
      await dockerd.docker('import', '--change', 'ENTRYPOINT ["/p"]', archive, `${site}/${name}`);
    }

    beforeAll(async () => {
      workplace = openWorkplace();
      const passwords = join(workplace.directory, 'htpasswd');
      await run('htpasswd', ['-cbB', passwords, UPSTREAM.user, UPSTREAM.password]);
      registry = await startDockerRegistry(workplace, {
        auth: { htpasswd: { realm: 'registry', path: passwords } },
      });
      const logins = join(workplace.directory, 'upstream.json');
      const auth = Buffer.from(`${UPSTREAM.user}:${UPSTREAM.password}`).toString('base64');
      writeFileSync(logins, JSON.stringify({ auths: { [new URL(registry.url).host]: { auth } } }), {
        mode: 0o600,
      });
      machines = workplace.folder('machines.d');
      const account = async (user: string, push: string) =>
        writeFileSync(
          join(machines, `${user}.yaml`),
          `user: ${user}\npassword: "${await hashed('hush')}"\n${push}upstreamLogins: ${logins}\ntypes: [{ name: gpu, features: [cpu:broadwell] }]\n`,
        );
      await account('ci', 'push: [team/*]\n');
      await account('reader', '');
      metahub = await startMetahub(workplace, {
        upstream: registry.url,
        args: ['--machines', machines, '--push', 'on', '--tag-max-age', '1h'],
      });
      site = new URL(metahub.url).host;
      dockerd = await startDockerd(workplace, {});
    });
    afterAll(() => workplace?.close());

    test('docker pushes with an account that may, and another account pulls what was pushed', async () => {
      await build('team/app:v1', 'first');
      await login('ci', 'hush');
      await dockerd.docker('push', `${site}/team/app:v1`);
      expect(await upstreamDigest('team/app', 'v1')).toMatch(/^sha256:/);
      await dockerd.forget();
      await login('reader', 'hush');
      await dockerd.pull(`${site}/team/app:v1`);
      expect(await dockerd.run(`${site}/team/app:v1`)).toBe('first');
    });

    test('serves a tag that was pushed again at once, whatever --tag-max-age is', async () => {
      await build('team/app:v1', 'second');
      await login('ci', 'hush');
      await dockerd.docker('push', `${site}/team/app:v1`);
      await dockerd.forget();
      await login('reader', 'hush');
      await dockerd.pull(`${site}/team/app:v1`);
      expect(await dockerd.run(`${site}/team/app:v1`)).toBe('second');
    });

    test('a layer that another repository has is mounted, not sent', async () => {
      await login('ci', 'hush');
      await dockerd.docker('tag', `${site}/team/app:v1`, `${site}/team/copy:v1`);
      const output = await dockerd.docker('push', `${site}/team/copy:v1`);
      expect(output).toContain('Mounted from team/app');
      expect(await upstreamDigest('team/copy', 'v1')).toBe(await upstreamDigest('team/app', 'v1'));
    });

    test.each([
      ['an account without the right to', 'reader', 'hush', 'team/app:v3'],
      ['an account, to a repository that is not its', 'ci', 'hush', 'other/app:v3'],
      ['the login of a machine type', 'ci-gpu', 'hush', 'team/app:v3'],
    ])('refuses %s', async (_name, user, password, name) => {
      await login(user, password);
      await dockerd.docker('tag', `${site}/team/app:v1`, `${site}/${name}`);
      const { status, stderr } = await dockerd.attempt('push', `${site}/${name}`);
      expect(status).not.toBe(0);
      expect(stderr).toMatch(/denied|unauthorized/);
      const [repository = '', tag = ''] = name.split(':');
      expect(await upstreamDigest(repository, tag)).toBeNull();
    });

    test('skopeo pushes with a token that was made for pushing, and with no other', async () => {
      const layout = `oci:${workplace.folder('layout')}:v1`;
      const creds = (token: string) => `ci:${token}`;
      const pulling = await tokenFor('pulling');
      const pushing = await tokenFor('pushing', '--push');
      const from = `docker://${site}/team/app:v1`;
      await run('skopeo', ['copy', '--src-tls-verify=false', '--src-creds', creds(pulling), from, layout]);
      const to = ['--dest-tls-verify=false', layout, `docker://${site}/team/skopeo:v1`];
      const refused = await attempt('skopeo', ['copy', '--dest-creds', creds(pulling), ...to]);
      expect(refused.status).not.toBe(0);
      await run('skopeo', ['copy', '--dest-creds', creds(pushing), ...to]);
      expect(await upstreamDigest('team/skopeo', 'v1')).toMatch(/^sha256:/);
    });

    test('every push is in the audit trail, and no secret is in the log', async () => {
      const log = metahub.log();
      expect(log).toMatch(/"access-admitted".*"who":"ci".*"action":"push"/);
      expect(log).toMatch(/"access-refused".*"who":"reader".*"action":"push"/);
      for (const secret of ['hush', UPSTREAM.password, 'metahub_']) expect(log).not.toContain(secret);
    });

    test('another replica of the site continues an upload', async () => {
      const key = join(metahub.data, 'token.key');
      const other = openWorkplace();
      try {
        const replica = await startMetahub(other, {
          upstream: registry.url,
          args: ['--machines', machines, '--push', 'on', '--token-key', key],
        });
        const headers = { authorization: basic('ci', 'hush') };
        const begun = await fetch(`${metahub.url}/v2/team/app/blobs/uploads/`, { method: 'POST', headers });
        expect(begun.status).toBe(202);
        const bytes = Buffer.from('sent to another replica');
        const location = `${begun.headers.get('location')}?digest=${digestOf(bytes)}`;
        const put = await fetch(`${replica.url}${location}`, { method: 'PUT', headers, body: bytes });
        expect(put.status).toBe(201);
        const stored = await fetch(`${metahub.url}${put.headers.get('location')}`, { headers });
        expect(await stored.text()).toBe(bytes.toString());
      } finally {
        await other.close();
      }
    });
  },
);

describeWith(MIRRORED_REGISTRY, 'the push workflow of the distribution specification', () => {
  let workplace: Workplace;
  let registry: DockerRegistry;
  let metahub: Metahub;

  beforeAll(async () => {
    workplace = openWorkplace();
    registry = await startDockerRegistry(workplace);
    metahub = await startMetahub(workplace, {
      upstream: registry.url,
      args: ['--push', 'on', '--tag-max-age', '0'],
    });
  });
  afterAll(() => workplace?.close());

  const BYTES = Buffer.from('0123456789abcdefghij');
  const CONFIG = Buffer.from('{}');

  /** Runs the steps of a workflow; answers the status of each, and what its headers say that does not name a session. */
  async function outcome(url: string, name: string, steps: readonly Step[]): Promise<readonly string[]> {
    let location = '';
    const lines: string[] = [];
    for (const { method, path, body, headers = {} } of steps) {
      const own = location.replace(/^https?:\/\/[^/]*/, '');
      // A location that has a query gets one more parameter.
      const query = own.includes('?') ? path.replace('?', '&') : path;
      const target = (path.startsWith('LOCATION') ? query : path)
        .replace('LOCATION', () => own)
        .replace('NAME', name);
      const response = await fetch(`${url}${target}`, {
        method,
        headers,
        ...(body === undefined ? {} : { body: new Uint8Array(body) }),
      });
      const said = response.headers.get('location') ?? '';
      if (said.includes('/uploads/')) location = said;
      const isStored = said !== '' && !said.includes('/uploads/');
      const range = response.headers.get('range') ?? '';
      const digest = response.headers.get('docker-content-digest') ?? '';
      const error = response.status >= 400 ? codeIn(await response.text()) : '';
      lines.push(
        [
          method,
          response.status,
          isStored ? said.replace(/^https?:\/\/[^/]*/, '') : '',
          range,
          digest,
          error,
        ].join(' '),
      );
    }
    return lines;
  }

  interface Step {
    readonly method: string;
    readonly path: string;
    readonly body?: Buffer;
    readonly headers?: Readonly<Record<string, string>>;
  }

  function codeIn(text: string): string {
    return /"code":"([A-Z_]+)"/.exec(text)?.[1] ?? text.trim();
  }

  const begin: Step = { method: 'POST', path: '/v2/NAME/blobs/uploads/' };
  const chunk = (from: number, to: number): Step => ({
    method: 'PATCH',
    path: 'LOCATION',
    body: BYTES.subarray(from, to),
    headers: { 'content-type': 'application/octet-stream', 'content-range': `${from}-${to - 1}` },
  });
  const end = (bytes: Buffer, body?: Buffer): Step => ({
    method: 'PUT',
    path: `LOCATION?digest=${digestOf(bytes)}`,
    ...(body === undefined ? {} : { body, headers: { 'content-type': 'application/octet-stream' } }),
  });
  const stored = (bytes: Buffer): readonly Step[] => [begin, end(bytes, bytes)];
  const manifest = (config: Buffer): Buffer =>
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        config: {
          mediaType: 'application/vnd.oci.image.config.v1+json',
          size: config.length,
          digest: digestOf(config),
        },
        layers: [],
      }),
    );
  const putManifest = (reference: string, body: Buffer): Step => ({
    method: 'PUT',
    path: `/v2/NAME/manifests/${reference}`,
    body,
    headers: { 'content-type': 'application/vnd.oci.image.manifest.v1+json' },
  });

  test.each<readonly [string, readonly Step[]]>([
    ['a blob in a POST and a PUT', stored(BYTES)],
    [
      'a blob in one POST',
      [{ method: 'POST', path: `/v2/NAME/blobs/uploads/?digest=${digestOf(BYTES)}`, body: BYTES }],
    ],
    ['a blob in chunks', [begin, chunk(0, 8), chunk(8, 20), end(BYTES)]],
    ['a blob in chunks, the last in the PUT', [begin, chunk(0, 8), end(BYTES, BYTES.subarray(8))]],
    ['a chunk out of order', [begin, chunk(8, 20)]],
    ['the state of an upload', [begin, chunk(0, 8), { method: 'GET', path: 'LOCATION' }]],
    [
      'an upload that is cancelled',
      [begin, { method: 'DELETE', path: 'LOCATION' }, { method: 'GET', path: 'LOCATION' }],
    ],
    ['a blob of another digest than was said', [begin, end(CONFIG, BYTES)]],
    [
      'a manifest by tag and by digest',
      [
        ...stored(CONFIG),
        putManifest('v1', manifest(CONFIG)),
        putManifest(digestOf(manifest(CONFIG)), manifest(CONFIG)),
      ],
    ],
    ['a manifest whose blobs are missing', [putManifest('v2', manifest(Buffer.from('nobody has this')))]],
    ['a manifest that is none', [putManifest('v3', Buffer.from('{'))]],
    [
      'a manifest of another digest than its name',
      [...stored(CONFIG), putManifest(digestOf(BYTES), manifest(CONFIG))],
    ],
    [
      'a mount',
      [{ method: 'POST', path: `/v2/NAME/blobs/uploads/?mount=${digestOf(BYTES)}&from=team/source` }],
    ],
    [
      'a mount of what is not there',
      [
        {
          method: 'POST',
          path: `/v2/NAME/blobs/uploads/?mount=${digestOf(Buffer.from('x'))}&from=team/source`,
        },
      ],
    ],
  ])('%s has the same result as at the registry itself', async (name, steps) => {
    await outcome(registry.url, 'team/source', stored(BYTES));
    // Each side in a repository of its own, of the same length: what one stored must not help the other.
    const slug = name.toLowerCase().replaceAll(/[^a-z]+/g, '-');
    const direct = await outcome(registry.url, `direct/${slug}`, steps);
    const through = await outcome(metahub.url, `mirror/${slug}`, steps);
    expect(through.map((line) => line.replace('/mirror/', '/direct/'))).toEqual(direct);
    expect(direct.length).toBe(steps.length);
  });

  test('a chunked request without a length reaches the registry whole', async () => {
    const begun = await fetch(`${metahub.url}/v2/team/stream/blobs/uploads/`, { method: 'POST' });
    const bytes = randomBytes(3 << 20);
    async function* parts() {
      for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
    }
    const patch = await fetch(`${metahub.url}${begun.headers.get('location')}`, {
      method: 'PATCH',
      body: parts(),
      duplex: 'half',
    } as RequestInit);
    expect([patch.status, patch.headers.get('range')]).toEqual([202, `0-${bytes.length - 1}`]);
    const put = await fetch(`${metahub.url}${patch.headers.get('location')}?digest=${digestOf(bytes)}`, {
      method: 'PUT',
    });
    expect(put.status).toBe(201);
    const blob = await fetch(`${registry.url}/v2/team/stream/blobs/${digestOf(bytes)}`);
    expect(digestOf(Buffer.from(await blob.arrayBuffer()))).toBe(digestOf(bytes));
  });

  describe('without --push on', () => {
    test.each(['POST /v2/team/app/blobs/uploads/', 'PUT /v2/team/app/manifests/v1'])(
      'answers %s with 405',
      async (line) => {
        const readOnly = openWorkplace();
        try {
          const { url } = await startMetahub(readOnly, { upstream: registry.url });
          const [method, path] = line.split(' ');
          expect((await fetch(`${url}${path}`, { method: method ?? '' })).status).toBe(405);
        } finally {
          await readOnly.close();
        }
      },
    );
  });

  test('a mirror without logins that listens beyond loopback does not start with --push on', async () => {
    const { status, stderr } = await command([
      'serve',
      '--listen',
      '0.0.0.0:0',
      '--push',
      'on',
      '--data',
      workplace.folder('open'),
    ]);
    expect(status).toBe(2);
    expect(stderr).toContain("could push with this mirror's logins");
  });
});
