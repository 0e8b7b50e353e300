import { createServer } from 'node:http';
import { describe, expect, test, vi } from 'vitest';
import { ConfigError, type ConfigErrorCode } from '../../src/lib/config-error.ts';
import type { Account, AccountIdentity } from '../../src/site/account.ts';
import { createOidcEndpoints, safeReturn } from '../../src/site/oidc/endpoints.ts';
import { PersonAccounts, PersonRefusedError } from '../../src/site/oidc/person-accounts.ts';
import type { OidcProvider } from '../../src/site/oidc/provider.ts';
import { createOidcMemory } from '../../src/site/oidc/session.ts';
import type { ClaimRule, OidcSettings, Person } from '../../src/site/oidc/settings.ts';
import type { PasswordHash } from '../../src/site/password.ts';
import { randomTokenKey } from '../../src/site/token.ts';
import { listenOnLoopback } from '../support/loopback.ts';
import { afterTest } from '../support/upstream.ts';

/** The endpoints of logins, with a provider and accounts that answer what a test wants. */

const ISSUER = 'https://id.example.org';
const START_MS = 1_700_000_000_000;
const DAY_MS = 24 * 60 * 60_000;
const EXCHANGE = {
  grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
  subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
  subject_token: 'head.payload.signature',
};
const RULE: ClaimRule = {
  ...{ claims: new Map(), account: '{email}', isShared: false, role: undefined, groups: [] },
  groupsClaim: undefined,
};
const CLAIMS = { iss: ISSUER, sub: 's', email: 'anna@example.org' };
const ACCOUNT = {
  ...{ user: 'anna@example.org', tokens: [], groups: [], role: undefined },
  oidc: { issuer: ISSUER, subject: 's' },
} as unknown as Account;

interface Site {
  readonly settings?: Partial<OidcSettings>;
  readonly provider?: Partial<OidcProvider>;
  readonly people?: Partial<PersonAccounts>;
  readonly find?: (user: string) => AccountIdentity | undefined;
}

async function site({ settings = {}, provider = {}, people = {}, find }: Site = {}) {
  const clock = { ms: START_MS };
  const audited: Record<string, unknown>[] = [];
  const log: { readonly level: string; readonly event: string; readonly fields: unknown }[] = [];
  const made: unknown[] = [];
  const identity = {
    ...{ account: ACCOUNT, login: ACCOUNT.user, password: { text: 'hash' } as PasswordHash, features: [] },
  } as unknown as AccountIdentity;
  const finder = find ?? ((user: string) => (user === ACCOUNT.user ? identity : undefined));
  const wallClock = () => clock.ms;
  const memory = createOidcMemory({ tokenKey: randomTokenKey(), secure: false, find: finder, wallClock });
  const handlers = createOidcEndpoints({
    ...{ memory, wallClock, find: finder },
    settings: {
      ...{ issuer: ISSUER, clientId: 'site', scopes: ['openid', 'email'], accounts: [RULE] },
      ...{ clientSecretFile: undefined, deviceClientId: 'cli', ...settings },
    },
    provider: {
      begin: async () => ({
        url: new URL(`${ISSUER}/auth?state=st`),
        pending: { state: 'st', nonce: 'no', verifier: 've' },
      }),
      finish: async () => CLAIMS,
      verify: async () => CLAIMS,
      ...provider,
    } as OidcProvider,
    people: {
      open: async () => ACCOUNT,
      makeToken: async (...call: readonly unknown[]) => {
        made.push(call);
        return 'metahub_token';
      },
      ...people,
    } as unknown as PersonAccounts,
    clientAddress: (address) => address,
    audit: (entry) => void audited.push({ ...entry }),
    log: (level, event, _message, fields) => void log.push({ level, event, fields }),
  });
  const server = createServer((request, response) =>
    handlers.get((request.url ?? '').split('?')[0] ?? '')?.(request, response),
  );
  const port = await listenOnLoopback(server);
  afterTest(() => new Promise((resolve) => void server.close(resolve)));
  const ask = async (path: string, init: RequestInit = {}) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
      ...{ redirect: 'manual' as const, ...init },
      headers: { connection: 'close', ...init.headers },
    });
    const text = await answer.text();
    return {
      ...{ status: answer.status, headers: answer.headers },
      document: text.startsWith('{') ? JSON.parse(text) : text,
    };
  };
  const begin = async (path = '/login') => {
    const answer = await ask(path);
    return answer.headers.getSetCookie()[0]?.split(';')[0] ?? '';
  };
  const callback = async (query = 'code=c&state=st', cookie?: string) =>
    ask(`/login/callback?${query}`, { headers: { cookie: cookie ?? (await begin()) } });
  const exchange = (more: Readonly<Record<string, string>> = {}) =>
    ask('/login/token', { method: 'POST', body: new URLSearchParams({ ...EXCHANGE, ...more }) });
  const refusals = () =>
    audited.filter(({ decision }) => decision === 'refused').map(({ reason, who }) => [reason, who]);
  return { clock, audited, log, made, memory, ask, begin, callback, exchange, refusals };
}

