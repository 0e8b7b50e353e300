import { describe, expect, test } from 'vitest';
import type { Account } from '../../src/site/account.ts';
import type { RecordedAnswer, SeenHost } from '../../src/site/pull-record.ts';
import {
  confirmPage,
  type FormPageFacts,
  formPage,
  loginPage,
  problemPage,
  tokenPage,
} from '../../src/site/web/form-pages.ts';
import { WEB_FORMS } from '../../src/site/web/forms.ts';
import { groupsPage } from '../../src/site/web/groups-page.ts';
import { alertOf, linkTo, PAGE_HEADERS } from '../../src/site/web/layout.ts';
import {
  type AccountBody,
  type AnswerBody,
  accountsPage,
  decisionsPage,
  gapsPage,
  hostsPage,
  pullsPage,
} from '../../src/site/web/pages.ts';
import { type TypesPageFacts, typesPage } from '../../src/site/web/types-page.ts';

/** What a person reads on the pages, and where their links and forms lead. */

/** The text of a page below its heading: a line for each row, with its cells between bars. */
function textOf(page: string): readonly string[] {
  const [, body = ''] = /<h1[^>]*>([\s\S]*)<\/main>/.exec(page) ?? [];
  return body
    .replaceAll(/<\/t[hd]>/g, ' | ')
    .replaceAll(/<(?:br|\/(?:p|tr|h\d|div|legend|label|option|button|textarea))\b[^>]*>/g, '\n')
    .replaceAll(/<[^>]*>/g, '')
    .split('\n')
    .map((line) => line.replaceAll(/\s+/g, ' ').trim())
    .filter((line) => line !== '');
}

/** The links below the heading: what a screen reader says, and where each leads. */
function linksOf(page: string): readonly (readonly [string, string])[] {
  const [, body = ''] = /<h1[^>]*>([\s\S]*)<\/main>/.exec(page) ?? [];
  return [...body.matchAll(/<a\b([^>]*)>([^<]*)</g)].map(([, attributes = '', words = '']) => [
    /aria-label="([^"]*)"/.exec(attributes)?.[1] ?? words,
    (/href="([^"]*)"/.exec(attributes)?.[1] ?? '').replaceAll('&amp;', '&'),
  ]);
}

const AT = '2026-01-02T03:04:05.678Z';
const ANSWER: AnswerBody = {
  ...{ account: 'lab', login: 'lab-zen4', features: ['cpu:zen4'], image: 'docker.io/lab/app:latest' },
  ...{ verdict: 'fitted', entry: 'cpu:zen4', digest: `sha256:${'0'.repeat(64)}`, reason: 'a reason' },
  ...{ notes: [], fit: 'exact', answers: 1, firstAt: AT, lastAt: AT },
};
const list = <Item>(items: readonly Item[], more: object = {}) => ({
  ...{ user: 'root', items, next: undefined, query: {} },
  ...more,
});

