import { X509Certificate } from 'node:crypto';
import { chmodSync, existsSync, linkSync, readFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createSocketServer } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { runChecks } from '../../src/cli/commands/doctor/check.ts';
import {
  credentialsCheck,
  diskCheck,
  featuresCheck,
  isContainerdStore,
  ownCertificateCheck,
  proxyCheck,
} from '../../src/cli/commands/doctor/machine.ts';
import { mirrorChecks } from '../../src/cli/commands/doctor/mirror.ts';
import { runtimeChecks } from '../../src/cli/commands/doctor/runtimes.ts';
import {
  type UpstreamCheckOptions,
  upstreamChecks,
  validity,
} from '../../src/cli/commands/doctor/upstreams.ts';
import { UpstreamsValue } from '../../src/cli/settings/upstreams.ts';
import { readValue } from '../../src/lib/config-source.ts';

import { configFilesAt } from '../../src/setup/files.ts';
import type { RuntimeSetupName } from '../../src/setup/runtime.ts';
import { RUNTIME_SETUPS } from '../../src/setup/runtimes.ts';
import { configureRuntimes } from '../../src/setup/setup.ts';
import { NO_CREDENTIALS } from '../../src/upstream/auth/credentials.ts';
import { createAuthority } from '../support/certificates.ts';
import { readList } from '../support/configuration.ts';
import { temporaryFolder } from '../support/folder.ts';
import { writeTree } from '../support/host-tree.ts';
import { freePort } from '../support/loopback.ts';
import { serve } from '../support/served.ts';
import { turns } from '../support/turns.ts';

const DAY_MS = 24 * 3_600_000;
const MINUTE_MS = 60_000;

function listening(server: ReturnType<typeof createServer>): Promise<number> {
  onTestFinished(() => void server.close());
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}

/** Leaves a socket at which nobody listens, as a daemon that was killed does. */
async function leftSocket(path: string): Promise<void> {
  const server = createSocketServer();
  await new Promise<void>((resolve) => void server.listen(`${path}.bound`, resolve));
  linkSync(`${path}.bound`, path);
  await new Promise((resolve) => void server.close(resolve));
}

interface RegistryOptions {
  /** How far its clock is ahead, in milliseconds. */
  readonly aheadMs?: number;
  /** What its token service answers with; undefined: it needs no token. */
  readonly tokenStatus?: number;
}

/** A registry that challenges, and its token service. */
function registry({ aheadMs = 0, tokenStatus }: RegistryOptions): RequestListener {
  return (req, res) => {
    res.setHeader('date', new Date(Date.now() + aheadMs).toUTCString());
    if (req.url?.startsWith('/token')) {
      res.writeHead(tokenStatus ?? 404).end(JSON.stringify({ token: 'for-doctor' }));
      return;
    }
    const realm = `Bearer realm="http://${req.headers.host}/token",service="test"`;
    if (tokenStatus !== undefined) res.setHeader('www-authenticate', realm);
    res.writeHead(tokenStatus === undefined ? 200 : 401).end();
  };
}

/** What the checks of one registry at these endpoints come to, by name. */
async function checked(urls: readonly string[], more: Partial<UpstreamCheckOptions> = {}) {
  const upstreams = readValue(UpstreamsValue, { 'registry.test': { endpoints: [...urls] } });
  const options = { upstreams, environment: {}, credentials: NO_CREDENTIALS, now: Date.now, ...more };
  const results = await runChecks(upstreamChecks(options));
  return Object.fromEntries(results.map(({ name, ...result }) => [name, result]));
}

const login = { loginFor: async () => ({ kind: 'basic', username: 'ann', password: 'x' }) as const };

