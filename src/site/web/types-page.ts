import { type Html, html } from '../../lib/html.ts';
import type { Account } from '../account.ts';
import { ANSWER_VERDICTS, type AnswerVerdict, type RecordedAnswer, type SeenHost } from '../pull-record.ts';
import { alertOf, cardOf, chipOf, featuresOf, linkTo, moreLink, pageOf, tableOf, timeOf } from './layout.ts';

/** Pulls of the machines of one login. */
interface LoginActivity {
  hosts: number;
  lastMs: number;
  images: number;
  readonly verdicts: Partial<Record<AnswerVerdict, number>>;
}

export interface TypesPageFacts {
  readonly user: string;
  readonly accounts: readonly Account[];
  readonly next: string | undefined;
  readonly hosts: readonly SeenHost[];
  readonly answers: readonly RecordedAnswer[];
  readonly mayEdit: (user: string) => boolean;
  readonly mayEnrol: boolean;
  readonly done: string | undefined;
}

function activityByLogin({ hosts, answers }: TypesPageFacts): ReadonlyMap<string, LoginActivity> {
  const found = new Map<string, LoginActivity>();
  const activityOf = (login: string) => {
    const known = found.get(login) ?? { hosts: 0, lastMs: 0, images: 0, verdicts: {} };
    found.set(login, known);
    return known;
  };
  for (const { login, lastMs } of hosts) {
    const activity = activityOf(login);
    activity.hosts += 1;
    activity.lastMs = Math.max(activity.lastMs, lastMs);
  }
  for (const { login, verdict } of answers) {
    const activity = activityOf(login);
    activity.images += 1;
    activity.verdicts[verdict] = (activity.verdicts[verdict] ?? 0) + 1;
  }
  return found;
}

function machinesCell(activity: LoginActivity | undefined): Html {
  if (activity === undefined || activity.hosts === 0) return html`<span class="dim">none yet</span>`;
  const { hosts, lastMs } = activity;
  return html`${hosts} ${hosts === 1 ? 'machine' : 'machines'}<br><span class="dim">${timeOf(new Date(lastMs).toISOString())}</span>`;
}

function imagesCell(login: string, activity: LoginActivity | undefined): Html {
  if (activity === undefined || activity.images === 0) return html``;
  const chips = ANSWER_VERDICTS.filter((verdict) => activity.verdicts[verdict] !== undefined).map(
    (verdict) => html`${activity.verdicts[verdict]} ${chipOf(verdict)} `,
  );
  return html`<a href="${linkTo('pulls', { login })}">${activity.images} ${activity.images === 1 ? 'image' : 'images'}</a><br>${chips}`;
}

function typeActions(user: string, name: string, mayEnrol: boolean): Html {
  const enrol = html`<a href="${linkTo('edit/addEnrolment', { user, name })}" aria-label="Enrol a machine as ${name}">Enrol a machine</a>`;
  return html`<span class="actions">${mayEnrol ? enrol : undefined}
<a href="${linkTo('edit/changeMachineType', { user, name })}" aria-label="Edit ${name}">Edit</a>
<a href="${linkTo('edit/removeMachineType', { user, name })}" aria-label="Remove ${name}">Remove</a></span>`;
}

/** Logins of machines that describe themselves: `site/cpu#zen4`. */
function selectorRows(
  { user }: Account,
  facts: TypesPageFacts,
  activity: ReadonlyMap<string, LoginActivity>,
) {
  const known = new Map<string, readonly string[]>();
  for (const { account, login, features } of facts.hosts) {
    if (account === user && login.startsWith(`${user}/`)) known.set(login, features);
  }
  return [...known].map(([login, features]) => [
    html`<span class="dim">describes itself</span><br><code>${login}</code>`,
    featuresOf(features),
    machinesCell(activity.get(login)),
    imagesCell(login, activity.get(login)),
    html``,
  ]);
}

function accountCard(
  account: Account,
  facts: TypesPageFacts,
  activity: ReadonlyMap<string, LoginActivity>,
): Html {
  const { user, types, password } = account;
  const mayEdit = facts.mayEdit(user);
  const rows = types.map((type) => [
    html`<strong>${type.name}</strong><br><code>${type.login}</code>${
      type.password.text === password?.text ? undefined : html` <span class="dim">own password</span>`
    }`,
    featuresOf(type.features),
    machinesCell(activity.get(type.login)),
    imagesCell(type.login, activity.get(type.login)),
    mayEdit ? typeActions(user, type.name, facts.mayEnrol) : html``,
  ]);
  const all = [...rows, ...selectorRows(account, facts, activity)];
  const add = html`<p><a class="button" href="${linkTo('edit/addMachineType', { user })}" aria-label="Add a machine type to ${user}">Add a machine type</a></p>`;
  return cardOf(
    html`${user} <span class="dim">${types.length} ${types.length === 1 ? 'machine type' : 'machine types'}</span>`,
    all.length === 0
      ? html`<p>This account has no machine types. Machines can describe themselves: <code>metahub login HOST --user ${user}</code>.</p>`
      : tableOf(['Machine type', 'Has', 'Machines', 'Pulled', ''], all),
    mayEdit ? add : undefined,
  );
}

/** The machine types of accounts, with their machines and pulls. */
export function typesPage(facts: TypesPageFacts): string {
  const { user, accounts, next, done } = facts;
  const activity = activityByLogin(facts);
  return pageOf(
    { title: 'Machine types', section: '', user },
    ...(done === undefined ? [] : [alertOf('ok', done)]),
    ...accounts.map((account) => accountCard(account, facts, activity)),
    html`${moreLink('', {}, next)}`,
  );
}