const refused = (message: string) => ({
  errors: [{ code: 'DENIED', message: `the login is refused: ${message}` }],
});

describe('the beginning of a login', () => {
  test('leads to the provider, with a cookie for ten minutes', async () => {
    const { ask } = await site();
    const { status, headers } = await ask('/login');
    expect([status, headers.get('location'), headers.get('cache-control')]).toEqual([
      ...[303, `${ISSUER}/auth?state=st`, 'no-store'],
    ]);
    expect(headers.getSetCookie()[0]).toMatch(/^metahub-login=[\w-]+; Max-Age=600; /);
  });

  test('is refused while the provider does not answer', async () => {
    const { ask, log, refusals } = await site({
      provider: {
        begin: async () => {
          throw new Error('connection refused');
        },
      },
    });
    const { status, document } = await ask('/login');
    expect([status, document]).toMatchObject([
      502,
      { errors: [{ code: 'UNAVAILABLE', message: 'the OpenID provider does not answer: try again later' }] },
    ]);
    expect(log).toEqual([
      {
        level: 'warning',
        event: 'oidc-provider-fails',
        fields: { issuer: ISSUER, reason: 'connection refused' },
      },
    ]);
    expect(refusals()).toEqual([['internal', undefined]]);
  });
});

describe('the end of a login', () => {
  test('leads to the requested page, with a session, and removes the cookie of the login', async () => {
    const { begin, callback, audited, memory } = await site();
    const cookie = await begin('/login?return=%2Fsite%2Fgaps%3Fimage=a');
    const { status, headers } = await callback(undefined, cookie);
    expect([status, headers.get('location'), headers.get('cache-control')]).toEqual([
      ...[303, '/site/gaps?image=a', 'no-store'],
    ]);
    const [removal, session = ''] = headers.getSetCookie();
    expect(removal).toBe('metahub-login=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax');
    expect(session).toMatch(/^metahub-session=[\w-]+; Max-Age=28800; Path=\/; HttpOnly; SameSite=Lax$/);
    expect(memory.sessions.identityIn(session.split(';')[0])).toMatchObject({
      login: ACCOUNT.user,
      isPerson: true,
    });
    expect(audited).toEqual([
      {
        ...{ decision: 'admitted', operation: 'login', address: '127.0.0.1', resource: '/login/callback' },
        ...{ who: ACCOUNT.user, account: ACCOUNT.user },
      },
    ]);
  });

  test('takes a code that contains a question mark, which a query may hold unencoded', async () => {
    const finished: string[] = [];
    const { callback } = await site({
      provider: {
        finish: async (query) => {
          finished.push(query);
          return CLAIMS;
        },
      },
    });
    expect((await callback('code=a?b&state=st')).status).toBe(303);
    expect(finished).toEqual(['code=a?b&state=st']);
  });

  test.each([
    ['without a beginning', 'code=c&state=st', '', 'no-login-begun', 'no login was begun in this browser'],
    ['with another state', 'code=c&state=x', undefined, 'other-state', 'the state is that of another login'],
    ['without a state', 'code=c', undefined, 'other-state', 'the state is that of another login'],
  ])('is refused %s', async (_, query, cookie, reason, message) => {
    const { callback, refusals } = await site();
    const { status, document, headers } = await callback(query, cookie);
    expect([status, document]).toEqual([403, refused(message)]);
    expect(headers.getSetCookie()).toEqual([]);
    expect(refusals()).toEqual([[reason, undefined]]);
  });

  test('is refused ten minutes after the beginning, and not before', async () => {
    const { begin, callback, clock } = await site();
    const [one, other] = [await begin(), await begin()];
    clock.ms += 10 * 60_000 - 1;
    expect((await callback(undefined, one)).status).toBe(303);
    clock.ms += 1;
    expect((await callback(undefined, other)).document).toEqual(
      refused('no login was begun in this browser'),
    );
  });

  test('is refused the second time', async () => {
    const { begin, callback, refusals } = await site();
    const cookie = await begin();
    expect((await callback(undefined, cookie)).status).toBe(303);
    expect((await callback(undefined, cookie)).document).toEqual(refused('the login was used already'));
    expect(refusals()).toEqual([['login-used', undefined]]);
  });

  test.each([
    [
      'the provider’s answer is not valid',
      { code: 'OAUTH_RESPONSE_BODY_ERROR' },
      'OAUTH_RESPONSE_BODY_ERROR',
    ],
    ['something else fails', {}, 'Error'],
    ['the code is no text', { code: 7 }, 'Error'],
  ])('is refused when %s, with the reason in the log alone', async (_, more, code) => {
    const { callback, log, refusals } = await site({
      provider: {
        finish: async () => {
          throw Object.assign(new Error('the reason'), more);
        },
      },
    });
    const { status, document } = await callback();
    expect([status, document]).toEqual([403, refused('there is no valid login at the provider')]);
    expect(log).toEqual([
      { level: 'notice', event: 'oidc-login-failed', fields: { issuer: ISSUER, code, reason: 'the reason' } },
    ]);
    expect(refusals()).toEqual([['no-valid-login', undefined]]);
  });

  test.each<[string, Site, string, string | undefined, string]>([
    [
      'no rule is for the person',
      { provider: { finish: async () => ({ ...CLAIMS, email: undefined }) } },
      ...(['no-rule', undefined, 'there is no rule for this person'] as const),
    ],
    [
      'the site has no such login',
      { find: () => undefined },
      ...(['no-account', ACCOUNT.user, 'the person has no account'] as const),
    ],
    ...(['no-account', 'account-of-another', 'not-writable'] as const).map(
      (code): [string, Site, string, string, string] => [
        `the account is refused: ${code}`,
        {
          people: {
            open: async () => {
              throw new PersonRefusedError(code, 'why');
            },
          },
        },
        ...([code, ACCOUNT.user] as const),
        {
          'no-account': 'the person has no account',
          'account-of-another': 'the account belongs to somebody else',
          'not-writable': 'the account cannot be written',
        }[code],
      ],
    ),
  ])('is refused when %s', async (_, options, reason, who, message) => {
    const { callback, refusals } = await site(options);
    const { status, document, headers } = await callback();
    expect([status, document]).toEqual([403, refused(message)]);
    expect(headers.getSetCookie()).toEqual([]);
    expect(refusals()).toEqual([[reason, who]]);
  });

  test('is refused while the account cannot be written, and may be repeated', async () => {
    const { callback, log, refusals } = await site({
      people: {
        open: async () => {
          throw new ConfigError('read-only', 'cannot write');
        },
      },
    });
    const { status, document } = await callback();
    expect([status, document]).toMatchObject([
      503,
      { errors: [{ code: 'UNAVAILABLE', message: 'MetaHub cannot write the account: try again later' }] },
    ]);
    expect(log).toEqual([
      {
        level: 'warning',
        event: 'oidc-account-failed',
        fields: { account: ACCOUNT.user, reason: 'cannot write' },
      },
    ]);
    expect(refusals()).toEqual([['internal', undefined]]);
  });

  test('fails without a reason when something unexpected happens', async () => {
    const { callback, log } = await site({
      people: {
        open: async () => {
          throw new Error('the secret reason');
        },
      },
    });
    const { status, document } = await callback();
    expect([status, document]).toMatchObject([500, { errors: [{ message: 'the login failed' }] }]);
    expect(log).toEqual([
      { level: 'error', event: 'endpoint-failed', fields: { reason: 'Error: the secret reason' } },
    ]);
  });
});

