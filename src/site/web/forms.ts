import { GROUP_FORMS } from './group-forms.ts';
import type { AccountBody, TypeBody } from './pages.ts';
import { accountPath, type FormField, type FormParams, given, type WebForm, words } from './web-form.ts';

const KEEP = 'keep';
const NEW = 'new';
const DROP = 'drop';

/** Returns a new password exactly as typed, with its spaces, because whoever logs in types them as well. */
const newPassword = (form: URLSearchParams): string | undefined => form.get('password') || undefined;

/** Reads the choice of password: absent (keep), a new one, or null (none of its own). */
function passwordOf(form: URLSearchParams): { readonly password?: string | null } {
  const choice = form.get('passwordChoice');
  if (choice === DROP) return { password: null };
  return choice === NEW ? { password: form.get('password') ?? '' } : {};
}

/** Returns the choice that {@link passwordOf} has read. */
function choiceOf(password: unknown): string {
  if (password === undefined) return KEEP;
  return password === null ? DROP : NEW;
}

/** Returns the values of the fields for the form that made this body. A password is never among them. */
export function valuesIn({ fields }: WebForm, body: unknown): (name: string) => string {
  const values = (body ?? {}) as Readonly<Record<string, unknown>>;
  return (name) => {
    if (name === 'passwordChoice') return choiceOf(values['password']);
    const value = name === 'password' ? undefined : values[name];
    if (Array.isArray(value)) return value.join(name === 'groups' ? ', ' : '\n');
    if (typeof value === 'boolean') return value ? 'on' : '';
    if (typeof value !== 'string') return '';
    const isDate = fields.some((field) => field.name === name && field.kind === 'date');
    return isDate ? value.slice(0, 'YYYY-MM-DD'.length) : value;
  };
}

const FEATURES: FormField = {
  name: 'features',
  label: 'What the machine has',
  kind: 'lines',
  help: 'One feature a line: cpu:zen4, nvcap:9.0, x86-64-v3. metahub detect prints those of a machine.',
};
const LOGIN: FormField = {
  name: 'login',
  label: 'User name',
  kind: 'text',
  help: 'The user name of these machines; empty: ACCOUNT-NAME.',
};
const NEW_PASSWORD: FormField = { name: 'password', label: 'New password', kind: 'password' };
const RIGHTS: readonly FormField[] = [
  {
    name: 'repositories',
    label: 'May pull',
    kind: 'lines',
    help: 'One pattern a line: qnib/*, ghcr.io/lab/**. ** is everything; empty: only what its groups may pull.',
  },
  { name: 'push', label: 'May push', kind: 'lines', help: 'One pattern a line; empty: nowhere.' },
  { name: 'groups', label: 'Groups', kind: 'text', help: 'Names of groups, separated by commas.' },
  {
    name: 'role',
    label: 'Role',
    kind: 'choice',
    options: [
      ['', 'none: only its patterns limit it'],
      ['admin', 'admin: it manages all accounts of the site'],
      ['publisher', 'publisher: it pushes where its patterns and groups allow'],
      ['puller', 'puller: it may not push, whatever its groups allow'],
    ],
  },
  { name: 'managesMachines', label: 'It may change its own machine types', kind: 'check' },
];

function rightsOf(form: URLSearchParams) {
  const role = form.get('role') ?? '';
  return {
    repositories: words(form.get('repositories')),
    push: words(form.get('push')),
    groups: words(form.get('groups')),
    role: role === '' ? null : role,
    managesMachines: form.get('managesMachines') === 'on',
  };
}

const typePath = ({ user, name }: FormParams) =>
  `/accounts/${encodeURIComponent(user)}/types/${encodeURIComponent(name)}`;

