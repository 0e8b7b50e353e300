import { describe, expect, test } from 'vitest';
import { check } from '../../src/lib/schema.ts';
import type { PushForwarder, WriteRoute } from '../../src/oci/push.ts';
import type { Route } from '../../src/server/routes.ts';
import { createAccessToken } from '../../src/site/account.ts';
import { API_OPERATIONS } from '../../src/site/api/operations.ts';
import { LOGIN_PATHS } from '../../src/site/oidc/paths.ts';
import { OidcProviderSettings } from '../../src/site/oidc/settings.ts';
import { WEB_FORMS } from '../../src/site/web/forms.ts';
import { PAGES } from '../../src/site/web/views.ts';
import { basic, hashed } from '../support/site.ts';
import { type SiteAnswer, type SiteAsk, serveSite, serveWholeSite } from '../support/site-server.ts';
import { repository } from '../support/upstream.ts';

/** Who asks, and with what. */
const { text: ROOT_TOKEN, sha256: ROOT_HASH } = createAccessToken();
const ACTORS = {
  nobody: undefined,
  /** A machine of the account that the routes are about. */
  machine: basic('own-gpu', 'own'),
  puller: basic('pip', 'pip'),
  publisher: basic('pub', 'pub'),
  /** The account that the routes are about; it manages its machine types. */
  owner: basic('own', 'own'),
  /** An administrator's token. */
  token: basic('root', ROOT_TOKEN),
  admin: basic('root', 'root'),
} as const;
type Actor = keyof typeof ACTORS;
const ALL = Object.keys(ACTORS) as readonly Actor[];
type Statuses = readonly [
  ...[
    nobody: number,
    machine: number,
    puller: number,
    publisher: number,
    owner: number,
    token: number,
    admin: number,
  ],
];

async function files(): Promise<Readonly<Record<string, string>>> {
  const account = async (user: string, rest: string) =>
    `user: ${user}\npassword: "${await hashed(user)}"\n${rest}\n`;
  return {
    'groups.yaml': 'lab: { repositories: [own/*] }\nfree: {}\n',
    'root.yaml': await account('root', `role: admin\ntokens: [{ name: t, sha256: "${ROOT_HASH}" }]`),
    'pip.yaml': await account('pip', 'role: puller\nrepositories: [pip/*]'),
    'pub.yaml': await account('pub', 'role: publisher\nrepositories: [pub/*]\npush: [pub/*]'),
    'own.yaml': await account(
      'own',
      `managesMachines: true\ngroups: [lab]\npush: [own/*]\ntypes: [{ name: gpu, features: [cpu:zen4] }]\ntokens: [{ name: ci, sha256: "${createAccessToken().sha256}" }]`,
    ),
  };
}

/** Asks one after another as everybody, the administrator last; no answer may be kept by a shared cache. */
async function statusesOf(
  site: { readonly ask: (path: string, asked: SiteAsk) => Promise<SiteAnswer> },
  path: string,
  asked: SiteAsk = {},
) {
  const statuses: number[] = [];
  for (const actor of ALL) {
    const answer = await site.ask(path, { ...asked, as: ACTORS[actor] });
    const cached = answer.headers.get('cache-control') ?? 'absent';
    expect(`${actor}: ${cached}`).toMatch(/no-store/);
    statuses.push(answer.status);
  }
  return statuses;
}

const ANY = { 'if-match': '*' };

