import { ApiProblem } from '../api/api-problem.ts';
import { checkGroupName } from '../group-edit.ts';
import type { AccountBody, GroupBody } from './pages.ts';
import { accountPath, type FormField, type FormParams, given, type WebForm, words } from './web-form.ts';

const RIGHTS: readonly FormField[] = [
  {
    name: 'repositories',
    label: 'Its members may pull',
    kind: 'lines',
    help: 'One pattern a line: hpc/**, ghcr.io/lab/*. Empty: the group adds nothing.',
  },
  {
    name: 'push',
    label: 'Its members may push',
    kind: 'lines',
    help: 'One pattern a line; empty: the group adds nothing.',
  },
];

const rightsOf = (form: URLSearchParams) => ({
  repositories: words(form.get('repositories')),
  push: words(form.get('push')),
});

const groupPath = ({ name }: FormParams) => `/groups/${encodeURIComponent(name)}`;

function invalid(field: string, detail: string): ApiProblem {
  return new ApiProblem('invalid-body', detail, {
    errors: [{ pointer: `/${field}`, code: 'invalid-value', detail }],
  });
}

/**
 * The forms of groups and their members. Adding a member changes the account, so that an edit of a group
 * cannot undo an edit of an account.
 */
export const GROUP_FORMS: readonly WebForm[] = [
  {
    id: 'addGroup',
    operation: 'setGroup',
    title: () => 'Add a group',
    back: 'groups',
    fields: [{ name: 'name', label: 'Name', kind: 'text', isRequired: true, help: 'hpc, web' }, ...RIGHTS],
    paramsOf: (form) => ({ user: '', name: given(form.get('name')) ?? '' }),
    bodyOf: (form, { name }) => {
      try {
        checkGroupName(name);
      } catch (error) {
        throw invalid('name', (error as Error).message);
      }
      return rightsOf(form);
    },
    done: ({ name }) => `Group ${name} is added.`,
  },
  {
    id: 'changeGroup',
    operation: 'setGroup',
    title: ({ name }) => `Group ${name}`,
    back: 'groups',
    resource: groupPath,
    fields: RIGHTS,
    valuesOf: ({ repositories, push }: GroupBody) => ({
      repositories: repositories.join('\n'),
      push: push.join('\n'),
    }),
    bodyOf: rightsOf,
    done: ({ name }) => `Group ${name} is changed.`,
  },
  {
    id: 'removeGroup',
    title: ({ name }) => `Remove the group ${name}`,
    back: 'groups',
    resource: groupPath,
    fields: [],
    warning: () =>
      'People whose groups come from an OpenID provider no longer get its rights at their next login.',
    done: ({ name }) => `Group ${name} is removed.`,
  },
  {
    id: 'addMember',
    operation: 'changeAccount',
    title: ({ user, name }) => (user === '' ? `Add a member to ${name}` : `Add ${user} to ${name}`),
    back: 'groups',
    resource: (params) => (params.user === '' ? undefined : accountPath(params)),
    fields: [{ name: 'user', label: 'Account', kind: 'text', isRequired: true }],
    paramsOf: (form, { name }) => ({ user: given(form.get('user')) ?? '', name }),
    bodyOf: (_form, { name }, before: AccountBody | undefined) => {
      if (before === undefined) throw invalid('user', 'the name of an account is expected');
      return { groups: [...before.groups.filter((other) => other !== name), name] };
    },
    done: ({ user, name }) => `${user} is in ${name}.`,
  },
  {
    id: 'removeMember',
    operation: 'changeAccount',
    title: ({ user, name }) => `Remove ${user} from ${name}`,
    back: 'groups',
    resource: accountPath,
    fields: [],
    bodyOf: (_form, { name }, { groups }: AccountBody) => ({
      groups: groups.filter((other) => other !== name),
    }),
    warning: ({ user }) =>
      `Within a second, ${user} loses the rights of the group. A person whose groups come from an OpenID provider gets them again at the next login.`,
    done: ({ user, name }) => `${user} is no longer in ${name}.`,
  },
];