describe('the page of pulls', () => {
  const rowsOf = (one: Partial<AnswerBody>) => textOf(pullsPage(list([{ ...ANSWER, ...one }]))).slice(3);

  test('has a row for each answer: image, machine, entry, reason and time', () => {
    const page = pullsPage(list([ANSWER, { ...ANSWER, answers: 2, features: [], login: 'ci' }]));
    expect(textOf(page)).toEqual([
      'Who pulled what',
      'The last answer to each login and image',
      'Show',
      'Image | Machine | Gets | Why | Last |',
      'docker.io/lab/app:latest | lab-zen4',
      'cpu:zen4 | fitted cpu:zen4',
      'sha256:000000000000 | a reason | 2026-01-02 03:04 UTC',
      '1 answer |',
      'docker.io/lab/app:latest | ci',
      'no features | fitted cpu:zen4',
      'sha256:000000000000 | a reason | 2026-01-02 03:04 UTC',
      '2 answers |',
    ]);
    expect(page).toContain(`<code title="${ANSWER.digest}">`);
    expect(page).toContain(`<time datetime="${AT}">`);
  });

  test.each([
    [{ entry: '', verdict: 'generic' }, 'generic for any machine'],
    [{ entry: null, verdict: 'refused', digest: null }, 'refused'],
  ] as const)('says what a machine gets of %j', (one, shown) => {
    expect(rowsOf(one)[2]).toBe(`cpu:zen4 | ${shown}`);
  });

  test.each([
    [{ fit: 'exact' }, 'a reason'],
    [{ fit: 'refused' }, 'a reason'],
    [{ fit: null }, 'a reason'],
    [{ fit: 'older' }, 'a reasonits hardware could run a newer build'],
    [{ fit: 'generic' }, 'a reasonthe image has no build for its hardware'],
    // An image without variants has no gap.
    [{ fit: 'generic', verdict: 'unchanged' }, 'a reason'],
    [{ notes: ['one note', 'another'] }, 'a reasonone note another'],
  ] as const)('says why, and what would fit better, of %j', (one, shown) => {
    const text = rowsOf(one as Partial<AnswerBody>).join(' ');
    expect(/ \| (a reason.*?) \| 2026/.exec(text)?.[1]?.replaceAll(' | ', ' ').trim()).toBe(shown);
  });

  test('has the colour of each verdict', () => {
    const toneOf = (verdict: AnswerBody['verdict']) =>
      /class="chip (\w+)"/.exec(pullsPage(list([{ ...ANSWER, verdict }])))?.[1];
    expect((['fitted', 'unchanged', 'generic', 'refused', 'failed'] as const).map(toneOf)).toEqual([
      ...['ok', 'dim', 'warn', 'bad', 'bad'],
    ]);
  });

  test('keeps its filter in the fields and in the link to the next part', () => {
    const query = { image: 'a"b', account: 'lab', login: undefined };
    const page = pullsPage(list([ANSWER], { next: 'bmV4dA', query }));
    expect(page).toContain('name="image" value="a&quot;b"');
    expect(page).toContain('name="account" value="lab"');
    expect(page).toContain('name="login" value=""');
    expect(page).toContain('<form method="get" action="/site/pulls">');
    expect(page).not.toContain('<select');
    expect(linksOf(page)).toEqual([['More', '/site/pulls?image=a%22b&account=lab&cursor=bmV4dA']]);
  });

  test('is empty until a machine pulls', () => {
    expect(textOf(pullsPage(list([]))).slice(2)).toEqual(['Show', 'No machine has pulled an image yet.']);
  });
});

describe('the page of the latest answers', () => {
  test('has the same rows, and selects the verdict of its filter', () => {
    const page = decisionsPage(list([ANSWER], { query: { verdict: 'failed' }, next: 'bmV4dA' }));
    expect(textOf(page)).toEqual([
      'Latest answers',
      'Equal answers within a minute count as one',
      ...['all verdicts', 'fitted', 'generic', 'unchanged', 'refused', 'failed', 'Show'],
      'Image | Machine | Gets | Why | When |',
      'docker.io/lab/app:latest | lab-zen4',
      'cpu:zen4 | fitted cpu:zen4',
      'sha256:000000000000 | a reason | 2026-01-02 03:04 UTC',
      '1 answer |',
      'More',
    ]);
    expect(page.match(/<option selected>\w+/g)).toEqual(['<option selected>failed']);
    expect(page).toContain('<form method="get" action="/site/decisions">');
    expect(linksOf(page)).toEqual([['More', '/site/decisions?verdict=failed&cursor=bmV4dA']]);
  });

  test('says when no answer matches the filter', () => {
    expect(textOf(decisionsPage(list([]))).at(-1)).toBe('No answer matches the filter.');
  });
});

test('the page of machines has a row for each, or says that none has pulled', () => {
  const host = {
    account: 'lab',
    login: 'lab-zen4',
    features: ['cpu:zen4', 'nvcap:9.0'],
    address: '192.0.2.1',
  };
  const page = hostsPage(
    list([{ ...host, firstAt: AT, lastAt: AT }], { next: 'bmV4dA', query: { account: 'lab' } }),
  );
  expect(textOf(page)).toEqual([
    'Machines that have pulled',
    'By login and address',
    'Login | Address | Has | Last pull |',
    'lab-zen4',
    'lab | 192.0.2.1 | cpu:zen4nvcap:9.0 | 2026-01-02 03:04 UTC |',
    'More',
  ]);
  expect(linksOf(page)).toEqual([['More', '/site/hosts?account=lab&cursor=bmV4dA']]);
  expect(textOf(hostsPage(list([]))).at(-1)).toBe('No machine has pulled an image yet.');
});