/** All forms of the pages. */
export const WEB_FORMS: readonly WebForm[] = [
  {
    id: 'addMachineType',
    title: ({ user }) => `Add a machine type to ${user}`,
    back: '',
    fields: [
      { name: 'name', label: 'Name', kind: 'text', isRequired: true, help: 'type1, gpu-nodes' },
      FEATURES,
      LOGIN,
      {
        ...NEW_PASSWORD,
        label: 'A password of its own',
        help: 'Empty: it uses the account’s password.',
      },
    ],
    bodyOf: (form, { user }) => {
      const name = given(form.get('name')) ?? '';
      const login = given(form.get('login')) ?? `${user}-${name}`;
      return { name, features: words(form.get('features')), login, password: newPassword(form) };
    },
    done: ({ user, name }) => `Machine type ${name} of ${user} is added.`,
  },
  {
    id: 'changeMachineType',
    title: ({ user, name }) => `Machine type ${name} of ${user}`,
    back: '',
    resource: typePath,
    fields: [
      FEATURES,
      LOGIN,
      {
        name: 'passwordChoice',
        label: 'Password',
        kind: 'choice',
        options: [
          [KEEP, 'as it is'],
          [NEW, 'another one of its own'],
          [DROP, 'the account’s'],
        ],
      },
      NEW_PASSWORD,
    ],
    valuesOf: ({ features, login }: TypeBody) => ({ features: features.join('\n'), login }),
    bodyOf: (form, { user, name }) => ({
      features: words(form.get('features')),
      login: given(form.get('login')) ?? `${user}-${name}`,
      ...passwordOf(form),
    }),
    done: ({ user, name }) => `Machine type ${name} of ${user} is changed.`,
  },
  {
    id: 'removeMachineType',
    title: ({ user, name }) => `Remove the machine type ${name} of ${user}`,
    back: '',
    resource: typePath,
    fields: [],
    warning: () => 'Within a second, MetaHub refuses all pulls of machines that use this login.',
    done: ({ user, name }) => `Machine type ${name} of ${user} is removed.`,
  },
  {
    id: 'addEnrolment',
    title: ({ user, name }) => `Enrol a machine as ${name} of ${user}`,
    back: '',
    fields: [{ name: 'name', label: 'Name of the machine', kind: 'text', isRequired: true, help: 'node17' }],
    bodyOf: (form, { name: type }) => ({ name: given(form.get('name')) ?? '', type }),
    tokenHelp: 'It enrols one machine, within an hour. On that machine: metahub login HOST --enrol TOKEN',
    done: ({ user, name }) => `${name} of ${user} can enrol.`,
  },
  {
    id: 'addAccount',
    title: () => 'Add an account',
    back: 'accounts',
    fields: [
      { name: 'user', label: 'User name', kind: 'text', isRequired: true },
      {
        ...NEW_PASSWORD,
        label: 'Password',
        help: 'Empty: each of its machine types needs its own password.',
      },
      ...RIGHTS,
    ],
    bodyOf: (form) => ({
      user: given(form.get('user')) ?? '',
      password: newPassword(form),
      ...rightsOf(form),
    }),
    done: ({ user }) => `Account ${user} is added.`,
  },
  {
    id: 'changeAccount',
    title: ({ user }) => `Account ${user}`,
    back: 'accounts',
    resource: accountPath,
    fields: [
      ...RIGHTS,
      {
        name: 'passwordChoice',
        label: 'Password',
        kind: 'choice',
        options: [
          [KEEP, 'as it is'],
          [NEW, 'another one'],
        ],
      },
      NEW_PASSWORD,
    ],
    valuesOf: ({ repositories, push, groups, role, managesMachines }: AccountBody) => ({
      repositories: repositories.join('\n'),
      push: push.join('\n'),
      groups: groups.join(', '),
      role: role ?? '',
      managesMachines: managesMachines ? 'on' : '',
    }),
    bodyOf: (form) => ({ ...rightsOf(form), ...passwordOf(form) }),
    done: ({ user }) => `Account ${user} is changed.`,
  },
  {
    id: 'removeAccount',
    title: ({ user }) => `Remove the account ${user}`,
    back: 'accounts',
    resource: accountPath,
    fields: [],
    warning: () =>
      'This removes all of its machine types and tokens. Within a second, MetaHub refuses all pulls of its machines.',
    done: ({ user }) => `Account ${user} is removed.`,
  },
  {
    id: 'addToken',
    title: ({ user }) => `New token for ${user}`,
    back: 'accounts',
    fields: [
      { name: 'name', label: 'Name', kind: 'text', isRequired: true, help: 'ci' },
      { name: 'expires', label: 'Expires on', kind: 'date', help: 'Empty: in 90 days.' },
      {
        name: 'repositories',
        label: 'May pull',
        kind: 'lines',
        help: 'One pattern a line; empty: everything that the account may pull.',
      },
      { name: 'push', label: 'It may push where the account may push', kind: 'check' },
    ],
    bodyOf: (form) => {
      const [expires, repositories] = [given(form.get('expires')), words(form.get('repositories'))];
      return {
        name: given(form.get('name')) ?? '',
        expires: expires === undefined ? undefined : `${expires}T00:00:00Z`,
        repositories: repositories.length === 0 ? undefined : repositories,
        push: form.get('push') === 'on',
      };
    },
    tokenHelp: 'Give it to the program as the password of its account.',
    done: ({ user, name }) => `Token ${name} of ${user} is created.`,
  },
  {
    id: 'revokeToken',
    title: ({ user, name }) => `Revoke the token ${name} of ${user}`,
    back: 'accounts',
    resource: ({ user, name }) => `/accounts/${encodeURIComponent(user)}/tokens/${encodeURIComponent(name)}`,
    fields: [],
    warning: () => 'Within a second, MetaHub refuses programs that log in with it.',
    done: ({ user, name }) => `Token ${name} of ${user} is revoked.`,
  },
  ...GROUP_FORMS,
];