/** Each operation of the API: what is asked about the account `own`, and who gets which status. */
const API: Readonly<Record<string, { path: string; asked?: SiteAsk; statuses: Statuses }>> = {
  listAccounts: { path: '/accounts', statuses: [401, 403, 200, 200, 200, 200, 200] },
  addAccount: {
    path: '/accounts',
    asked: { method: 'POST', json: { user: 'new', password: 'p' } },
    statuses: [401, 403, 403, 403, 403, 403, 201],
  },
  getAccount: { path: '/accounts/own', statuses: [401, 403, 404, 404, 200, 200, 200] },
  changeAccount: {
    path: '/accounts/own',
    asked: { method: 'PATCH', json: { role: 'admin', push: ['**'] }, headers: ANY },
    statuses: [401, 403, 403, 403, 403, 403, 200],
  },
  removeAccount: {
    path: '/accounts/own',
    asked: { method: 'DELETE', headers: ANY },
    statuses: [401, 403, 404, 404, 403, 403, 204],
  },
  listGroups: { path: '/groups', statuses: [401, 403, 200, 200, 200, 200, 200] },
  getGroup: { path: '/groups/lab', statuses: [401, 403, 404, 404, 200, 200, 200] },
  setGroup: {
    path: '/groups/lab',
    asked: { method: 'PUT', json: { repositories: ['**'], push: ['**'] }, headers: ANY },
    statuses: [401, 403, 403, 403, 403, 403, 200],
  },
  removeGroup: {
    path: '/groups/free',
    asked: { method: 'DELETE', headers: ANY },
    statuses: [401, 403, 403, 403, 403, 403, 204],
  },
  listMachineTypes: { path: '/types', statuses: [401, 403, 200, 200, 200, 200, 200] },
  addMachineType: {
    path: '/accounts/own/types',
    asked: { method: 'POST', json: { name: 'new', features: ['cpu:zen5'] } },
    statuses: [401, 403, 403, 403, 201, 403, 409],
  },
  getMachineType: { path: '/accounts/own/types/gpu', statuses: [401, 403, 404, 404, 200, 200, 200] },
  changeMachineType: {
    path: '/accounts/own/types/gpu',
    asked: { method: 'PUT', json: { features: ['cpu:zen5'] }, headers: ANY },
    statuses: [401, 403, 403, 403, 200, 403, 200],
  },
  removeMachineType: {
    path: '/accounts/own/types/gpu',
    asked: { method: 'DELETE', headers: ANY },
    statuses: [401, 403, 404, 404, 204, 403, 404],
  },
  listTokens: { path: '/tokens', statuses: [401, 403, 200, 200, 200, 200, 200] },
  addToken: {
    path: '/accounts/own/tokens',
    asked: { method: 'POST', json: { name: 'new', push: true } },
    statuses: [401, 403, 404, 404, 403, 403, 201],
  },
  addEnrolment: {
    path: '/accounts/own/enrolments',
    asked: { method: 'POST', json: { name: 'node', type: 'gpu' } },
    statuses: [401, 403, 403, 403, 403, 403, 201],
  },
  getToken: { path: '/accounts/own/tokens/ci', statuses: [401, 403, 404, 404, 200, 200, 200] },
  revokeToken: {
    path: '/accounts/own/tokens/ci',
    asked: { method: 'DELETE', headers: ANY },
    statuses: [401, 403, 404, 404, 403, 403, 204],
  },
  listImages: { path: '/images', statuses: [401, 403, 200, 200, 200, 200, 200] },
  listDecisions: { path: '/decisions', statuses: [401, 403, 200, 200, 200, 200, 200] },
  listHosts: { path: '/hosts', statuses: [401, 403, 200, 200, 200, 200, 200] },
  listGaps: { path: '/gaps', statuses: [401, 403, 200, 200, 200, 200, 200] },
  getOpenApi: { path: '/openapi.json', statuses: [200, 200, 200, 200, 200, 200, 200] },
};

