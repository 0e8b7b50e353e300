import { describe, expect, test } from 'vitest';
import { createAccessToken, roleOf } from '../../src/site/account.ts';
import { readMachineFile } from '../../src/site/machine-file.ts';
import { basic, hashed } from '../support/site.ts';
import { serveSite } from '../support/site-server.ts';
import { repository } from '../support/upstream.ts';

const [PULLING, PUSHING] = [createAccessToken(), createAccessToken()];

/** An account of each role, all in the group that may push; and one of a file without a role. */
async function site() {
  const account = async (user: string, rest: string) => `user: ${user}
password: "${await hashed(user)}"
groups: [team]
types: [{ name: node, features: [cpu:zen4] }]
tokens:
  - { name: pulling, sha256: "${PULLING.sha256}" }
  - { name: pushing, sha256: "${PUSHING.sha256}", push: true }
${rest}
`;
  const other = `user: other\npassword: "${await hashed('other')}"\n`;
  return serveSite({
    'groups.yaml': 'team: { repositories: [team/*], push: [team/app] }\n',
    'admin.yaml': await account('admin', 'role: admin'),
    'publisher.yaml': await account('publisher', 'role: publisher'),
    'puller.yaml': await account('puller', 'role: puller'),
    'former.yaml': await account('former', 'managesMachines: true'),
    'other.yaml': other,
  });
}

type Site = Awaited<ReturnType<typeof site>>;

async function admits(
  { gate }: Site,
  authorization: string | undefined,
  action: 'pull' | 'push',
  name: string,
) {
  const admission = await gate.admit({
    headers: { host: 'hub.test:5080', ...(authorization === undefined ? {} : { authorization }) },
    remoteAddress: '192.0.2.1',
    repository: repository(name, 'docker.io'),
    ...(action === 'push' ? { action } : {}),
  });
  if (admission.kind === 'admitted') return 200;
  return admission.error.status;
}

const NEW_TYPE = { name: 'new', features: ['cpu:zen5'] };
const api = (method: string, path: string, json?: object) => (site: Site, as: string | undefined) =>
  site
    .ask(`/api/v1${path}`, {
      ...{ method, as },
      ...(json === undefined ? {} : { json }),
      headers: method === 'DELETE' ? { 'if-match': '*' } : {},
    })
    .then(({ status }) => status);

/** What can be done at a site, each as the status that a login gets. `OWN` is the account itself. */
const ROUTES: Readonly<Record<string, (site: Site, as: string | undefined, own: string) => Promise<number>>> =
  {
    'pull team/app': (site, as) => admits(site, as, 'pull', 'team/app'),
    'pull secret/app': (site, as) => admits(site, as, 'pull', 'secret/app'),
    'push team/app': (site, as) => admits(site, as, 'push', 'team/app'),
    'push team/other': (site, as) => admits(site, as, 'push', 'team/other'),
    'GET /site/machines': (site, as) => site.ask('/site/machines', { as }).then(({ status }) => status),
    'POST /site/machines': (site, as) =>
      site.ask('/site/machines', { as, method: 'POST', json: NEW_TYPE }).then(({ status }) => status),
    'GET own account': (site, as, own) => api('GET', `/accounts/${own}`)(site, as),
    'GET other account': api('GET', '/accounts/other'),
    'POST account': api('POST', '/accounts', { user: 'made', password: 'made' }),
    'POST own type': (site, as, own) => api('POST', `/accounts/${own}/types`, NEW_TYPE)(site, as),
    'POST other’s type': api('POST', '/accounts/other/types', NEW_TYPE),
    'POST own token': (site, as, own) => api('POST', `/accounts/${own}/tokens`, { name: 'made' })(site, as),
    'POST other’s token': api('POST', '/accounts/other/tokens', { name: 'made' }),
    'DELETE other account': api('DELETE', '/accounts/other'),
  };

const NAMES = Object.keys(ROUTES);

/** Who asks -> the statuses, in the order of {@link ROUTES}. */
const MATRIX: readonly (readonly [
  who: string,
  own: string,
  as: string | undefined,
  statuses: readonly number[],
])[] = [
  // pull: team, secret; push: team/app, team/other; machines: GET, POST; account: own, other, POST; types: own, other; tokens: own, other; DELETE
  ['nobody', 'puller', undefined, [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 401]],
  [
    'admin',
    'admin',
    basic('admin', 'admin'),
    [200, 403, 200, 403, 200, 403, 200, 200, 201, 201, 201, 201, 201, 204],
  ],
  [
    'publisher',
    'publisher',
    basic('publisher', 'publisher'),
    [200, 403, 200, 403, 200, 403, 200, 404, 403, 403, 403, 403, 404, 404],
  ],
  [
    'puller',
    'puller',
    basic('puller', 'puller'),
    [200, 403, 403, 403, 200, 403, 200, 404, 403, 403, 403, 403, 404, 404],
  ],
  [
    'an account without a role that manages its types',
    'former',
    basic('former', 'former'),
    [200, 403, 200, 403, 200, 201, 200, 404, 403, 409, 403, 403, 404, 404],
  ],
  [
    'an admin’s token for pulling',
    'admin',
    basic('admin', PULLING.text),
    [200, 403, 403, 403, 200, 403, 200, 200, 403, 403, 403, 403, 403, 403],
  ],
  [
    'a publisher’s token for pushing',
    'publisher',
    basic('publisher', PUSHING.text),
    [200, 403, 200, 403, 200, 403, 200, 404, 403, 403, 403, 403, 404, 404],
  ],
  [
    'a puller’s token for pushing',
    'puller',
    basic('puller', PUSHING.text),
    [200, 403, 403, 403, 200, 403, 200, 404, 403, 403, 403, 403, 404, 404],
  ],
  [
    'a machine of an admin',
    'admin',
    basic('admin-node', 'admin'),
    [200, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403],
  ],
  [
    'a machine that describes itself',
    'admin',
    basic('admin/cpu#zen4', 'admin'),
    [200, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403],
  ],
];

describe('the rights of a role', () => {
  test.each(MATRIX)('are right on every route for %s', async (_, own, as, statuses) => {
    const opened = await site();
    const found: Record<string, number> = {};
    // One after the other: some make what others find.
    for (const [name, ask] of Object.entries(ROUTES)) found[name] = await ask(opened, as, own);
    expect(found).toEqual(Object.fromEntries(NAMES.map((name, at) => [name, statuses[at]])));
  });
});

describe('a role in an account’s file', () => {
  const read = (rest: string) => readMachineFile(`user: a\n${rest}\n`, 'a.yaml');

  test.each([
    ['', 'puller'],
    ['push: [team/*]', 'publisher'],
    ['role: admin', 'admin'],
    ['role: puller', 'puller'],
    ['role: publisher\npush: [team/*]', 'publisher'],
    ['role: publisher\ngroups: [team]', 'publisher'],
  ])('read from %j is %s', (rest, role) => {
    expect(roleOf(read(rest))).toBe(role);
  });

  test.each([
    ['role: admim', '“admim” is not one of admin, publisher, puller; did you mean admin?'],
    ['role: puller\npush: [team/*]', 'a puller cannot push'],
    ['role: publisher', 'a publisher needs push'],
  ])('read from %j is refused: %s', (rest, why) => {
    expect(() => read(rest)).toThrow(why);
  });
});
