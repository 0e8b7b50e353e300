import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Gap } from '../../src/selection/gap-schema.ts';
import { type Chromium, startChromium } from '../support/chromium.ts';
import { LOW_CONTRAST, OVERFLOW } from '../support/page-checks.ts';
import { describeWith } from '../support/required-programs.ts';
import { basic, hashed } from '../support/site.ts';
import { serveWholeSite } from '../support/site-server.ts';
import { repository } from '../support/upstream.ts';

const LONG = 'team-with-a-long-name/and-an-image-whose-name-does-not-break-anywhere-at-all';
const GAP: Gap = {
  ...{
    image: `docker.io/${LONG}:latest`,
    fit: 'generic',
    platform: 'linux/amd64',
    wanted: ['cpu:zen5', 'nvcap:12.0'],
  },
  ...{ isMarked: true, served: '', pulls: 1234, hosts: ['a', 'b'] },
  ...{ firstAt: '2026-11-27T00:00:00.000Z', lastAt: '2026-11-27T01:00:00.000Z' },
};

/** A site with an administrator, two accounts, and pulls of every kind. */
async function busySite() {
  const site = await serveWholeSite(
    {
      'groups.yaml': `hpc: { repositories: ["hpc/**", "ghcr.io/${LONG}/**"], push: [hpc/apps] }\nweb: { repositories: [web/*] }\n`,
      'root.yaml': `user: root\npassword: "${await hashed('root')}"\nrole: admin\n`,
      'qnib.yaml': `user: qnib\npassword: "${await hashed('qnib')}"\nmanagesMachines: true\nrepositories: ["**"]\npush: [qnib/*]\ngroups: [hpc]\ntypes:
  - { name: type1, features: [cpu:broadwell] }
  - { name: gpu-nodes-of-the-second-row, features: [cpu:zen4, nvcap:9.0, "site:rack-17"], password: "${await hashed('own')}" }
  - { name: old, features: [cpu:haswell] }\n`,
      'lab.yaml': `user: lab\npassword: "${await hashed('lab')}"\nrepositories: [lab/*, "ghcr.io/${LONG}/**"]\ngroups: [hpc]\ntokens:
  - { name: ci, sha256: ${'a'.repeat(43)}, expires: 2020-01-01T00:00:00Z }\n`,
    },
    { gaps: () => [GAP], wallClock: Date.now },
  );
  const manifests = [[], ['cpu:broadwell'], ['cpu:zen4', 'nvcap:9.0']].map((features, at) => ({
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: `sha256:${String(at).repeat(64)}`,
    size: 100,
    platform: { os: 'linux', architecture: 'amd64', features },
  }));
  const index = { schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json' };
  for (const [name, entries] of [
    ['qnib/bench', manifests],
    [LONG, manifests.slice(2)],
    ['library/alpine', manifests.slice(0, 1)],
  ] as const) {
    const document = { ...index, annotations: { name }, manifests: entries };
    site.upstream.putManifest(document, { tag: 'latest', repository: repository(name, 'docker.io') });
    for (const [login, password] of [
      ['qnib-type1', 'qnib'],
      ['qnib-old', 'qnib'],
      ['qnib-gpu-nodes-of-the-second-row', 'own'],
      ['qnib/cpu#zen4,nvcap#9.0', 'qnib'],
    ] as const) {
      expect((await site.pull(`${name}:latest`, basic(login, password))).status).toBe(200);
    }
  }
  return site;
}

const PAGES = {
  types: '/site/',
  pulls: '/site/pulls',
  decisions: '/site/decisions?verdict=refused',
  hosts: '/site/hosts',
  gaps: '/site/gaps',
  accounts: '/site/accounts',
  'edit-type': '/site/edit/changeMachineType?user=qnib&name=type1',
  'edit-account': '/site/edit/changeAccount?user=lab',
  remove: '/site/edit/removeMachineType?user=qnib&name=old',
  enrol: '/site/edit/addEnrolment?user=qnib&name=type1',
  groups: '/site/groups',
  'edit-group': '/site/edit/changeGroup?name=hpc',
  'add-member': '/site/edit/addMember?name=web',
  'remove-member': '/site/edit/removeMember?user=lab&name=hpc',
} as const;

describeWith(['chromium'], 'the pages of a site in a browser', () => {
  let chromium: Chromium;
  beforeAll(async () => {
    chromium = await startChromium();
  });
  afterAll(() => chromium?.close());

  async function logIn(url: string, view: { width: number; isDark: boolean }, user = 'root'): Promise<void> {
    await chromium.open(`${url}/site/logout-nobody`, view);
    await chromium.open(`${url}/site/login`, { ...view, scripts: false });
    await chromium.evaluate(
      `document.querySelector('#login').value = '${user}', document.querySelector('#password').value = '${user}', 0`,
    );
    await chromium.leaving(() => chromium.evaluate("document.querySelector('form button').click()"));
  }

  async function keep(name: string): Promise<void> {
    const folder = process.env['METAHUB_SCREENSHOTS'];
    if (folder === undefined) return;
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, `site-${name}.png`), await chromium.screenshot());
  }

  test.each([
    [1280, false],
    [1280, true],
    [390, false],
    [390, true],
  ])('at %i px (dark: %s) have enough contrast and nothing that sticks out', async (width, isDark) => {
    const { url } = await busySite();
    const view = { width, isDark, scripts: false };
    const suffix = `${width}-${isDark ? 'dark' : 'light'}`;
    await chromium.open(`${url}/site/login`, view);
    await keep(`login-${suffix}`);
    await logIn(url, view);
    for (const [name, path] of Object.entries(PAGES)) {
      await chromium.open(`${url}${path}`, view);
      await keep(`${name}-${suffix}`);
      const { seen, found } = await chromium.evaluate<{ seen: number; found: string[] }>(LOW_CONTRAST);
      expect(seen, name).toBeGreaterThan(8);
      expect(found, name).toEqual([]);
      expect(await chromium.evaluate(OVERFLOW), name).toEqual({ page: 0, elements: [] });
    }
  });

  const focused = () =>
    chromium.evaluate<string>(
      'document.activeElement.getAttribute("aria-label") ?? (document.activeElement.textContent || document.activeElement.id)',
    );
  const tabTo = async (label: string) => {
    for (let presses = 0; presses < 60 && (await focused()) !== label; presses += 1)
      await chromium.press('Tab');
    expect(await focused()).toBe(label);
  };
  /** Follows a link, or presses a button, of the keyboard's focus. */
  const enter = async (label: string) => {
    await tabTo(label);
    await chromium.leaving(() => chromium.press('Enter'));
  };
  const status = () => chromium.evaluate("document.querySelector('[role=status]').textContent");

  test('change a machine type by the keyboard alone, without scripts', async () => {
    const { url, ask } = await busySite();
    const view = { width: 1280, isDark: false, scripts: false };
    await logIn(url, view);
    await enter('Edit type1');
    await chromium.evaluate(
      "document.querySelector('#features').focus(), document.querySelector('#features').select(), 0",
    );
    await chromium.press('cpu:skylake');
    await enter('Continue');
    await keep('confirm-1280-light');
    expect(await chromium.evaluate('document.body.textContent')).toContain('cpu:skylake');
    await enter('Save');
    expect(await status()).toBe('Machine type type1 of qnib is changed.');
    const type = await ask('/api/v1/accounts/qnib/types/type1', { as: 'root' });
    expect(await type.json()).toMatchObject({ features: ['cpu:skylake'] });
  });

  test('add a group, its member, and remove both by the keyboard of a narrow window, without scripts', async () => {
    const { url, ask } = await busySite();
    const view = { width: 390, isDark: false, scripts: false };
    await logIn(url, view);
    await enter('Groups');
    await enter('Add a group');
    await tabTo('name');
    await chromium.press('ml');
    await tabTo('repositories');
    await chromium.press('ml/**');
    await enter('Continue');
    await enter('Save');
    expect(await status()).toBe('Group ml is added.');
    await enter('Add a member to ml');
    await tabTo('user');
    await chromium.press('lab');
    await enter('Continue');
    await keep('confirm-member-390-light');
    await enter('Save');
    expect(await status()).toBe('lab is in ml.');
    const group = await ask('/api/v1/groups/ml', { as: 'root' });
    expect(await group.json()).toMatchObject({ repositories: ['ml/**'], push: [] });
    const lab = async () => (await ask('/api/v1/accounts/lab', { as: 'root' })).json();
    expect(await lab()).toMatchObject({ groups: ['hpc', 'ml'] });
    await enter('Remove lab from ml');
    await enter('Remove');
    expect(await lab()).toMatchObject({ groups: ['hpc'] });
    await enter('Remove ml');
    await enter('Remove');
    expect(await status()).toBe('Group ml is removed.');
    expect((await ask('/api/v1/groups/ml', { as: 'root' })).status).toBe(404);
  });
});