describe('the API', () => {
  test('has a row for every operation', () => {
    expect(Object.keys(API).sort()).toEqual(API_OPERATIONS.map(({ id }) => id).sort());
  });

  test.each(Object.entries(API))('%s keeps accounts apart', async (id, { path, asked = {}, statuses }) => {
    const site = await serveSite(await files());
    const operation = API_OPERATIONS.find((one) => one.id === id);
    expect(asked.method ?? 'GET').toBe(operation?.method);
    expect(await statusesOf(site, `/api/v1${path}`, asked)).toEqual(statuses);
  });

  test.each(Object.entries(API).filter(([id]) => id.startsWith('list')))(
    '%s lists nothing of an account to others',
    async (_id, { path }) => {
      const site = await serveSite(await files());
      await site.admit(ACTORS.machine, 'own/app');
      for (const actor of ['puller', 'publisher'] as const) {
        const text = await (await site.ask(`/api/v1${path}`, { as: ACTORS[actor] })).text();
        expect(text).not.toMatch(/\bown\b|\blab\b|\broot\b/);
      }
    },
  );

  test.each(Object.entries(API).filter(([, { asked }]) => asked !== undefined))(
    '%s is refused to a page of another site',
    async (_id, { path, asked = {} }) => {
      const site = await serveSite(await files());
      const headers = { ...asked.headers, 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' };
      const answer = await site.ask(`/api/v1${path}`, { ...asked, headers, as: ACTORS.admin });
      expect(answer.status).toBe(403);
    },
  );
});

/** Each page and form of the site: who sees it; 303 leads to the login, 403 for a form that changes another account. */
const FORM = (statuses: Statuses, query = '?user=own') => ({ query, statuses });
const WEB: Readonly<Record<string, { query?: string; statuses: Statuses }>> = {
  ...Object.fromEntries(
    PAGES.map((name) => [name, { statuses: [303, 303, 200, 200, 200, 200, 200] as Statuses }]),
  ),
  'edit/addMachineType': FORM([303, 303, 403, 403, 200, 403, 200]),
  'edit/changeMachineType': FORM([303, 303, 403, 403, 200, 403, 200], '?user=own&name=gpu'),
  'edit/removeMachineType': FORM([303, 303, 403, 403, 200, 403, 200], '?user=own&name=gpu'),
  'edit/addEnrolment': FORM([303, 303, 403, 403, 403, 403, 200], '?user=own&name=gpu'),
  'edit/addAccount': FORM([303, 303, 403, 403, 403, 403, 200]),
  'edit/changeAccount': FORM([303, 303, 403, 403, 403, 403, 200]),
  'edit/removeAccount': FORM([303, 303, 403, 403, 403, 403, 200]),
  'edit/addToken': FORM([303, 303, 403, 403, 403, 403, 200]),
  'edit/revokeToken': FORM([303, 303, 403, 403, 403, 403, 200], '?user=own&name=ci'),
  'edit/addGroup': FORM([303, 303, 403, 403, 403, 403, 200]),
  'edit/changeGroup': FORM([303, 303, 403, 403, 403, 403, 200], '?name=lab'),
  'edit/removeGroup': FORM([303, 303, 403, 403, 403, 403, 200], '?name=free'),
  'edit/addMember': FORM([303, 303, 403, 403, 403, 403, 200], '?name=lab'),
  'edit/removeMember': FORM([303, 303, 403, 403, 403, 403, 200], '?user=own&name=lab'),
};

describe('the pages', () => {
  test('have a row for every page and form', () => {
    const forms = WEB_FORMS.map(({ id }) => `edit/${id}`);
    expect(Object.keys(WEB).sort()).toEqual([...PAGES, ...forms].sort());
  });

  test.each(Object.entries(WEB))('/site/%s keeps accounts apart', async (name, { query = '', statuses }) => {
    const site = await serveSite(await files());
    expect(await statusesOf(site, `/site/${name}${query}`)).toEqual(statuses);
    if ((PAGES as readonly string[]).includes(name)) {
      await site.admit(ACTORS.machine, 'own/app');
      const text = await (await site.ask(`/site/${name}`, { as: ACTORS.puller })).text();
      expect(text).not.toMatch(/own-gpu|user=own|>own<|>root<|>lab</);
    }
  });

  test.each(['login', 'logout', 'confirm', ...WEB_FORMS.map(({ id }) => `edit/${id}`)])(
    'POST /site/%s is refused to a page of another site',
    async (name) => {
      const site = await serveSite(await files());
      const headers = {
        'content-type': 'application/x-www-form-urlencoded',
        'sec-fetch-site': 'cross-site',
        origin: 'https://evil.example',
      };
      const answer = await site.ask(`/site/${name}`, { method: 'POST', body: '', headers, as: ACTORS.admin });
      expect(answer.status).toBe(403);
    },
  );
});

/** Every other handler of the site, with a request and who gets which status. */
const HANDLERS: Readonly<Record<string, { path?: string; asked?: SiteAsk; statuses: Statuses }>> = {
  '/token': {
    path: '/token?service=metahub&scope=repository:own/app:pull,push',
    statuses: [401, 200, 200, 200, 200, 200, 200],
  },
  '/site/machines': { statuses: [401, 403, 200, 200, 200, 200, 200] },
  '/site/enrol': {
    asked: { method: 'POST', json: { token: 'metahub_enrol_guess' } },
    statuses: [403, 403, 403, 403, 403, 403, 403],
  },
  '/site': { statuses: [308, 308, 308, 308, 308, 308, 308] },
  [LOGIN_PATHS.begin]: { statuses: [502, 502, 502, 502, 502, 502, 502] },
  [LOGIN_PATHS.callback]: { statuses: [403, 403, 403, 403, 403, 403, 403] },
  [LOGIN_PATHS.provider]: { statuses: [200, 200, 200, 200, 200, 200, 200] },
  [LOGIN_PATHS.token]: { asked: { method: 'POST', body: '' }, statuses: [400, 400, 400, 400, 400, 400, 400] },
  [LOGIN_PATHS.end]: { asked: { method: 'POST' }, statuses: [303, 303, 303, 303, 303, 303, 303] },
};

/** Changes by the older endpoint of machine types, each of the caller's own account. */
describe('/site/machines', () => {
  test.each<[string, string, SiteAsk, Statuses]>([
    ['POST', '', { json: { name: 'new', features: ['cpu:zen5'] } }, [401, 403, 403, 403, 201, 403, 403]],
    ['DELETE', '?name=gpu', {}, [401, 403, 403, 403, 200, 403, 403]],
  ])('%s keeps accounts apart', async (method, query, asked, statuses) => {
    const site = await serveSite(await files());
    expect(await statusesOf(site, `/site/machines${query}`, { method, ...asked })).toEqual(statuses);
  });
});

describe('the other endpoints of a site', () => {
  const withPeople = async () => {
    const { output } = check(OidcProviderSettings, {
      ...{ issuer: 'http://127.0.0.1:1', clientId: 'metahub' },
      accounts: [{ claims: { groups: 'hpc' }, account: '{email}' }],
    });
    if (output === undefined) throw new Error('the settings of the provider');
    const oidc = {
      settings: output,
      secret: undefined,
      siteUrl: 'http://site.test',
      fetch: () => Promise.reject(new Error('down')),
    };
    return serveSite(await files(), { url: 'http://site.test', oidc: oidc as never });
  };

  test('have a row for every handler', async () => {
    const { handlers } = await withPeople();
    const tables = ['/api/v1/', '/site/'];
    expect(Object.keys(HANDLERS).sort()).toEqual(
      [...handlers.keys()].filter((path) => !tables.includes(path)).sort(),
    );
  });

  test.each(Object.entries(HANDLERS))('%s keeps accounts apart', async (path, row) => {
    const site = await withPeople();
    expect(await statusesOf(site, row.path ?? path, row.asked)).toEqual(row.statuses);
  });

  test.each<[Actor, string]>([
    ['machine', 'pull'],
    ['puller', ''],
    ['publisher', ''],
    ['owner', 'pull,push'],
    ['token', 'pull'],
    ['admin', 'pull'],
  ])('/token grants the %s these actions on own/app: "%s"', async (actor, granted) => {
    const site = await serveSite(await files());
    const answer = await site.ask('/token?service=metahub&scope=repository:own/app:pull,push', {
      as: ACTORS[actor],
    });
    const { scope = '' } = await answer.json();
    expect(/:([a-z,]*)$/.exec(scope)?.[1] ?? '').toBe(granted);
  });
});

/** Each route of the registry API about `own/app`; a new kind of route without a row does not compile. */
type RegistryKind = Exclude<Route['kind'], 'page'> | `write ${WriteRoute['kind']}`;
const DIGEST = `sha256:${'0'.repeat(64)}`;
const PULL: Statuses = [401, 404, 403, 403, 404, 404, 404];
const LISTED: Statuses = [401, 200, 403, 403, 200, 200, 200];
/** Of the site's logins only the account's own pushes, where its patterns allow it; so does no administrator. */
const PUSH: Statuses = [401, 403, 403, 403, 202, 403, 403];
const REGISTRY: Readonly<Record<RegistryKind, { path: string; asked?: SiteAsk; statuses: Statuses }>> = {
  ping: { path: '', statuses: [401, 200, 200, 200, 200, 200, 200] },
  manifest: { path: 'own/app/manifests/absent', statuses: PULL },
  blob: { path: `own/app/blobs/${DIGEST}`, statuses: PULL },
  tags: { path: 'own/app/tags/list', statuses: LISTED },
  referrers: { path: `own/app/referrers/${DIGEST}`, statuses: LISTED },
  'write begin-upload': { path: 'own/app/blobs/uploads/', asked: { method: 'POST' }, statuses: PUSH },
  'write upload': { path: 'own/app/blobs/uploads/x', asked: { method: 'PATCH', body: 'x' }, statuses: PUSH },
  'write manifest': {
    path: 'own/app/manifests/latest',
    asked: { method: 'PUT', body: '{}' },
    statuses: PUSH,
  },
};

describe('the registry API of a site', () => {
  test.each(Object.entries(REGISTRY))('%s keeps accounts apart', async (_kind, { path, asked, statuses }) => {
    const owners: string[] = [];
    const push: PushForwarder = {
      forward: async (_request, response, { owner }) => {
        owners.push(owner);
        response.writeHead(202, { 'cache-control': 'private, no-store' }).end();
      },
    };
    const site = await serveWholeSite(await files(), { push });
    expect(await statusesOf(site, `/v2/${path}`, asked)).toEqual(statuses);
    expect(owners).toEqual(statuses === PUSH ? ['own'] : []);
  });

  test('an answer for one account is neither public nor another account’s', async () => {
    const site = await serveWholeSite(await files());
    const mediaType = 'application/vnd.oci.image.index.v1+json';
    site.upstream.putManifest(
      { schemaVersion: 2, mediaType, manifests: [] },
      { tag: 'latest', repository: repository('own/app', 'docker.io') },
    );
    expect(await statusesOf(site, '/v2/own/app/manifests/latest')).toEqual([
      401, 200, 403, 403, 200, 200, 200,
    ]);
  });
});