test('the page of gaps says what would fit and what was served, or that there is none', () => {
  const gap = {
    ...{ image: 'docker.io/lab/app:latest', fit: 'generic', platform: 'linux/amd64', wanted: ['cpu:zen4'] },
    ...{ isMarked: true, served: '', pulls: 3, hosts: ['a', 'b'], firstAt: AT, lastAt: AT },
  } as const;
  const gaps = [
    gap,
    { ...gap, served: null, fit: 'refused' },
    { ...gap, served: 'cpu:haswell', fit: 'older' },
  ];
  const page = gapsPage(list(gaps as never, { next: 'bmV4dA', query: { image: 'app' } }));
  const row = (served: string, fit: string) => [
    'docker.io/lab/app:latest | cpu:zen4',
    `linux/amd64 | ${served}`,
    `${fit} | 3 by 2 kinds of machines | 2026-01-02 03:04 UTC |`,
  ];
  const how = 'A build matrix for them: metahub gaps --format github-matrix.';
  expect(textOf(page)).toEqual([
    ...['Gaps', 'Missing builds', 'Image | Would fit | Served | Pulls | Last |'],
    ...row('the entry for any machine', 'generic'),
    ...row('nothing', 'refused'),
    ...row('cpu:haswell', 'older'),
    ...['More', how],
  ]);
  expect(linksOf(page)).toEqual([['More', '/site/gaps?image=app&cursor=bmV4dA']]);
  expect(textOf(gapsPage(list([]))).slice(2)).toEqual([
    'Every pull got the closest possible build, or you may not push to any of the repositories.',
    how,
  ]);
});

describe('the page of accounts', () => {
  const account: AccountBody = {
    ...{
      user: 'lab',
      role: null,
      hasPassword: true,
      repositories: ['lab/*'],
      push: [],
      groups: ['hpc', 'ml'],
    },
    ...{ managesMachines: false, hasUpstreamLogins: false },
  };
  const token = {
    ...{
      account: 'lab',
      name: 'ci',
      state: 'valid',
      expires: null,
      repositories: null,
      push: false,
      type: null,
    },
  } as const;
  const facts = (more: object = {}) => ({
    ...{ user: 'root', accounts: [account], tokens: [], done: undefined, mayEdit: () => true },
    ...{ query: { cursor: undefined, tokens: undefined }, next: { cursor: undefined, tokens: undefined } },
    ...more,
  });

  test('has a row for each account and token', () => {
    const admin = {
      ...account,
      user: 'root',
      role: 'admin',
      managesMachines: true,
      groups: [],
      push: ['**'],
    };
    const tokens = [
      token,
      { ...token, name: 'old', state: 'expired', expires: AT, repositories: ['a/*', 'b/*'], push: true },
      { ...token, name: 'node17', state: 'enrolment', expires: AT },
    ];
    const page = accountsPage(facts({ accounts: [account, admin], tokens, done: 'Account lab is added.' }));
    expect(textOf(page)).toEqual([
      ...['Accounts', 'Account lab is added.', 'Accounts and their rights'],
      'Account | May pull | May push | Groups | |',
      'lab | lab/* | nowhere | hpc, ml | Edit',
      'New token',
      'Remove |',
      'root admin',
      'manages its machine types | lab/* | ** | | Edit',
      'New token',
      ...['|', 'Add an account', 'Access tokens', 'Token | State | May pull | Pushes | |'],
      'ci',
      'lab | valid does not expire | as the account | pulls only | Revoke |',
      'old',
      'lab | expired until 2026-01-02 03:04 UTC | a/* b/* | pulls and pushes | Revoke |',
      'node17',
      'lab | not enrolled yet until 2026-01-02 03:04 UTC | as the account | pulls only | Revoke |',
    ]);
    expect(linksOf(page)).toEqual([
      ['Edit lab', '/site/edit/changeAccount?user=lab'],
      ['New token lab', '/site/edit/addToken?user=lab'],
      ['Remove lab', '/site/edit/removeAccount?user=lab'],
      ['Edit root', '/site/edit/changeAccount?user=root'],
      ['New token root', '/site/edit/addToken?user=root'],
      ['Add an account', '/site/edit/addAccount'],
      ['Revoke ci', '/site/edit/revokeToken?user=lab&name=ci'],
      ['Revoke old', '/site/edit/revokeToken?user=lab&name=old'],
      ['Revoke node17', '/site/edit/revokeToken?user=lab&name=node17'],
    ]);
  });

  test('offers what the visitor may change alone', () => {
    const tokensOnly = facts({
      tokens: [token],
      mayEdit: (_: string, subject: string) => subject === 'tokens',
    });
    expect(linksOf(accountsPage(tokensOnly)).map(([words]) => words)).toEqual(['New token lab', 'Revoke ci']);
    const none = accountsPage(facts({ tokens: [token], mayEdit: () => false }));
    expect(linksOf(none)).toEqual([]);
    expect(textOf(none)).toEqual([
      ...['Accounts', 'Accounts and their rights', 'Account | May pull | May push | Groups | |'],
      ...['lab | lab/* | nowhere | hpc, ml |', '|', 'Access tokens', 'Token | State | May pull | Pushes | |'],
      ...['ci', 'lab | valid does not expire | as the account | pulls only | |'],
    ]);
    expect(textOf(accountsPage(facts())).at(-1)).toBe(
      'There are no tokens. A token is a password for a program, with an expiry and fewer rights.',
    );
  });

  test('leads to the next part of each list, and keeps the part of the other', () => {
    const next = { cursor: 'YWNj', tokens: 'dG9r' };
    const query = { cursor: 'Yg', tokens: 'Yw' };
    const links = linksOf(accountsPage(facts({ next, query, mayEdit: () => false })));
    expect(links).toEqual([
      ['More', '/site/accounts?cursor=YWNj&tokens=Yw'],
      ['More', '/site/accounts?cursor=Yg&tokens=dG9r'],
    ]);
  });
});