describe('the exchange of an ID token', () => {
  test('gives a token for 30 days that only pulls, unless it asks for another', async () => {
    const { exchange, made, audited } = await site();
    const { status, document, headers } = await exchange();
    expect([status, headers.get('cache-control')]).toEqual([200, 'no-store']);
    // RFC 8693, 2.2.1
    expect(document).toEqual({
      ...{ access_token: 'metahub_token', token_type: 'N_A', expires_in: 30 * 24 * 60 * 60 },
      ...{ issued_token_type: 'urn:ietf:params:oauth:token-type:access_token', username: ACCOUNT.user },
    });
    const person: Person = {
      ...{ issuer: ISSUER, subject: 's', user: ACCOUNT.user, isShared: false, role: undefined, groups: [] },
      isGrouped: false,
    };
    const expires = new Date(START_MS + 30 * DAY_MS);
    expect(made).toEqual([[ACCOUNT, person, { name: 'login', expires, push: false }]]);
    expect(audited).toEqual([
      {
        ...{ decision: 'token given', operation: 'login', address: '127.0.0.1', resource: '/login/token' },
        ...{ who: ACCOUNT.user, account: ACCOUNT.user, token: 'login' },
      },
    ]);
  });

  test.each([
    [{ name: 'ci' }, { name: 'ci', push: false }],
    [{ scope: 'push' }, { name: 'login', push: true }],
    [{ scope: 'pull' }, { name: 'login', push: false }],
  ])('makes the token that %j asks for', async (form, token) => {
    const { exchange, made } = await site();
    expect((await exchange(form as Record<string, string>)).status).toBe(200);
    expect(made).toMatchObject([[{}, {}, token]]);
  });

  test.each<[Readonly<Record<string, string>>, string, string]>([
    [
      { grant_type: 'password' },
      'UNSUPPORTED',
      'the form is not a token exchange: send grant_type=urn:ietf:params:oauth:grant-type:token-exchange and an ID token',
    ],
    [
      { subject_token_type: 'urn:ietf:params:oauth:token-type:access_token' },
      'UNSUPPORTED',
      'the form is not a token exchange: send grant_type=urn:ietf:params:oauth:grant-type:token-exchange and an ID token',
    ],
    [
      { name: 'a/b' },
      'NAME_INVALID',
      'name is not the name of a token: it may contain letters, digits and . _ - @ only',
    ],
  ])('refuses the form %j before it asks the provider', async (form, code, message) => {
    const { exchange, refusals } = await site({
      provider: {
        verify: async () => {
          throw new Error('asked');
        },
      },
    });
    const { status, document } = await exchange(form);
    expect([status, document]).toMatchObject([400, { errors: [{ code, message }] }]);
    expect(refusals()).toEqual([['invalid-body', undefined]]);
  });

  test('takes each ID token once, however its signature is written', async () => {
    const { exchange, made, refusals } = await site();
    expect((await exchange()).status).toBe(200);
    for (const again of [EXCHANGE.subject_token, 'head.payload.other', 'head.payload']) {
      expect((await exchange({ subject_token: again })).document).toEqual(
        refused('the login was used already'),
      );
    }
    expect((await exchange({ subject_token: 'head.other.signature' })).status).toBe(200);
    expect(made).toHaveLength(2);
    expect(refusals()).toEqual(Array(3).fill(['login-used', undefined]));
  });

  test('is refused for a while when more people log in than it can remember, and not as used', async () => {
    const { exchange, made, memory, refusals } = await site();
    vi.spyOn(memory.usedTokens, 'use').mockResolvedValueOnce('full');
    const { status, headers, document } = await exchange();
    expect([status, headers.get('retry-after'), document]).toMatchObject([
      ...[429, '60', { errors: [{ code: 'TOOMANYREQUESTS' }] }],
    ]);
    expect([made, refusals()]).toEqual([[], [['limit', undefined]]]);
    expect((await exchange()).status).toBe(200);
  });

  test('does not use up a token of a person whom no rule admits', async () => {
    let email: string | undefined;
    const { exchange, refusals } = await site({
      provider: { verify: async () => ({ ...CLAIMS, email }) as typeof CLAIMS },
    });
    expect((await exchange()).status).toBe(403);
    email = CLAIMS.email;
    expect((await exchange()).status).toBe(200);
    expect(refusals()).toEqual([['no-rule', undefined]]);
  });

  test('does not use up a token that the provider has not signed', async () => {
    let isForged = true;
    const { exchange } = await site({
      provider: {
        verify: async () => {
          if (isForged) throw new Error('forged');
          return CLAIMS;
        },
      },
    });
    expect((await exchange()).document).toEqual(refused('there is no valid login at the provider'));
    isForged = false;
    expect((await exchange()).status).toBe(200);
  });

  test.each<[string, Partial<PersonAccounts>, number]>([
    [
      'belongs to somebody else',
      {
        makeToken: async () => {
          throw new PersonRefusedError('account-of-another', 'why');
        },
      },
      403,
    ],
    [
      'cannot be written',
      {
        makeToken: async () => {
          throw new ConfigError('busy' satisfies ConfigErrorCode, 'busy');
        },
      },
      503,
    ],
  ])('is refused when the account %s', async (_, people, expected) => {
    const { exchange } = await site({ people });
    expect((await exchange()).status).toBe(expected);
  });
});