describe('doctor’s checks of registries', () => {
  test('pass for one that answers, gives tokens and has this machine’s time', async () => {
    const url = `http://127.0.0.1:${await listening(createServer(registry({ tokenStatus: 200 })))}`;
    const results = await checked([url]);
    expect(results).toMatchObject({
      'registry.test: reached': { status: 'pass', message: `${url} answers` },
      'registry.test: token': {
        status: 'pass',
        message: expect.stringContaining('gives tokens to strangers'),
      },
      clock: { status: 'pass' },
      certificates: { status: 'pass', message: 'no registry speaks TLS' },
    });
  });

  test('fail for a registry that is not reachable, with the reason, and request no token from it', async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    expect(await checked([url])).toMatchObject({
      'registry.test: reached': { status: 'fail', message: expect.stringContaining(`${url}: 127.0.0.1`) },
      'registry.test: token': { status: 'warn' },
      clock: { status: 'warn' },
    });
  });

  test('warn that no certificate was seen where the only registry with TLS is not reachable', async () => {
    const url = `https://127.0.0.1:${await freePort()}`;
    expect(await checked([url])).toMatchObject({ certificates: { status: 'warn' } });
  });

  test('warn when one of several endpoints is not reachable', async () => {
    const good = `http://127.0.0.1:${await listening(createServer(registry({})))}`;
    const bad = `http://127.0.0.1:${await freePort()}`;
    expect((await checked([bad, good]))['registry.test: reached']).toMatchObject({
      status: 'warn',
      message: expect.stringContaining(`${good} answers; ${bad}:`),
    });
  });

  test('warn when anonymous clients get no token, and fail when the stored login gets none', async () => {
    const url = `http://127.0.0.1:${await listening(createServer(registry({ tokenStatus: 401 })))}`;
    expect((await checked([url]))['registry.test: token']).toMatchObject({ status: 'warn' });
    expect((await checked([url], { credentials: login }))['registry.test: token']).toMatchObject({
      status: 'fail',
      message: expect.stringContaining('no token to the stored login'),
      remedy: 'Replace the login in /etc/metahub/auth.json.',
    });
  });

  test.each([
    [0, 'pass', 's '],
    [2 * MINUTE_MS, 'warn', 'behind'],
    [-2 * MINUTE_MS, 'warn', 'ahead of'],
    [10 * MINUTE_MS, 'fail', 'behind'],
  ])('for a clock that is %i ms off the result is %s', async (aheadMs, status, words) => {
    const url = `http://127.0.0.1:${await listening(createServer(registry({ aheadMs })))}`;
    expect((await checked([url]))['clock']).toMatchObject({
      status,
      message: expect.stringContaining(words),
    });
  });

  test('warn about a certificate that expires soon, and name the day', async () => {
    const authority = await createAuthority();
    onTestFinished(() => authority.remove());
    const { cert, key } = await authority.issue('127.0.0.1');
    const server = createTlsServer({ cert, key }, registry({}));
    const url = `https://127.0.0.1:${await listening(server)}`;
    const results = await checked([url], { environment: { NODE_EXTRA_CA_CERTS: authority.certFile } });
    expect(results['registry.test: reached']).toMatchObject({ status: 'pass' });
    const day = new Date(new X509Certificate(cert).validTo).toISOString().slice(0, 10);
    expect(results['certificates']).toMatchObject({
      status: 'warn',
      message: `the certificate of ${url} expires on ${day}`,
    });
  });

  test('say that a certificate is not trusted', async () => {
    const authority = await createAuthority();
    onTestFinished(() => authority.remove());
    const { cert, key } = await authority.issue('127.0.0.1');
    const url = `https://127.0.0.1:${await listening(createTlsServer({ cert, key }, registry({})))}`;
    expect((await checked([url]))['registry.test: reached']).toMatchObject({
      status: 'fail',
      message: expect.stringMatching(/certificate/),
    });
  });

  test.each([
    [-1, 'fail'],
    [13 * DAY_MS, 'warn'],
    [15 * DAY_MS, 'pass'],
  ])('for a certificate that expires in %i ms the result is %s', (leftMs, status) => {
    const nowMs = Date.UTC(2026, 0, 1);
    expect(validity('it', new Date(nowMs + leftMs), nowMs).status).toBe(status);
  });
});

/** What one check comes to. */
async function outcome(check: Parameters<typeof runChecks>[0][number]) {
  return (await runChecks([check]))[0];
}

