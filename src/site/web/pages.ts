import type * as v from 'valibot';
import { type Html, html } from '../../lib/html.ts';
import type { GAP } from '../../selection/gap-schema.ts';
import type { ANSWER, HOST } from '../api/activity-resources.ts';
import type { ChangeSubject } from '../api/managed-accounts.ts';
import type { ACCESS_TOKEN, ACCOUNT, GROUP, MACHINE_TYPE } from '../api/resources.ts';
import { ANSWER_VERDICTS } from '../pull-record.ts';
import {
  alertOf,
  cardOf,
  chipOf,
  featuresOf,
  linkTo,
  moreLink,
  pageOf,
  patternsOf,
  tableOf,
  timeOf,
} from './layout.ts';

export type AnswerBody = v.InferOutput<typeof ANSWER>;
export type HostBody = v.InferOutput<typeof HOST>;
export type AccountBody = v.InferOutput<typeof ACCOUNT>;
export type GroupBody = v.InferOutput<typeof GROUP>;
export type TypeBody = v.InferOutput<typeof MACHINE_TYPE>;
type TokenBody = v.InferOutput<typeof ACCESS_TOKEN>;
type GapBody = v.InferOutput<typeof GAP>;

/** A part of a list, for a page. */
export interface ListPage<Item> {
  readonly user: string;
  readonly items: readonly Item[];
  readonly next: string | undefined;
  readonly query: Readonly<Record<string, string | undefined>>;
}

function answerCell({ verdict, entry, digest }: AnswerBody): Html {
  const what = entry === null ? '' : entry === '' ? 'for any machine' : entry;
  return html`${chipOf(verdict)} ${what}<br><code title="${digest ?? ''}">${(digest ?? '').slice(0, 19)}</code>`;
}

const FITS = {
  exact: '',
  older: 'its hardware could run a newer build',
  generic: 'the image has no build for its hardware',
  refused: '',
};

function whyCell({ reason, notes, fit, verdict }: AnswerBody): Html {
  // An image without variants has no gap.
  const closer = fit === null || verdict === 'unchanged' ? '' : FITS[fit];
  return html`${reason}${closer === '' ? undefined : html`<p class="warn">${closer}</p>`}${notes.map(
    (note) => html`<p class="warn">${note}</p>`,
  )}`;
}

function filterForm(path: string, query: ListPage<unknown>['query'], withVerdict: boolean): Html {
  const options = ANSWER_VERDICTS.map((verdict) =>
    verdict === query['verdict']
      ? html`<option selected>${verdict}</option>`
      : html`<option>${verdict}</option>`,
  );
  const choice = html`<select name="verdict" aria-label="verdict"><option value="">all verdicts</option>${options}</select>`;
  return html`<form method="get" action="${linkTo(path)}">
<input name="image" value="${query['image'] ?? ''}" placeholder="image" aria-label="image">
<input name="account" value="${query['account'] ?? ''}" placeholder="account" aria-label="account">
<input name="login" value="${query['login'] ?? ''}" placeholder="login" aria-label="login">
${withVerdict ? choice : undefined}<button>Show</button></form>`;
}

function answersTable(items: readonly AnswerBody[], last: string): Html {
  return tableOf(
    ['Image', 'Machine', 'Gets', 'Why', last],
    items.map((one) => [
      html`<code>${one.image}</code>`,
      html`${one.login}<br>${featuresOf(one.features)}`,
      answerCell(one),
      whyCell(one),
      html`${timeOf(one.lastAt)}<br><span class="dim">${one.answers} ${one.answers === 1 ? 'answer' : 'answers'}</span>`,
    ]),
  );
}

const TOKEN_STATES = {
  valid: html`<span class="ok">valid</span>`,
  expired: html`<span class="bad">expired</span>`,
  enrolment: html`<span class="dim">not enrolled yet</span>`,
} as const;
const NOTHING_YET = 'No machine has pulled an image yet.';

/** The last answer of each login and image. */
export function pullsPage({ user, items, next, query }: ListPage<AnswerBody>): string {
  const table = items.length === 0 ? html`<p>${NOTHING_YET}</p>` : answersTable(items, 'Last');
  const form = filterForm('pulls', query, false);
  return pageOf(
    { title: 'Who pulled what', section: 'pulls', user },
    cardOf('The last answer to each login and image', form, table, moreLink('pulls', query, next)),
  );
}

/** The latest answers to tags. */
export function decisionsPage({ user, items, next, query }: ListPage<AnswerBody>): string {
  const table = items.length === 0 ? html`<p>No answer matches the filter.</p>` : answersTable(items, 'When');
  const form = filterForm('decisions', query, true);
  return pageOf(
    { title: 'Latest answers', section: 'decisions', user },
    cardOf('Equal answers within a minute count as one', form, table, moreLink('decisions', query, next)),
  );
}