describe('the page of machine types', () => {
  const type = (name: string, password: string) => ({
    ...{ name, login: `lab-${name}`, features: ['cpu:zen4'], password: { text: password } },
  });
  const account = {
    ...{ user: 'lab', password: { text: 'hash' }, types: [type('gpu', 'hash'), type('own', 'another')] },
  } as unknown as Account;
  const host = (login: string, address: string, lastMs: number) =>
    ({ account: 'lab', login, address, features: ['cpu:zen5'], firstMs: 0, lastMs }) as SeenHost;
  const answer = (login: string, verdict: string) => ({ login, verdict, account: 'lab' }) as RecordedAnswer;
  const facts = (more: Partial<TypesPageFacts> = {}): TypesPageFacts => ({
    ...{ user: 'root', accounts: [account], next: undefined, hosts: [], answers: [] },
    ...{ mayEdit: () => true, mayEnrol: true, done: undefined, ...more },
  });
  const atMs = Date.parse(AT);

  test('has a row for each type, with its machines and their pulls', () => {
    const page = typesPage(
      facts({
        hosts: [
          host('lab-gpu', '192.0.2.1', atMs),
          host('lab-gpu', '192.0.2.2', atMs - 60_000),
          host('lab-own', '192.0.2.3', atMs),
        ],
        answers: [
          answer('lab-gpu', 'refused'),
          answer('lab-gpu', 'fitted'),
          answer('lab-gpu', 'fitted'),
        ].concat(answer('lab-own', 'generic')),
        done: 'Machine type gpu of lab is changed.',
      }),
    );
    expect(textOf(page)).toEqual([
      ...['Machine types', 'Machine type gpu of lab is changed.', 'lab 2 machine types'],
      'Machine type | Has | Machines | Pulled | |',
      ...['gpu', 'lab-gpu | cpu:zen4 | 2 machines', '2026-01-02 03:04 UTC | 3 images'],
      ...['2 fitted 1 refused | Enrol a machine', 'Edit', 'Remove |'],
      ...['own', 'lab-own own password | cpu:zen4 | 1 machine', '2026-01-02 03:04 UTC | 1 image'],
      ...['1 generic | Enrol a machine', 'Edit', 'Remove |'],
      'Add a machine type',
    ]);
    expect(linksOf(page)).toEqual([
      ['3 images', '/site/pulls?login=lab-gpu'],
      ['Enrol a machine as gpu', '/site/edit/addEnrolment?user=lab&name=gpu'],
      ['Edit gpu', '/site/edit/changeMachineType?user=lab&name=gpu'],
      ['Remove gpu', '/site/edit/removeMachineType?user=lab&name=gpu'],
      ['1 image', '/site/pulls?login=lab-own'],
      ['Enrol a machine as own', '/site/edit/addEnrolment?user=lab&name=own'],
      ['Edit own', '/site/edit/changeMachineType?user=lab&name=own'],
      ['Remove own', '/site/edit/removeMachineType?user=lab&name=own'],
      ['Add a machine type to lab', '/site/edit/addMachineType?user=lab'],
    ]);
  });

  test('has a row for each login of machines that describe themselves, of its account alone', () => {
    const hosts = [
      host('lab/cpu#zen5', '192.0.2.1', atMs),
      host('lab/cpu#zen5', '192.0.2.2', atMs),
      host('labor/cpu#zen5', '192.0.2.3', atMs),
      { ...host('lab/cpu#zen3', '192.0.2.4', atMs), account: 'other' },
    ];
    const lone = { ...account, types: [] };
    expect(textOf(typesPage(facts({ accounts: [lone], hosts }))).slice(1)).toEqual([
      'lab 0 machine types',
      'Machine type | Has | Machines | Pulled | |',
      ...['describes itself', 'lab/cpu#zen5 | cpu:zen5 | 2 machines', '2026-01-02 03:04 UTC | | |'],
      'Add a machine type',
    ]);
  });

  test('says how machines can log in to an account without types', () => {
    expect(textOf(typesPage(facts({ accounts: [{ ...account, types: [] }] }))).slice(1)).toEqual([
      'lab 0 machine types',
      'This account has no machine types. Machines can describe themselves: metahub login HOST --user lab.',
      'Add a machine type',
    ]);
  });

  test('offers what the visitor may change alone', () => {
    const one = { ...account, types: account.types.slice(0, 1) };
    const of = (more: Partial<TypesPageFacts>) => typesPage(facts({ accounts: [one], ...more }));
    expect(linksOf(of({ mayEdit: () => false }))).toEqual([]);
    expect(textOf(of({ mayEdit: () => false })).slice(1)).toEqual([
      ...['lab 1 machine type', 'Machine type | Has | Machines | Pulled | |'],
      ...['gpu', 'lab-gpu | cpu:zen4 | none yet | | |'],
    ]);
    expect(linksOf(of({ mayEnrol: false })).map(([words]) => words)).toEqual([
      ...['Edit gpu', 'Remove gpu', 'Add a machine type to lab'],
    ]);
    expect(linksOf(of({ mayEdit: () => false, next: 'bmV4dA' }))).toEqual([['More', '/site/?cursor=bmV4dA']]);
  });
});

