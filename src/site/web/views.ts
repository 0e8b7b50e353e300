import { ApiProblem } from '../api/api-problem.ts';
import type { ApiResource, ApiService } from '../api/operation.ts';
import { cursorOf } from '../api/routes.ts';
import type { PendingChanges } from './changes.ts';
import { doneMessage, EditViews } from './edit-views.ts';
import { groupsPage } from './groups-page.ts';
import { OperationRunner } from './operations.ts';
import * as pages from './pages.ts';
import { typesPage } from './types-page.ts';
import type { Visit, WebReply } from './visit.ts';
import type { WebAudit } from './web-audit.ts';

/** The names of the pages below {@link WEB_PATH}, apart from those of forms and logins. */
export const PAGES = ['', 'accounts', 'groups', 'pulls', 'decisions', 'hosts', 'gaps'] as const;
type PageName = (typeof PAGES)[number];

export interface SiteViewsOptions {
  readonly service: ApiService;
  readonly changes: PendingChanges;
  readonly audit: WebAudit;
}

/** Returns the parameters of a page's query that the operation takes. */
function queryOf({ query }: Visit, names: readonly string[]): Readonly<Record<string, string | undefined>> {
  return Object.fromEntries(names.map((name) => [name, query.get(name)?.trim() || undefined]));
}

function itemsIn<Item>(resource: ApiResource | undefined, key: string): readonly Item[] {
  const body = (resource?.body ?? {}) as Readonly<Record<string, readonly Item[]>>;
  return body[key] ?? [];
}

/** Runs the operation of a list for the requested part. */
async function listPart<Item>(
  runner: OperationRunner,
  visit: Visit,
  id: string,
  key: string,
  names: readonly string[],
): Promise<pages.ListPage<Item>> {
  const query = queryOf(visit, names);
  const entries = Object.entries({ ...query, cursor: visit.query.get('cursor') ?? undefined });
  const written = new URLSearchParams(
    entries.filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
  const { resource, next } = await runner.run(visit, id, { query: written });
  const items = itemsIn<Item>(resource, key);
  const { user } = visit.caller.identity.account;
  return { user, items, query, next: next === undefined ? undefined : cursorOf(next) };
}

/** Answers all pages of the site, except login and logout. */
export function createSiteViews({ service, changes, audit }: SiteViewsOptions) {
  const runner = new OperationRunner(service, audit);
  const edits = new EditViews(service, runner, changes);
  const list = <Item>(visit: Visit, id: string, key: string, names: readonly string[] = []) =>
    listPart<Item>(runner, visit, id, key, names);

  async function types(visit: Visit): Promise<string> {
    const { caller, query } = visit;
    const { items, next, user } = await list<pages.AccountBody>(visit, 'listAccounts', 'accounts');
    const shown = new Set(items.map((account) => account.user));
    const isShown = ({ account }: { readonly account: string }) => shown.has(account);
    return typesPage({
      ...{ user, next, done: doneMessage(query) },
      accounts: (await service.accounts.list(caller)).filter((account) => shown.has(account.user)),
      hosts: service.record.hosts().filter(isShown),
      answers: service.record.images().filter(isShown),
      mayEdit: (name) => service.accounts.mayEdit(caller, name, 'types'),
      mayEnrol: service.accounts.mayEdit(caller, '', 'account'),
    });
  }

  async function accounts(visit: Visit): Promise<string> {
    const { caller } = visit;
    const { items, next, user } = await list<pages.AccountBody>(visit, 'listAccounts', 'accounts');
    const { cursor, tokens } = queryOf(visit, ['cursor', 'tokens']);
    const query = new URLSearchParams(tokens === undefined ? {} : { cursor: tokens });
    const found = await runner.run(visit, 'listTokens', { query });
    return pages.accountsPage({
      ...{ user, accounts: items, tokens: itemsIn(found.resource, 'tokens') },
      query: { cursor, tokens },
      next: { cursor: next, tokens: found.next && cursorOf(found.next) },
      mayEdit: (name, subject) => service.accounts.mayEdit(caller, name, subject),
      done: doneMessage(visit.query),
    });
  }

  async function groups(visit: Visit): Promise<string> {
    const { caller } = visit;
    const { items, next, user } = await list<pages.GroupBody>(visit, 'listGroups', 'groups');
    return groupsPage({
      ...{ user, groups: items, next, done: doneMessage(visit.query) },
      accounts: await service.accounts.list(caller),
      mayEdit: service.accounts.mayEdit(caller, '', 'groups'),
    });
  }

  const shown: Readonly<Record<PageName, (visit: Visit) => Promise<string>>> = {
    '': types,
    accounts,
    groups,
    pulls: async (visit) =>
      pages.pullsPage(await list(visit, 'listImages', 'images', ['image', 'account', 'login'])),
    decisions: async (visit) =>
      pages.decisionsPage(
        await list(visit, 'listDecisions', 'decisions', ['image', 'account', 'login', 'verdict']),
      ),
    hosts: async (visit) => pages.hostsPage(await list(visit, 'listHosts', 'hosts', ['account'])),
    gaps: async (visit) => pages.gapsPage(await list(visit, 'listGaps', 'gaps', ['image'])),
  };

  return async (name: string, visit: Visit, form: URLSearchParams | undefined): Promise<WebReply> => {
    const [first, operation = ''] = name.split('/');
    if (first === 'edit') return form ? edits.review(visit, operation, form) : edits.show(visit, operation);
    if (name === 'confirm' && form) return edits.confirm(visit, form);
    const page = PAGES.find((one) => one === name);
    if (page !== undefined && form === undefined) return { page: await shown[page](visit) };
    throw new ApiProblem('no-resource', 'there is no such page');
  };
}