describe('doctor’s checks of the machine', () => {
  test.each([
    ['none', {}, {}, 'pass', 'reached directly'],
    [
      'the mirror’s',
      { HTTPS_PROXY: 'http://ann:secret@proxy.example:3128' },
      {},
      'pass',
      'by proxy.example:3128',
    ],
    [
      'one that only the shell has',
      {},
      { https_proxy: 'http://proxy.example' },
      'warn',
      'the service has none',
    ],
    ['one that is not a URL', { HTTPS_PROXY: 'ftp://proxy' }, {}, 'fail', 'http://HOST:PORT'],
  ])('judge the proxy: %s', async (_, mirror, shell, status, words) => {
    const result = await outcome(proxyCheck(mirror, shell));
    expect(result).toMatchObject({ status, message: expect.stringContaining(words) });
    expect(JSON.stringify(result)).not.toContain('secret');
  });

  test('fail when the mirror’s own certificate has expired', async () => {
    const authority = await createAuthority();
    onTestFinished(() => authority.remove());
    const { certFile } = await authority.issue('hub.example', { expired: true });
    expect(await outcome(ownCertificateCheck(certFile, Date.now))).toMatchObject({
      status: 'fail',
      message: expect.stringContaining(' expired on '),
    });
  });

  const AUTHS = JSON.stringify({ auths: { 'registry.example': { auth: 'YTpi' } } });

  test.each([
    ['that nobody wrote', undefined, 0o600, true, 'pass'],
    ['that only root can read, of a service with a user of its own', AUTHS, 0o600, true, 'fail'],
    ['that only its owner can read, of a mirror of one’s own', AUTHS, 0o600, false, 'pass'],
    ['that everybody can read', AUTHS, 0o644, true, 'warn'],
    ['that everybody can read, and that holds none', '{}', 0o644, true, 'pass'],
    ['that is not JSON', '{', 0o644, true, 'fail'],
    ['whose secret would be in the message of the parser', '{"auth": YTpi}', 0o644, true, 'fail'],
  ])('judge logins in a file %s', async (_, text, mode, isService, status) => {
    const root = writeTree(text === undefined ? {} : { 'auth.json': text });
    const path = join(root, 'auth.json');
    if (text !== undefined) chmodSync(path, mode);
    const result = await outcome(credentialsCheck([path], isService));
    expect(result).toMatchObject({ status });
    expect(JSON.stringify(result)).not.toContain('YTpi');
  });

  test('warn about a list that demands a kind of feature that nothing claims', async () => {
    const spec = readList({
      image: 'docker.io/acme/solver',
      manifests: [
        {
          image: 'docker.io/acme/solver:a',
          platform: { os: 'linux', architecture: 'amd64', features: ['cpu:zen4', 'rack:7'] },
        },
      ],
    });
    const check = (claimed: readonly string[]) =>
      outcome(
        featuresCheck(
          async () => [spec],
          async () => claimed,
        ),
      );
    expect(await check(['cpu:skylake'])).toMatchObject({
      status: 'warn',
      message: expect.stringContaining('docker.io/acme/solver demands rack:7'),
    });
    expect(await check(['cpu:skylake', 'rack:8'])).toMatchObject({ status: 'pass' });
  });

  test('show how much of the disk is free', async () => {
    expect((await outcome(diskCheck('/')))?.message).toMatch(/^\d+ % free/);
  });
});

describe('doctor’s checks of runtimes', () => {
  const setup = (runtime: string) => `metahub setup ${runtime} --reload`;

  test.each([
    ['nothing is at its socket', false, /^containerd does not run: nothing listens on /],
    ['its daemon has left its socket behind', true, /^containerd does not run: nothing listens on /],
  ])('say how to start a runtime when %s', async (_what, isLeft, message) => {
    const socket = join(temporaryFolder(), 'containerd.sock');
    if (isLeft) await leftSocket(socket);
    vi.stubEnv('CONTAINERD_ADDRESS', socket);
    onTestFinished(() => void vi.unstubAllEnvs());
    const containerd = RUNTIME_SETUPS.filter(({ name }) => name === 'containerd');
    const status = { version: '1', startedAt: new Date(), decisions: [], figures: [], runtimes: [] };
    const port = await listening(createServer((_, res) => void res.end(JSON.stringify(status))));
    const target = { url: `http://127.0.0.1:${port}`, registries: ['docker.io'], strict: false };
    const files = configFilesAt(temporaryFolder());
    const results = await runChecks(runtimeChecks(containerd, { files, target, setup }));
    expect(results).toMatchObject([
      { name: 'containerd: configured', remedy: 'Run: metahub setup containerd --reload' },
      {
        name: 'containerd: uses the mirror',
        status: 'fail',
        message: expect.stringMatching(message),
        remedy: 'Run: systemctl start containerd',
      },
    ]);
  });

  test('let a client end by itself when its request has arrived, so that it can clean up', async () => {
    const seen: string[] = [];
    let know = () => {};
    const known = new Promise<void>((resolve) => {
      know = resolve;
    });
    const port = await listening(
      createServer((req, res) => {
        const tag = /manifests\/(t[0-9a-f]+)$/.exec(req.url ?? '')?.[1];
        if (req.url === '/once-doctor-knows') return void known.then(() => res.end());
        if (tag !== undefined) seen.push(tag);
        else if (seen.length > 0) res.once('close', () => turns(1000).then(know));
        const status = { version: '1', startedAt: new Date(), decisions: [], figures: [], runtimes: [] };
        res.end(JSON.stringify({ ...status, connectionTests: seen }));
      }),
    );
    const url = `http://127.0.0.1:${port}`;
    const folder = writeTree({
      podman: `#!${process.execPath}
const tag = process.argv.at(-1).split(':').at(-1);
const ask = (path) => fetch('${url}' + path).then((answer) => answer.text());
ask('/v2/metahub/doctor/manifests/' + tag)
  .then(() => ask('/once-doctor-knows'))
  .then(() => require('node:fs').writeFileSync(__dirname + '/cleaned-up', ''));
`,
    });
    chmodSync(join(folder, 'podman'), 0o755);
    vi.stubEnv('PATH', `${folder}:${process.env['PATH']}`);
    onTestFinished(() => void vi.unstubAllEnvs());
    const podman = RUNTIME_SETUPS.filter(({ name }) => name === 'podman');
    const target = { url, registries: ['docker.io'], strict: false };
    const results = await runChecks(runtimeChecks(podman, { files: configFilesAt('/'), target, setup }));
    expect(results.find(({ name }) => name === 'podman: uses the mirror')).toMatchObject({ status: 'pass' });
    expect(existsSync(join(folder, 'cleaned-up'))).toBe(true);
  });
});