describe('the other paths of a login', () => {
  test('describe the provider for the command line', async () => {
    const described = async (deviceClientId: string | undefined) => {
      const { ask } = await site({ settings: { deviceClientId } });
      return (await ask('/login/provider')).document;
    };
    expect(await described('cli')).toEqual({ issuer: ISSUER, client_id: 'cli', scope: 'openid email' });
    expect(await described(undefined)).toEqual({ issuer: ISSUER, client_id: 'site', scope: 'openid email' });
  });

  test('end a session, unless a page of another site asks', async () => {
    const { ask, callback, memory, refusals } = await site();
    const cookie = (await callback()).headers.getSetCookie()[1]?.split(';')[0] ?? '';
    const foreign = await ask('/logout', {
      method: 'POST',
      headers: { cookie, 'sec-fetch-site': 'cross-site' },
    });
    expect([foreign.status, foreign.document]).toEqual([
      403,
      refused('the request comes from a page of another site'),
    ]);
    expect(refusals()).toEqual([['cross-site', undefined]]);
    expect(memory.sessions.identityIn(cookie)).toBeDefined();
    const { status, headers } = await ask('/logout', { method: 'POST', headers: { cookie } });
    expect([status, headers.get('location'), headers.get('cache-control')]).toEqual([303, '/', 'no-store']);
    expect(headers.getSetCookie()).toEqual(['metahub-session=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax']);
    expect(memory.sessions.identityIn(cookie)).toBeUndefined();
  });

  test.each([
    ['/login', 'POST', 'GET'],
    ['/login/callback', 'POST', 'GET'],
    ['/login/provider', 'POST', 'GET'],
    ['/login/token', 'GET', 'POST'],
    ['/logout', 'GET', 'POST'],
  ])('%s refuses %s', async (path, method, allow) => {
    const { ask, refusals } = await site();
    const { status, headers, document } = await ask(path, { method });
    expect([status, headers.get('allow'), document]).toMatchObject([
      ...[405, allow],
      { errors: [{ code: 'UNSUPPORTED', message: `this path takes ${allow} only` }] },
    ]);
    expect(refusals()).toEqual([['method-not-allowed', undefined]]);
  });
});