describe('the page of groups', () => {
  const facts = (more: object = {}) => ({
    ...{ user: 'root', groups: [{ name: 'lab', repositories: ['lab/*'], push: [] }], next: undefined },
    ...{ accounts: [{ user: 'anna', groups: ['lab', 'web'] }], mayEdit: true, done: undefined, ...more },
  });

  test('has a row for each group, with its members and what may be done', () => {
    const web = { name: 'web', repositories: [], push: ['web/*'] };
    const none = { name: 'none', repositories: [], push: [] };
    const accounts = [
      { user: 'anna', groups: ['lab', 'web'] },
      { user: 'bert', groups: ['lab'] },
    ];
    const groups = [...facts().groups, web, none];
    const page = groupsPage(facts({ groups, accounts, done: 'Group web is added.', next: 'bmV4dA' }));
    expect(textOf(page)).toEqual([
      ...['Groups', 'Group web is added.', 'What a group adds to the rights of its members'],
      'Group | May pull | May push | Members | |',
      'lab | lab/* | nowhere | anna Removebert Remove | Edit',
      ...['Add a member', '|'],
      'web | nowhere | web/* | anna Remove | Edit',
      ...['Add a member', '|'],
      'none | nowhere | nowhere | none | Edit',
      ...['Add a member', 'Remove |', 'More', 'Add a group', 'A group with members cannot be removed.'],
    ]);
    expect(linksOf(page)).toEqual([
      ['Remove anna from lab', '/site/edit/removeMember?user=anna&name=lab'],
      ['Remove bert from lab', '/site/edit/removeMember?user=bert&name=lab'],
      ['Edit lab', '/site/edit/changeGroup?name=lab'],
      ['Add a member to lab', '/site/edit/addMember?name=lab'],
      ['Remove anna from web', '/site/edit/removeMember?user=anna&name=web'],
      ['Edit web', '/site/edit/changeGroup?name=web'],
      ['Add a member to web', '/site/edit/addMember?name=web'],
      ['Edit none', '/site/edit/changeGroup?name=none'],
      ['Add a member to none', '/site/edit/addMember?name=none'],
      ['Remove none', '/site/edit/removeGroup?name=none'],
      ['More', '/site/groups?cursor=bmV4dA'],
      ['Add a group', '/site/edit/addGroup'],
    ]);
  });

  test('says that there are none', () => {
    expect(textOf(groupsPage(facts({ groups: [] })))[2]).toBe(
      'There are no groups. A group gives several accounts the same rights.',
    );
    const own = groupsPage(facts({ groups: [], mayEdit: false }));
    expect(textOf(own).slice(2)).toEqual(['This account is in no group.']);
    expect(linksOf(own)).toEqual([]);
    const read = groupsPage(facts({ mayEdit: false }));
    expect(linksOf(read)).toEqual([]);
    expect(textOf(read).slice(3)).toEqual(['lab | lab/* | nowhere | anna | |']);
  });

  test.each([
    [100, 100, undefined],
    [101, 100, 'and 1 more, on the page Accounts'],
  ])('lists of %i members %i', (count, listed, more) => {
    const accounts = Array.from({ length: count }, (_, at) => ({ user: `m${at}`, groups: ['lab'] }));
    const page = groupsPage(facts({ accounts, mayEdit: false }));
    expect(page.match(/class="member"/g)).toHaveLength(listed);
    expect(/and \d+ more, on the page Accounts/.exec(textOf(page).join(' '))?.[0]).toBe(more);
  });
});