describe('doctor’s checks of a runtime whose pull does not arrive', () => {
  const setup = (runtime: string) => `metahub setup ${runtime} --reload`;

  /** A mirror at which no pull arrives, and a client of this name that is a shell script. */
  async function checksOf(name: RuntimeSetupName, script: string, isConfigured: boolean, isSite = false) {
    const host = isSite ? { sitePath: '/site/' } : {};
    const status = { version: '1', startedAt: new Date(), decisions: [], figures: [], runtimes: [], ...host };
    const port = await listening(createServer((_, res) => void res.end(JSON.stringify(status))));
    const target = { url: `http://127.0.0.1:${port}`, registries: ['docker.io'], strict: false };
    const program = name === 'containerd' ? 'ctr' : name;
    const folder = writeTree({ [program]: `#!/bin/sh\n${script}\n` });
    chmodSync(join(folder, program), 0o755);
    vi.stubEnv('PATH', `${folder}:${process.env['PATH']}`);
    const socket = join(temporaryFolder(), 'daemon.sock');
    const daemon = createSocketServer((connection) => void connection.destroy());
    await new Promise<void>((resolve) => void daemon.listen(socket, resolve));
    vi.stubEnv('CONTAINERD_ADDRESS', socket);
    onTestFinished(() => {
      vi.unstubAllEnvs();
      daemon.close();
    });
    const root = temporaryFolder();
    const runtimes = RUNTIME_SETUPS.filter((runtime) => runtime.name === name);
    if (isConfigured) await configureRuntimes(runtimes, { root, target, dryRun: false });
    // Programs are looked for below the same root.
    const { read, list, listFolders } = configFilesAt(root);
    const files = { read, list, listFolders, exists: configFilesAt('/').exists };
    const results = await runChecks(runtimeChecks(runtimes, { files, target, setup }));
    return results.find((result) => result.name === `${name}: uses the mirror`);
  }

  test('say that the daemon must read its files again when these name the mirror', async () => {
    expect(await checksOf('containerd', 'echo not found >&2; exit 1', true)).toMatchObject({
      status: 'fail',
      remedy: expect.stringMatching(/^Run: systemctl restart containerd;/),
    });
  });

  test('run apptainer in a folder of this user alone, which also has its configuration, and remove it', async () => {
    const report = join(temporaryFolder(), 'report');
    const script = `stat --format '%n %a %U' "$PWD" "$APPTAINER_CONFIGDIR" > ${report}; echo image > test.sif`;
    await checksOf('apptainer', script, false);
    const [working = '', configuration] = readFileSync(report, 'utf8').split('\n');
    expect(working).toMatch(new RegExp(`/metahub-doctor-\\w+ 700 ${userInfo().username}$`));
    expect(configuration).toBe(working);
    expect(existsSync(working.split(' ')[0] ?? '')).toBe(false);
  });

  test('say that a site demands a login', async () => {
    const refused = 'echo 401 Unauthorized >&2; exit 1';
    expect(await checksOf('containerd', refused, true, true)).toMatchObject({
      status: 'fail',
      remedy: expect.stringMatching(
        /^The mirror is a site, where containerd needs a login\. .*metahub login http:.* --user ACCOUNT$/,
      ),
    });
    expect(await checksOf('containerd', refused, false, true)).toMatchObject({
      status: 'fail',
      remedy: expect.stringMatching(/^Run: metahub setup containerd --reload;/),
    });
  });

  test('say how to start the mirror when none answers', async () => {
    const target = { url: `http://127.0.0.1:${await freePort()}`, registries: ['docker.io'], strict: false };
    const podman = RUNTIME_SETUPS.filter(({ name }) => name === 'podman');
    const results = await runChecks(runtimeChecks(podman, { files: configFilesAt('/'), target, setup }));
    expect(results.find(({ name }) => name === 'podman: uses the mirror')).toMatchObject({
      status: expect.stringMatching(/^(?:fail|warn)$/),
      remedy: expect.not.stringContaining('Run it again'),
    });
  });

  test('say to run setup when its files do not name the mirror', async () => {
    expect(await checksOf('containerd', 'echo not found >&2; exit 1', false)).toMatchObject({
      status: 'fail',
      remedy: expect.stringMatching(/^Run: metahub setup containerd --reload;/),
    });
  });

  test('warn of podman that does not run at all, which says nothing about the mirror', async () => {
    expect(await checksOf('podman', 'echo cannot resolve /nonexistent >&2; exit 125', true)).toMatchObject({
      status: 'warn',
      message: expect.stringMatching(/^podman does not run.*: cannot resolve \/nonexistent$/),
    });
  });

  test('fail for podman that runs', async () => {
    expect(
      await checksOf('podman', '[ "$1" = info ] && exit 0; echo no such manifest >&2; exit 125', true),
    ).toMatchObject({ status: 'fail', message: expect.stringContaining('no such manifest') });
  });
});