describe('the session of a person', () => {
  const session = async (changed: Partial<AccountIdentity> | undefined) => {
    let found: AccountIdentity | undefined;
    const { callback, memory, clock } = await site({ find: () => found });
    const identity = {
      ...{ account: ACCOUNT, login: ACCOUNT.user, password: { text: 'hash' } },
    } as unknown as AccountIdentity;
    found = identity;
    const cookie = (await callback()).headers.getSetCookie()[1]?.split(';')[0];
    found = changed && { ...identity, ...changed };
    return { isOpen: () => memory.sessions.identityIn(cookie) !== undefined, clock };
  };

  test('ends after eight hours', async () => {
    const { isOpen, clock } = await session({});
    clock.ms += 8 * 60 * 60_000 - 1;
    expect(isOpen()).toBe(true);
    clock.ms += 1;
    expect(isOpen()).toBe(false);
  });

  test.each<[string, Partial<AccountIdentity> | undefined]>([
    ['with its account', undefined],
    ['when the login is another account’s', { login: 'other' }],
    ['with the password', { password: { text: 'another' } as PasswordHash }],
    [
      'when the account is another person’s',
      { account: { ...ACCOUNT, oidc: { issuer: ISSUER, subject: 'x' } } },
    ],
    [
      'when the account is another provider’s',
      { account: { ...ACCOUNT, oidc: { issuer: 'https://x', subject: 's' } } },
    ],
    ['when the account is no person’s', { account: { ...ACCOUNT, oidc: undefined } }],
  ])('ends %s', async (_, changed) => {
    expect((await session(changed)).isOpen()).toBe(false);
  });
});

