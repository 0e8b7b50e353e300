import * as v from 'valibot';
import type { GroupRights } from '../machine-file.ts';
import { ApiProblem } from './api-problem.ts';
import { type ApiOperation, type ApiResource, cutPart, nameOf, operation } from './operation.ts';
import * as r from './resources.ts';

function groupResource(name: string, { repositories, push }: GroupRights): ApiResource {
  const body: v.InferOutput<typeof r.GROUP> = { name, repositories: [...repositories], push: [...push] };
  return { body };
}

function missing(name: string): ApiProblem {
  return new ApiProblem('no-resource', `there is no group ${name}`);
}

/** The state of a group that preconditions compare. */
const stateOf = (name: string, rights: GroupRights | undefined) =>
  rights === undefined ? undefined : groupResource(name, rights);

/** The API's operations on groups. */
export const GROUP_OPERATIONS: readonly ApiOperation[] = [
  operation({
    id: 'listGroups',
    method: 'GET',
    path: '/groups',
    summary: 'Lists the groups: all of them for an administrator, its own for any other account',
    list: { byAccount: false },
    answer: {
      status: 200,
      description: 'The groups, sorted by name.',
      schema: v.object({ groups: v.array(r.GROUP) }),
    },
    problems: [],
    run: async ({ accounts }, call) => {
      const { items, next } = cutPart(await accounts.groups(call.caller), call.list, ([name]) => name);
      return {
        resource: { body: { groups: items.map(([name, rights]) => groupResource(name, rights).body) } },
        next,
      };
    },
  }),
  operation({
    id: 'getGroup',
    method: 'GET',
    path: '/groups/{name}',
    summary: 'Shows one group',
    answer: { status: 200, description: 'The group.', schema: r.GROUP },
    problems: ['no-resource'],
    run: async ({ accounts }, call) => {
      const name = nameOf(call);
      const [, rights] = (await accounts.groups(call.caller)).find(([other]) => other === name) ?? [];
      if (rights === undefined) throw missing(name);
      return { resource: groupResource(name, rights) };
    },
  }),
  operation({
    id: 'setGroup',
    method: 'PUT',
    path: '/groups/{name}',
    summary: 'Adds a group, or replaces the rights of an existing one',
    description:
      'Without If-Match it adds a group. Accounts that have the group in their file, and people whose groups come from an OpenID provider, get its rights.',
    body: r.GROUP_RIGHTS,
    isPut: true,
    answer: { status: 200, description: 'The group as it is now.', schema: r.GROUP },
    problems: ['limit'],
    run: async ({ accounts }, call) => {
      const name = nameOf(call);
      accounts.requireAdmin(call.caller, undefined, 'groups');
      const { repositories = [], push = [] } = call.body;
      const rights = { repositories, push };
      const isNew = await accounts.setGroup(call.caller, name, rights, (now) =>
        call.expect(stateOf(name, now)),
      );
      const resource = groupResource(name, rights);
      return isNew
        ? { status: 201, resource, location: `/groups/${encodeURIComponent(name)}` }
        : { resource };
    },
  }),
  operation({
    id: 'removeGroup',
    method: 'DELETE',
    path: '/groups/{name}',
    summary: 'Removes a group that has no members',
    isEdit: true,
    answer: { status: 204, description: 'The group no longer exists.' },
    problems: ['no-resource'],
    run: async ({ accounts }, call) => {
      const name = nameOf(call);
      await accounts.removeGroup(call.caller, name, (now) => {
        if (now === undefined) throw missing(name);
        call.expect(stateOf(name, now));
      });
      return { status: 204 };
    },
  }),
];
