import { type Html, html } from '../../lib/html.ts';
import type { Account } from '../account.ts';
import { alertOf, cardOf, linkTo, moreLink, pageOf, patternsOf, tableOf } from './layout.ts';
import type { GroupBody } from './pages.ts';

export interface GroupsPageFacts {
  readonly user: string;
  readonly groups: readonly GroupBody[];
  readonly next: string | undefined;
  /** The visible accounts. */
  readonly accounts: readonly Pick<Account, 'user' | 'groups'>[];
  readonly mayEdit: boolean;
  readonly done: string | undefined;
}

/** Maximum number of members that the page lists for one group. */
const SHOWN_MAX = 100;

function membersByGroup({ accounts }: GroupsPageFacts): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  for (const { user, groups } of accounts) {
    for (const name of groups) {
      const known = found.get(name);
      if (known) known.push(user);
      else found.set(name, [user]);
    }
  }
  return found;
}

function membersCell(name: string, members: readonly string[], mayEdit: boolean): Html {
  if (members.length === 0) return html`<span class="dim">none</span>`;
  const more = members.length - SHOWN_MAX;
  return html`${members
    .slice(0, SHOWN_MAX)
    .map(
      (user) =>
        html`<span class="member">${user}${
          mayEdit
            ? html` <a href="${linkTo('edit/removeMember', { user, name })}" aria-label="Remove ${user} from ${name}">Remove</a>`
            : undefined
        }</span>`,
    )}${more > 0 ? html`<span class="dim">and ${more} more, on the page <a href="${linkTo('accounts')}">Accounts</a></span>` : undefined}`;
}

function groupActions(name: string, hasMembers: boolean): Html {
  const link = (words: string, form: string, label: string) =>
    html`<a href="${linkTo(`edit/${form}`, { name })}" aria-label="${label}">${words}</a>`;
  return html`<span class="actions">${link('Edit', 'changeGroup', `Edit ${name}`)}
${link('Add a member', 'addMember', `Add a member to ${name}`)}
${hasMembers ? undefined : link('Remove', 'removeGroup', `Remove ${name}`)}</span>`;
}

/** Groups with their rights and members. */
export function groupsPage(facts: GroupsPageFacts): string {
  const { user, groups, next, mayEdit, done } = facts;
  const members = membersByGroup(facts);
  const rows = groups.map(({ name, repositories, push }) => {
    const own = members.get(name) ?? [];
    return [
      html`<strong>${name}</strong>`,
      patternsOf(repositories),
      patternsOf(push),
      membersCell(name, own, mayEdit),
      mayEdit ? groupActions(name, own.length > 0) : html``,
    ];
  });
  const none = mayEdit
    ? 'There are no groups. A group gives several accounts the same rights.'
    : 'This account is in no group.';
  const add = html`<p><a class="button" href="${linkTo('edit/addGroup')}">Add a group</a></p>
<p class="dim">A group with members cannot be removed.</p>`;
  return pageOf(
    { title: 'Groups', section: 'groups', user },
    ...(done === undefined ? [] : [alertOf('ok', done)]),
    cardOf(
      'What a group adds to the rights of its members',
      rows.length === 0
        ? html`<p>${none}</p>`
        : tableOf(['Group', 'May pull', 'May push', 'Members', ''], rows),
      moreLink('groups', {}, next),
      mayEdit ? add : undefined,
    ),
  );
}