describe('PersonAccounts', () => {
  const PERSON: Person = {
    ...{
      issuer: ISSUER,
      subject: 's',
      user: ACCOUNT.user,
      isShared: false,
      role: undefined,
      groups: ['hpc'],
    },
    isGrouped: true,
  };
  const people = (accounts: readonly object[], admin: object = {}) => {
    const changes: unknown[] = [];
    let reads = 0;
    const opened = new PersonAccounts({
      admin: {
        ownAccounts: async () => accounts,
        change: async (
          user: string,
          edit: object,
          { expect: check }: { expect: (account: object) => void },
        ) => {
          check(accounts[0] ?? {});
          changes.push({ user, ...edit });
          return accounts[0];
        },
        ...admin,
      } as never,
      groups: async () => ['hpc', 'ml'],
      onChanged: async () => {
        reads += 1;
      },
    });
    return { opened, changes, reads: () => reads };
  };
  const account = (more: object = {}) => ({
    ...ACCOUNT,
    ...{ groups: ['hpc'], oidc: { issuer: ISSUER, subject: 's', groupsOnly: true }, ...more },
  });

  test('writes nothing when the claims have not changed, whatever the order of the groups', async () => {
    const { opened, changes, reads } = people([account({ groups: ['ml', 'hpc'] })]);
    await opened.open({ ...PERSON, groups: ['hpc', 'unknown', 'ml'] });
    expect([changes, reads()]).toEqual([[], 0]);
  });

  test.each<[string, Partial<Person>, object]>([
    ['a group', { groups: ['ml'] }, { groups: ['ml'], role: undefined }],
    ['the role', { role: 'admin' }, { groups: ['hpc'], role: 'admin' }],
    ['the role of a publisher', { role: 'publisher' }, { groups: ['hpc'], role: 'publisher' }],
    // Only a group says where it may push.
    [
      'the role of a publisher of no group here',
      { role: 'publisher', groups: ['x'] },
      { groups: [], role: undefined },
    ],
    [
      'the kind of the rule',
      { isGrouped: false },
      { groups: ['hpc'], oidc: { issuer: ISSUER, subject: 's' } },
    ],
  ])('writes %s, and reads the files again', async (_, person, change) => {
    const { opened, changes, reads } = people([account()]);
    await opened.open({ ...PERSON, ...person });
    expect(changes).toMatchObject([{ user: ACCOUNT.user, kind: 'change-person', change }]);
    expect(reads()).toBe(1);
  });

  test.each<[string, readonly object[], Partial<Person>, string]>([
    [
      'the account of another person',
      [account({ oidc: { issuer: ISSUER, subject: 'x' } })],
      {},
      'account-of-another',
    ],
    ['an account of no person', [account({ oidc: undefined })], {}, 'account-of-another'],
    ['the account of a person, for a shared one', [account()], { isShared: true }, 'account-of-another'],
    ['a shared account that is not there', [], { isShared: true }, 'no-account'],
  ])('refuses %s', async (_, accounts, person, code) => {
    const { opened, changes } = people(accounts);
    await expect(opened.open({ ...PERSON, ...person })).rejects.toMatchObject({ code });
    expect(changes).toEqual([]);
  });

  test('leaves a shared account as it is', async () => {
    const shared = account({ oidc: undefined, groups: [] });
    const { opened, changes } = people([shared]);
    expect(await opened.open({ ...PERSON, isShared: true, role: 'admin' })).toBe(shared);
    expect(changes).toEqual([]);
  });

  test.each([
    ['exists', 'account-of-another'],
    ['invalid-value', 'account-of-another'],
    ['busy', 'busy'],
  ] as const)('refuses a new account whose addition fails with %s as %s', async (code, expected) => {
    const addAccount = async () => {
      throw new ConfigError(code, 'why');
    };
    const { opened } = people([], { addAccount });
    await expect(opened.open(PERSON)).rejects.toMatchObject({ code: expected });
  });

  test('opens the account that a login of the same person has just created', async () => {
    const made: object[] = [];
    const addAccount = async () => {
      made.push(account({ groups: [] }));
      throw new ConfigError('exists', 'there is one');
    };
    const { opened, changes } = people(made, { addAccount });
    await opened.open(PERSON);
    expect(changes).toMatchObject([
      { user: ACCOUNT.user, kind: 'change-person', change: { groups: ['hpc'] } },
    ]);
  });

  test('gives a new account a password of its own that nobody knows', async () => {
    const added: { password: string; groups?: readonly string[] }[] = [];
    const addAccount = async (one: { password: string }) => {
      added.push(one);
      return account();
    };
    const { opened, reads } = people([], { addAccount });
    await opened.open(PERSON);
    await opened.open({ ...PERSON, groups: [] });
    expect(added).toMatchObject([
      { user: ACCOUNT.user, groups: ['hpc'], oidc: { issuer: ISSUER, subject: 's', groupsOnly: true } },
      { user: ACCOUNT.user },
    ]);
    // Without groups, the file does not name any.
    expect(added[1]).not.toHaveProperty('groups');
    expect(added[0]?.password).toMatch(/^\$scrypt\$/);
    expect(added[0]?.password).not.toBe(added[1]?.password);
    expect(reads()).toBe(2);
  });

  test('needs a folder of machine files', async () => {
    const opened = new PersonAccounts({
      admin: undefined,
      groups: async () => [],
      onChanged: async () => {},
    });
    await expect(opened.open(PERSON)).rejects.toMatchObject({ code: 'not-writable' });
  });

  test('checks the owner again under the lock before it changes the role and groups', async () => {
    const theirs = account({ oidc: { issuer: ISSUER, subject: 'x' } });
    const { opened, reads } = people([account()], {
      change: async (_: string, __: object, { expect: check }: { expect: (account: object) => void }) => {
        check(theirs);
        return theirs;
      },
    });
    await expect(opened.open({ ...PERSON, groups: ['ml'] })).rejects.toMatchObject({
      code: 'account-of-another',
    });
    expect(reads()).toBe(0);
  });

  test('replaces a token of the same name, and checks the owner under the lock for both', async () => {
    const mine = account({ tokens: [{ name: 'ci' }] });
    const { opened, changes } = people([mine]);
    const wanted = { name: 'ci', expires: new Date(START_MS), push: true };
    const text = await opened.makeToken(mine as never, PERSON, wanted);
    expect(text).toMatch(/^metahub_[\w-]{43}$/);
    expect(changes).toMatchObject([
      { user: ACCOUNT.user, kind: 'remove-token', name: 'ci' },
      { kind: 'add-token', token: { ...wanted, sha256: expect.stringMatching(/^[\w-]{43}$/) } },
    ]);
    await opened.makeToken(mine as never, PERSON, { ...wanted, name: 'other' });
    expect(changes.slice(2)).toMatchObject([{ kind: 'add-token', token: { name: 'other' } }]);
    const theirs = people([account({ oidc: { issuer: ISSUER, subject: 'x' } })]);
    await expect(theirs.opened.makeToken(mine as never, PERSON, wanted)).rejects.toMatchObject({
      code: 'account-of-another',
    });
    expect(theirs.changes).toEqual([]);
  });
});

test.each([
  [null, '/'],
  ['/', '/'],
  ['/api/v1/accounts?limit=1', '/api/v1/accounts?limit=1'],
  ['relative/path', '/'],
  ['//evil.example', '/'],
  ['/\\evil.example', '/'],
  ['/..//evil.example', '/'],
  ['/./\\evil.example', '/'],
  ['https://evil.example/', '/'],
  ['javascript:alert(1)', '/'],
  ['/\t/evil.example', '/'],
  ['/a\r\nset-cookie: x=1', '/'],
  [`/${'a'.repeat(1023)}`, `/${'a'.repeat(1023)}`],
  [`/${'a'.repeat(1024)}`, '/'],
])('safeReturn(%j) is %j', (written, expected) => {
  expect(safeReturn(written)).toBe(expected);
});