describe('a form', () => {
  const formNamed = (id: string) => {
    const found = WEB_FORMS.find((form) => form.id === id);
    if (found === undefined) throw new Error(`no form ${id}`);
    return found;
  };
  const params = { user: 'lab', name: 'gpu' };
  const facts = (id: string, more: Partial<FormPageFacts> = {}): FormPageFacts => ({
    ...{ form: formNamed(id), params, user: 'root', values: () => '', entityTag: undefined, errors: [] },
    ...more,
  });

  test('has each field with its label, help and value, and leads back', () => {
    const values: Readonly<Record<string, string>> = {
      ...{
        repositories: 'a/*\n<b>/*',
        groups: 'hpc',
        role: 'publisher',
        managesMachines: 'on',
        password: 'x',
      },
    };
    const page = formPage(
      facts('changeAccount', { values: (name) => values[name] ?? '', entityTag: '"tag"' }),
    );
    expect(page).toContain(
      '<form class="fields" method="post" action="/site/edit/changeAccount?user=lab&amp;name=gpu">',
    );
    expect(page).toContain('<input type="hidden" name="etag" value="&quot;tag&quot;">');
    expect(page).toContain(
      '<textarea id="repositories" name="repositories" spellcheck="false" aria-describedby="repositories-help">a/*\n&lt;b&gt;/*</textarea>',
    );
    expect(page).toContain(
      '<input type="text" id="groups" name="groups" value="hpc" autocomplete="off" spellcheck="false" aria-describedby="groups-help">',
    );
    expect(page.match(/value="\w*" checked/g)).toEqual(['value="publisher" checked', 'value="keep" checked']);
    expect(page).toContain('<input type="checkbox" id="managesMachines" name="managesMachines" checked>');
    // No page sends a password back.
    expect(page).toContain(
      '<input type="password" id="password" name="password" autocomplete="new-password">',
    );
    expect(textOf(page)).toEqual([
      ...['Account lab', 'May pull', 'a/*', '&lt;b&gt;/*'],
      'One pattern a line: qnib/*, ghcr.io/lab/**. ** is everything; empty: only what its groups may pull.',
      ...['May push', 'One pattern a line; empty: nowhere.'],
      ...['Groups', 'Names of groups, separated by commas.'],
      ...['Role', 'none: only its patterns limit it', 'admin: it manages all accounts of the site'],
      'publisher: it pushes where its patterns and groups allow',
      'puller: it may not push, whatever its groups allow',
      ...['It may change its own machine types', 'Password', 'as it is', 'another one', 'New password'],
      ...['Continue', 'Cancel'],
    ]);
    expect(linksOf(page)).toEqual([['Cancel', '/site/accounts']]);
    expect(page).not.toMatch(/required|aria-invalid/);
  });

  test('checks the first choice, and no box, of a new resource, and requires its name', () => {
    const page = formPage(facts('addAccount'));
    expect(page.match(/value="\w*" checked/g)).toEqual(['value="" checked']);
    expect(page).not.toContain('name="managesMachines" checked');
    expect(page).toContain('<input type="hidden" name="etag" value="">');
    expect(page).toContain('id="user" name="user" value="" autocomplete="off" spellcheck="false" required>');
    expect(formPage(facts('addToken'))).toContain('<input type="date" id="expires" name="expires" value=""');
  });

  test('shows an error at its field, one of a part of a field too, and any other above', () => {
    const errorAt = (pointer: string) =>
      ({ pointer, code: 'invalid-value', detail: `wrong ${pointer}` }) as const;
    const errors = ['/features/1', '/login', '/featuresOf', ''].map(errorAt);
    const page = formPage(facts('changeMachineType', { errors, alert: 'Some fields are invalid.' }));
    expect(textOf(page).slice(0, 8)).toEqual([
      'Machine type gpu of lab',
      ...['Some fields are invalid.', 'wrong /featuresOf', 'wrong', 'What the machine has'],
      'wrong /features/1',
      'One feature a line: cpu:zen4, nvcap:9.0, x86-64-v3. metahub detect prints those of a machine.',
      'User name',
    ]);
    expect(page.match(/aria-invalid="true"/g)).toHaveLength(2);
    expect(page).toMatch(/id="login"[^>]* aria-describedby="login-help" aria-invalid="true">/);
  });

  test('is confirmed with a list of what changes', () => {
    const lines = [
      { what: 'May pull', before: 'a/*', after: '<b>' },
      { what: 'Role', before: undefined, after: 'admin' },
    ];
    const page = confirmPage({ ...facts('changeAccount'), lines, sealed: 'c2VhbGVk' });
    expect(textOf(page)).toEqual([
      ...['Account lab', 'Is this right?', 'May pull | a/* | &lt;b&gt; |', 'Role | admin |', 'Save'],
      'Start again Cancel',
    ]);
    expect(page).toMatch(/<td data-label="from">.*<td data-label="to">&lt;b&gt;<\/td>/);
    expect(page).toContain('<td data-label="">admin</td>');
    expect(page).toContain(
      '<form method="post" action="/site/confirm"><input type="hidden" name="change" value="c2VhbGVk">',
    );
    expect(page).toContain('<button class="main">Save</button>');
    expect(linksOf(page)).toEqual([
      ['Start again', '/site/edit/changeAccount?user=lab&name=gpu'],
      ['Cancel', '/site/accounts'],
    ]);
    const nothing = confirmPage({ ...facts('changeAccount'), lines: [], sealed: '' });
    expect(textOf(nothing)[2]).toBe('This changes nothing.');
  });

  test.each([
    [
      'removeMachineType',
      'Remove the machine type gpu of lab',
      'Within a second, MetaHub refuses all pulls of machines that use this login.',
      '/site/',
    ],
    [
      'removeAccount',
      'Remove the account lab',
      'This removes all of its machine types and tokens. Within a second, MetaHub refuses all pulls of its machines.',
      '/site/accounts',
    ],
    [
      'revokeToken',
      'Revoke the token gpu of lab',
      'Within a second, MetaHub refuses programs that log in with it.',
      '/site/accounts',
    ],
    [
      'removeGroup',
      'Remove the group gpu',
      'People whose groups come from an OpenID provider no longer get its rights at their next login.',
      '/site/groups',
    ],
    [
      'removeMember',
      'Remove lab from gpu',
      'Within a second, lab loses the rights of the group. A person whose groups come from an OpenID provider gets them again at the next login.',
      '/site/groups',
    ],
  ])('%s says what cannot be undone', (id, title, warning, back) => {
    const page = confirmPage({ ...facts(id), lines: [], sealed: '' });
    expect(textOf(page)).toEqual([title, 'Remove it?', warning, 'Remove', 'Cancel']);
    expect(page).toContain('<button class="danger">Remove</button>');
    expect(linksOf(page)).toEqual([['Cancel', back]]);
  });

  test.each([
    [
      'addToken',
      'New token for lab',
      'Give it to the program as the password of its account.',
      '/site/accounts',
    ],
    [
      'addEnrolment',
      'Enrol a machine as gpu of lab',
      'It enrols one machine, within an hour. On that machine: metahub login HOST --enrol TOKEN',
      '/site/',
    ],
  ])('%s shows its token and what it is for', (id, title, help, back) => {
    const page = tokenPage('root', formNamed(id), params, 'metahub_token');
    expect(textOf(page)).toEqual([title, 'It is not shown again', help, 'metahub_token', 'I have copied it']);
    expect(linksOf(page)).toEqual([['I have copied it', back]]);
  });

  test.each([
    ['addMachineType', 'Machine type gpu of lab is added.'],
    ['changeMachineType', 'Machine type gpu of lab is changed.'],
    ['removeMachineType', 'Machine type gpu of lab is removed.'],
    ['addEnrolment', 'gpu of lab can enrol.'],
    ['addAccount', 'Account lab is added.'],
    ['changeAccount', 'Account lab is changed.'],
    ['removeAccount', 'Account lab is removed.'],
    ['addToken', 'Token gpu of lab is created.'],
    ['revokeToken', 'Token gpu of lab is revoked.'],
    ['addGroup', 'Group gpu is added.'],
    ['changeGroup', 'Group gpu is changed.'],
    ['removeGroup', 'Group gpu is removed.'],
    ['addMember', 'lab is in gpu.'],
    ['removeMember', 'lab is no longer in gpu.'],
  ])('%s says what it has done', (id, done) => {
    expect(formNamed(id).done(params)).toBe(done);
  });
});