/** Machines that have pulled. */
export function hostsPage({ user, items, next, query }: ListPage<HostBody>): string {
  const rows = items.map(({ login, account, features, address, lastAt }) => [
    html`${login}<br><span class="dim">${account}</span>`,
    html`<code>${address}</code>`,
    featuresOf(features),
    timeOf(lastAt),
  ]);
  const table =
    rows.length === 0 ? html`<p>${NOTHING_YET}</p>` : tableOf(['Login', 'Address', 'Has', 'Last pull'], rows);
  return pageOf(
    { title: 'Machines that have pulled', section: 'hosts', user },
    cardOf('By login and address', table, moreLink('hosts', query, next)),
  );
}

/** Builds that were missing for pulls. */
export function gapsPage({ user, items, next, query }: ListPage<GapBody>): string {
  const rows = items.map(({ image, wanted, platform, served, fit, pulls, hosts, lastAt }) => [
    html`<code>${image}</code>`,
    html`${featuresOf(wanted)}<br><span class="dim">${platform}</span>`,
    html`${served === null ? 'nothing' : served || 'the entry for any machine'}<br><span class="dim">${fit}</span>`,
    html`${pulls} by ${hosts.length} kinds of machines`,
    timeOf(lastAt),
  ]);
  const none = html`<p>Every pull got the closest possible build, or you may not push to any of the repositories.</p>`;
  const table = rows.length === 0 ? none : tableOf(['Image', 'Would fit', 'Served', 'Pulls', 'Last'], rows);
  const how = html`<p class="dim">A build matrix for them: <code>metahub gaps --format github-matrix</code>.</p>`;
  return pageOf(
    { title: 'Gaps', section: 'gaps', user },
    cardOf('Missing builds', table, moreLink('gaps', query, next), how),
  );
}

type AccountsQuery = Readonly<Record<'cursor' | 'tokens', string | undefined>>;

export interface AccountsPageFacts {
  readonly user: string;
  readonly accounts: readonly AccountBody[];
  readonly tokens: readonly TokenBody[];
  /** Where the shown parts of the two lists begin, and where their next parts do. */
  readonly query: AccountsQuery;
  readonly next: AccountsQuery;
  readonly mayEdit: (user: string, subject: ChangeSubject) => boolean;
  readonly done: string | undefined;
}

function accountActions({ user }: AccountBody, { user: self, mayEdit }: AccountsPageFacts): Html {
  const link = (words: string, operation: string) =>
    html`<a href="${linkTo(`edit/${operation}`, { user })}" aria-label="${words} ${user}">${words}</a>`;
  const isAdmin = mayEdit(user, 'account');
  return html`<span class="actions">${isAdmin ? link('Edit', 'changeAccount') : undefined}
${mayEdit(user, 'tokens') ? link('New token', 'addToken') : undefined}
${isAdmin && user !== self ? link('Remove', 'removeAccount') : undefined}</span>`;
}

/** Accounts with their rights and tokens. */
export function accountsPage(facts: AccountsPageFacts): string {
  const { user, accounts, tokens, query, next, mayEdit, done } = facts;
  const rows = accounts.map((account) => [
    html`<strong>${account.user}</strong>${account.role === null ? undefined : html` <span class="chip">${account.role}</span>`}${
      account.managesMachines ? html`<br><span class="dim">manages its machine types</span>` : undefined
    }`,
    patternsOf(account.repositories),
    patternsOf(account.push),
    account.groups.join(', '),
    accountActions(account, facts),
  ]);
  const tokenRows = tokens.map(({ account, name, state, expires, repositories, push }) => [
    html`<strong>${name}</strong><br><span class="dim">${account}</span>`,
    html`${TOKEN_STATES[state]} ${expires === null ? 'does not expire' : html`until ${timeOf(expires)}`}`,
    repositories?.join(' ') ?? 'as the account',
    push ? 'pulls and pushes' : 'pulls only',
    mayEdit(account, 'tokens')
      ? html`<a href="${linkTo('edit/revokeToken', { user: account, name })}" aria-label="Revoke ${name}">Revoke</a>`
      : html``,
  ]);
  const add = mayEdit('', 'account')
    ? html`<p><a class="button" href="${linkTo('edit/addAccount')}">Add an account</a></p>`
    : undefined;
  return pageOf(
    { title: 'Accounts', section: 'accounts', user },
    ...(done === undefined ? [] : [alertOf('ok', done)]),
    cardOf(
      'Accounts and their rights',
      tableOf(['Account', 'May pull', 'May push', 'Groups', ''], rows),
      moreLink('accounts', query, next.cursor),
      add,
    ),
    cardOf(
      'Access tokens',
      tokenRows.length === 0
        ? html`<p>There are no tokens. A token is a password for a program, with an expiry and fewer rights.</p>`
        : tableOf(['Token', 'State', 'May pull', 'Pushes', ''], tokenRows),
      moreLink('accounts', query, next.tokens, 'tokens'),
    ),
  );
}