describe('doctor’s checks of the mirror', () => {
  const named = async (url: string, name: string) =>
    outcome(mirrorChecks(url).find((check) => check.name === name) as never);

  test('pass when the mirror delivers the digest that it announced', async () => {
    const served = await serve();
    const url = `http://127.0.0.1:${served.port}`;
    expect(await named(url, 'pull')).toMatchObject({
      status: 'pass',
      message: expect.stringContaining('no library'),
    });
    served.registry.putManifest({ schemaVersion: 2, manifests: [] }, { tag: 'latest' });
    expect(await named(url, 'pull')).toMatchObject({
      status: 'pass',
      message: 'the mirror resolves library/hello-world and delivers what it announced',
    });
  });

  test('pass for a site, which delivers only to logins', async () => {
    const port = await listening(createServer((_, res) => res.writeHead(401).end()));
    expect(await named(`http://127.0.0.1:${port}`, 'pull')).toMatchObject({
      status: 'pass',
      message: expect.stringContaining('a site'),
    });
  });

  test('warn with the registry’s own words when the registry fails', async () => {
    const body = JSON.stringify({ errors: [{ code: 'UNAVAILABLE', message: 'the hub is on fire' }] });
    const port = await listening(createServer((_, res) => res.writeHead(502).end(body)));
    expect(await named(`http://127.0.0.1:${port}`, 'pull')).toMatchObject({
      status: 'warn',
      message: expect.stringContaining('the hub is on fire'),
    });
  });

  test('fail without a mirror, with the reason and how to start one', async () => {
    expect(await named(`http://127.0.0.1:${await freePort()}`, 'mirror')).toMatchObject({
      status: 'fail',
      message: expect.stringContaining('ECONNREFUSED'),
      remedy: expect.stringContaining('systemctl start metahub'),
    });
  });

  test('warn about a mirror of another version', async () => {
    const { port } = await serve({
      status: () => ({ version: '0.0.0-old', startedAt: new Date(), decisions: [], figures: [] }),
    });
    expect(await named(`http://127.0.0.1:${port}`, 'mirror')).toMatchObject({ status: 'warn' });
  });
});

// `docker info --format '{{json .DriverStatus}}'` of dockerd 28.5.2 with either image store, and of 20.10.24.
test.each([
  ['the containerd store', '[["driver-type","io.containerd.snapshotter.v1"]]', true],
  [
    'the classic store',
    '[["Backing Filesystem","extfs"],["Supports d_type","true"],["Using metacopy","false"],["Native Overlay Diff","true"],["userxattr","false"]]',
    false,
  ],
  ['no dockerd', 'null', undefined],
  ['no docker', '', undefined],
])('isContainerdStore() recognises the output of docker info for %s', (_, output, expected) => {
  expect(isContainerdStore(output)).toBe(expected);
});