describe('a page', () => {
  test('of a problem says what to do, and leads back', () => {
    const page = problemPage(undefined, 'There is none', 'no page', 'Look elsewhere.');
    expect(textOf(page)).toEqual(['There is none', 'no page', 'Look elsewhere.', 'Back to the site']);
    expect(linksOf(page)).toEqual([['Back to the site', '/site/']]);
    expect(textOf(problemPage(undefined, 'There is none', 'no page', undefined))).toHaveLength(3);
    // Nobody is logged in.
    expect(page).not.toMatch(/<nav|Log out/);
  });

  test('of the login keeps the name and the way back, and leads to the provider', () => {
    const login = {
      login: 'a"b',
      returnTo: '/site/pulls?image=a&b',
      alert: undefined,
      providerPath: undefined,
    };
    const page = loginPage(login);
    expect(textOf(page)).toEqual(['Log in', 'Account', 'Password', 'Log in']);
    expect(page).toContain('<input type="hidden" name="return" value="/site/pulls?image=a&amp;b">');
    expect(page).toMatch(/id="login" name="login" value="a&quot;b"/);
    expect(page).toContain('<form class="fields" method="post" action="/site/login">');
    expect(page).not.toContain('role="alert"');
    const again = loginPage({ ...login, alert: 'Refused.', providerPath: '/login' });
    expect(again).toContain('<p class="bad" role="alert">Refused.</p>');
    expect(linksOf(again)).toEqual([
      ['Log in with the provider', '/login?return=%2Fsite%2Fpulls%3Fimage%3Da%26b'],
    ]);
  });

  test('marks its entry in the navigation, and has the log-out', () => {
    const page = hostsPage(list([]));
    expect(
      [...page.matchAll(/<a href="(\/site\/\w*)"( aria-current="page")?>/g)].map(([, path, mark]) => [
        path,
        mark !== undefined,
      ]),
    ).toEqual([
      ['/site/', false],
      ['/site/pulls', false],
      ['/site/decisions', false],
      ['/site/hosts', true],
      ['/site/gaps', false],
      ['/site/accounts', false],
      ['/site/groups', false],
    ]);
    expect(page).toContain('<form method="post" action="/site/logout"><span class="dim">root</span>');
    expect(page).toContain('<title>Machines that have pulled · MetaHub</title>');
  });

  test('loads and runs nothing, and is framed and stored by nobody', () => {
    const headers = Object.fromEntries(
      PAGE_HEADERS.flatMap((name, at) => (at % 2 === 0 ? [[name.toLowerCase(), PAGE_HEADERS[at + 1]]] : [])),
    );
    expect(headers).toMatchObject({
      'cache-control': 'private, no-store',
      vary: 'Cookie, Authorization',
      'referrer-policy': 'same-origin',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
    });
    expect(headers['content-security-policy']).toMatch(
      /^default-src 'none'; style-src 'sha256-[\w+/]+='; form-action 'self'; base-uri 'none'; frame-ancestors 'none'$/,
    );
  });

  test('has links without the parts of a query that are not there', () => {
    expect(linkTo('pulls', { login: '', image: undefined })).toBe('/site/pulls');
    expect(linkTo('', { a: '1', b: 'x y' })).toBe('/site/?a=1&b=x+y');
    expect(alertOf('warn', '<a>').markup).toBe(
      '<p class="card whole alert warn" role="status">&lt;a&gt;</p>',
    );
  });
});
