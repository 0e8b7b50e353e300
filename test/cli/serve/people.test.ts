import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MEDIA_TYPE } from '../../../src/oci/media-type.ts';
import { createContent, serveContent, startServer } from '../../support/hostile-registry.ts';
import { freePort } from '../../support/loopback.ts';
import { type Metahub, metahubProgram, startMetahub } from '../../support/metahub.ts';
import {
  Browser,
  DEVICE_CLIENT,
  type OpenidProvider,
  SITE_CLIENT,
  startOpenidProvider,
} from '../../support/oidc-provider.ts';
import { attempt, startServer as startProgram } from '../../support/processes.ts';
import { hashed } from '../../support/site.ts';
import { openWorkplace, type Workplace } from '../../support/workplace.ts';

const PEOPLE = {
  'sub-alice': { email: 'alice@example.org', preferred_username: 'alice', groups: ['hpc'] },
  'sub-dave': { email: 'dave@example.org', preferred_username: 'dave', groups: [] },
};

/** A site, its provider of logins and its registry: each a process or a server of its own. */
describe('a site whose people log in at a provider', () => {
  let workplace: Workplace;
  let provider: OpenidProvider;
  let site: Metahub;
  let host: string;
  const machines = () => join(workplace.directory, 'machines.d');
  const metahub = (...words: readonly string[]) => attempt(process.execPath, [metahubProgram, ...words]);

  beforeAll(async () => {
    workplace = openWorkplace();
    const content = createContent();
    const config = Buffer.from('{"os":"linux","architecture":"amd64"}');
    const layer = {
      mediaType: 'application/vnd.oci.image.layer.v1.tar',
      digest: content.putBlob(config),
      size: config.length,
    };
    const entry = (feature: string) => {
      const document = {
        schemaVersion: 2,
        mediaType: MEDIA_TYPE.ociManifest,
        config: { ...layer, mediaType: MEDIA_TYPE.ociConfig },
        layers: [layer],
        annotations: { feature },
      };
      const digest = content.putManifest(document, MEDIA_TYPE.ociManifest);
      const size = content.manifests.get(digest)?.bytes.length;
      const platform = { os: 'linux', architecture: 'amd64', features: [feature] };
      return { mediaType: MEDIA_TYPE.ociManifest, digest, size, platform };
    };
    const manifests = ['cpu:broadwell', 'cpu:zen4'].map(entry);
    content.putManifest(
      { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests },
      MEDIA_TYPE.ociIndex,
      'latest',
    );
    const registry = await startServer(serveContent(content));
    workplace.onClose(registry.close);

    const port = await freePort();
    host = `127.0.0.1:${port}`;
    provider = await startOpenidProvider(PEOPLE, () => [`http://${host}/login/callback`]);
    workplace.onClose(provider.close);
    mkdirSync(machines());
    writeFileSync(join(machines(), 'groups.yaml'), 'hpc: { repositories: [hpc/*] }\n');
    writeFileSync(
      join(machines(), 'nodes.yaml'),
      `user: nodes\npassword: "${await hashed('unknown')}"\ntypes: [{ name: epyc, features: [cpu:zen4] }]\n`,
    );
    const secret = join(workplace.directory, 'oidc.secret');
    writeFileSync(secret, `${SITE_CLIENT.secret}\n`, { mode: 0o600 });
    const settings = join(workplace.directory, 'config.yaml');
    writeFileSync(
      settings,
      `siteUrl: http://${host}
machines: ${machines()}
oidc:
  issuer: ${provider.issuer}
  clientId: ${SITE_CLIENT.id}
  clientSecretFile: ${secret}
  deviceClientId: ${DEVICE_CLIENT}
  accounts:
    - { claims: { groups: hpc }, account: "{email}", groupsClaim: groups }
`,
    );
    site = await startMetahub(workplace, {
      upstream: registry.url,
      args: ['--config', settings, '--listen', host],
    });
  });
  afterAll(() => workplace?.close());

  /** Which entry a mirror on a node, which pulls from the site, gets with these logins. */
  async function featurePulledWith(authFile: string, nodeHost: string): Promise<string> {
    const node = await startMetahub(workplace, {
      upstream: site.url,
      host: nodeHost,
      env: { REGISTRY_AUTH_FILE: authFile },
    });
    const get = async (reference: string) => {
      const answer = await fetch(`${node.url}/v2/hpc/solver/manifests/${reference}`, {
        headers: { accept: `${MEDIA_TYPE.ociIndex}, ${MEDIA_TYPE.ociManifest}` },
      });
      if (answer.status !== 200) throw new Error(`${answer.status} ${await answer.text()}\n${site.log()}`);
      return answer.json() as Promise<Record<string, unknown>>;
    };
    const index = (await get('latest')) as { manifests: readonly { digest: string }[] };
    const manifest = (await get(index.manifests[0]?.digest ?? '')) as { annotations: { feature: string } };
    expect(index.manifests).toHaveLength(1);
    await node.stop();
    return manifest.annotations.feature;
  }

  test('metahub login --oidc logs a node in by a code that a browser confirms, and the node pulls its entry', async () => {
    const authFile = join(workplace.directory, 'alice', 'auth.json');
    const login = await startProgram({
      command: process.execPath,
      args: [
        ...[metahubProgram, 'login', host, '--oidc', '--set', 'cpu:zen4'],
        ...['--runtime', 'metahub', '--auth-file', authFile],
      ],
      ready: /Open (\S+) in a browser, and confirm the code (\S+)/,
    });
    const [, page = '', code = ''] = login.announced;
    expect(page).toContain(provider.issuer);
    expect(page).toContain(code);
    const { answer } = await new Browser().logIn(page, 'sub-alice');
    expect(await answer.text()).toContain('Sign-in Success');
    await expect.poll(() => login.output()).toContain('metahub is logged in to');
    expect(login.output()).toMatch(/this host logs in as alice@example\.org\/\S*cpu#zen4/);
    expect(readFileSync(join(machines(), 'alice@example.org.yaml'), 'utf8')).toMatch(/name: login-/);
    expect(await featurePulledWith(authFile, 'cpu:zen4')).toBe('cpu:zen4');
    expect(site.log()).not.toContain(JSON.parse(readFileSync(authFile, 'utf8')).auths[host].auth);
  });

  test('metahub login --oidc reports a person without an account', async () => {
    const login = await startProgram({
      command: process.execPath,
      args: [
        metahubProgram,
        'login',
        host,
        '--oidc',
        '--runtime',
        'metahub',
        '--auth-file',
        '/nowhere/auth.json',
      ],
      ready: /Open (\S+) in a browser/,
    });
    await new Browser().logIn(login.announced[1] ?? '', 'sub-dave');
    await expect.poll(() => login.output()).toContain(`${host} does not accept this login (HTTP 403)`);
    expect(site.log()).toContain('no rule for this person');
  });

  test('metahub login --enrol logs a node in as its machine type', async () => {
    const made = await metahub('machine', 'enrol', 'nodes', 'epyc', '--name', 'n1', '--machines', machines());
    expect(made.status, made.stderr).toBe(0);
    const authFile = join(workplace.directory, 'n1', 'auth.json');
    const words = [
      'login',
      host,
      '--enrol',
      made.stdout.trim(),
      '--runtime',
      'metahub',
      '--auth-file',
      authFile,
    ];
    await expect
      .poll(async () => (await metahub(...words)).stdout, { interval: 1000 })
      .toBe(`metahub is logged in to ${host} as nodes-epyc\n`);
    expect(await featurePulledWith(authFile, 'cpu:zen4')).toBe('cpu:zen4');
  });

  test('redirects a login in a browser to its return path', async () => {
    const ended = await new Browser().logIn(`${site.url}/login?return=/api/v1/accounts`, 'sub-alice');
    expect(await ended.answer.json()).toMatchObject({
      accounts: [{ user: 'alice@example.org', groups: ['hpc'] }],
    });
  });
});

describe('metahub serve', () => {
  const OIDC = 'oidc: { issuer: "https://id.example.org", clientId: c, accounts: [{ account: a }] }';
  const GCP = 'enrolment: [{ cloud: gcp, keys: /k, accounts: [p], account: a, types: { "*": t } }]';

  test.each([
    [
      'a provider of logins without a directory for accounts',
      OIDC,
      'oidc creates logins, and there is no directory for them',
    ],
    ['a provider without the site’s name', `${OIDC}\nmachines: /nowhere`, 'oidc needs the URL of this site'],
    [
      'enrolment without a directory for accounts',
      GCP,
      'enrolment creates logins, and there is no directory for them',
    ],
    ['enrolment by GCP without the site’s name', `${GCP}\nmachines: /nowhere`, 'needs the URL of this site'],
    [
      'enrolment by Azure without the site’s name',
      `${GCP.replace('gcp', 'azure')}\nmachines: /nowhere`,
      'needs the URL of this site',
    ],
    ['an issuer without TLS', OIDC.replace('https:', 'http:'), 'is not an issuer: an https URL'],
    [
      'a role for an account that is shared',
      OIDC.replace('account: a', 'account: a, role: admin'),
      'an account without {claim} is shared',
    ],
  ])('refuses %s', async (_, written, why) => {
    const workplace = openWorkplace();
    const file = join(workplace.directory, 'config.yaml');
    writeFileSync(file, `${written}\n`);
    const words = ['serve', '--config', file, '--listen', '127.0.0.1:0', '--data', workplace.folder('data')];
    const { status, stderr } = await attempt(process.execPath, [metahubProgram, ...words]);
    await workplace.close();
    expect(stderr).toContain(why);
    expect(status).toBe(2);
  });
});
