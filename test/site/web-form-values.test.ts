import { describe, expect, test } from 'vitest';
import { describeChange } from '../../src/site/web/changes.ts';
import { valuesIn, WEB_FORMS } from '../../src/site/web/forms.ts';
import { given, type WebForm, words } from '../../src/site/web/web-form.ts';

/** What a form of the pages sends to the API, and what it shows of a resource. */

const PARAMS = { user: 'lab', name: 'gpu' };

function formNamed(id: string): WebForm {
  const found = WEB_FORMS.find((form) => form.id === id);
  if (found === undefined) throw new Error(`no form ${id}`);
  return found;
}
const bodyOf = (id: string, fields: Readonly<Record<string, string>>, before?: object, params = PARAMS) =>
  formNamed(id).bodyOf?.(new URLSearchParams(fields), params, before as never);

test('words() splits at commas and white space', () => {
  expect(words(' a, b\r\n c ,,\td')).toEqual(['a', 'b', 'c', 'd']);
  expect([words(''), words(' , '), words(null)]).toEqual([[], [], []]);
});

test('given() is what was written, without the spaces around it', () => {
  expect([given(' a b '), given('  '), given(''), given(null)]).toEqual([
    'a b',
    undefined,
    undefined,
    undefined,
  ]);
});

const RIGHTS = { repositories: [], push: [], groups: [], role: null, managesMachines: false };

describe('a form', () => {
  test.each<[string, Readonly<Record<string, string>>, object]>([
    ['addMachineType', {}, { name: '', features: [], login: 'lab-', password: undefined }],
    [
      'addMachineType',
      { name: ' cpu ', features: 'cpu:zen4\nnvcap:9.0', login: '', password: '' },
      { name: 'cpu', features: ['cpu:zen4', 'nvcap:9.0'], login: 'lab-cpu', password: undefined },
    ],
    [
      'addMachineType',
      { name: 'cpu', login: ' nodes ', password: ' x ' },
      { name: 'cpu', features: [], login: 'nodes', password: ' x ' },
    ],
    ['changeMachineType', { passwordChoice: 'keep', password: 'x' }, { features: [], login: 'lab-gpu' }],
    ['changeMachineType', { password: 'x', login: 'nodes' }, { features: [], login: 'nodes' }],
    [
      'changeMachineType',
      { passwordChoice: 'new', password: 'x' },
      { features: [], login: 'lab-gpu', password: 'x' },
    ],
    // The API refuses it, with the reason at the field.
    ['changeMachineType', { passwordChoice: 'new' }, { features: [], login: 'lab-gpu', password: '' }],
    [
      'changeMachineType',
      { passwordChoice: 'drop', password: 'x' },
      { features: [], login: 'lab-gpu', password: null },
    ],
    ['addEnrolment', { name: ' node17 ' }, { name: 'node17', type: 'gpu' }],
    ['addEnrolment', {}, { name: '', type: 'gpu' }],
    ['addAccount', {}, { user: '', password: undefined, ...RIGHTS }],
    [
      'addAccount',
      {
        ...{ user: ' new ', password: 'x', repositories: 'a/* b/*', push: 'c/*', groups: 'hpc, web' },
        ...{ role: 'admin', managesMachines: 'on' },
      },
      {
        ...{
          user: 'new',
          password: 'x',
          repositories: ['a/*', 'b/*'],
          push: ['c/*'],
          groups: ['hpc', 'web'],
        },
        ...{ role: 'admin', managesMachines: true },
      },
    ],
    ['changeAccount', { managesMachines: 'off', passwordChoice: 'keep' }, RIGHTS],
    [
      'changeAccount',
      { role: 'puller', passwordChoice: 'new', password: 'x' },
      { ...RIGHTS, role: 'puller', password: 'x' },
    ],
    ['addToken', {}, { name: '', expires: undefined, repositories: undefined, push: false }],
    [
      'addToken',
      { name: ' ci ', expires: '2030-12-31', repositories: 'a/*\nb/*', push: 'on' },
      { name: 'ci', expires: '2030-12-31T00:00:00Z', repositories: ['a/*', 'b/*'], push: true },
    ],
    [
      'addToken',
      { name: 'ci', push: 'yes' },
      { name: 'ci', expires: undefined, repositories: undefined, push: false },
    ],
    ['addGroup', { repositories: 'a/*', push: 'b/*' }, { repositories: ['a/*'], push: ['b/*'] }],
    ['changeGroup', {}, { repositories: [], push: [] }],
  ])('%s sends %j as %j', (id, fields, body) => {
    expect(bodyOf(id, fields)).toEqual(body);
    expect(Object.keys(bodyOf(id, fields) ?? {})).toEqual(Object.keys(body));
  });

  test.each<[string, readonly string[], readonly string[]]>([
    ['addMember', ['web'], ['web', 'gpu']],
    ['addMember', ['gpu', 'web'], ['web', 'gpu']],
    ['removeMember', ['web', 'gpu', 'hpc'], ['web', 'hpc']],
    ['removeMember', ['gpu'], []],
    ['removeMember', ['web'], ['web']],
  ])('%s changes the groups of an account from %j to %j', (id, groups, after) => {
    expect(bodyOf(id, {}, { groups })).toEqual({ groups: after });
  });

  test('asks for the account and the name of a group at their fields', () => {
    const refused = (pointer: string) =>
      expect.objectContaining({ code: 'invalid-body', errors: [expect.objectContaining({ pointer })] });
    expect(() => bodyOf('addMember', {})).toThrow(refused('/user'));
    expect(() => bodyOf('addGroup', {}, undefined, { user: '', name: 'a b' })).toThrow(refused('/name'));
  });

  test.each([
    ['addMachineType', undefined, undefined],
    ['changeMachineType', undefined, '/accounts/a%2Fb/types/c%20d'],
    ['removeMachineType', undefined, '/accounts/a%2Fb/types/c%20d'],
    ['addAccount', undefined, undefined],
    ['changeAccount', undefined, '/accounts/a%2Fb'],
    ['removeAccount', undefined, '/accounts/a%2Fb'],
    ['addToken', undefined, undefined],
    ['revokeToken', undefined, '/accounts/a%2Fb/tokens/c%20d'],
    ['changeGroup', undefined, '/groups/c%20d'],
    ['removeGroup', undefined, '/groups/c%20d'],
    ['removeMember', undefined, '/accounts/a%2Fb'],
    ['addMember', '', undefined],
    ['addMember', 'a/b', '/accounts/a%2Fb'],
  ])('%s of %j is about the resource %j', (id, user = 'a/b', path) => {
    expect(formNamed(id).resource?.({ user, name: 'c d' })).toBe(path);
  });

  test('takes the names of what it adds from its own fields', () => {
    const fields = new URLSearchParams({ user: ' anna ', name: ' web ' });
    expect(formNamed('addGroup').paramsOf?.(fields, PARAMS)).toEqual({ user: '', name: 'web' });
    expect(formNamed('addMember').paramsOf?.(fields, PARAMS)).toEqual({ user: 'anna', name: 'gpu' });
    const empty = new URLSearchParams();
    expect(formNamed('addGroup').paramsOf?.(empty, PARAMS)).toEqual({ user: '', name: '' });
    expect(formNamed('addMember').paramsOf?.(empty, PARAMS)).toEqual({ user: '', name: 'gpu' });
    expect(formNamed('addMember').title({ user: '', name: 'web' })).toBe('Add a member to web');
    expect(formNamed('addMember').title({ user: 'anna', name: 'web' })).toBe('Add anna to web');
  });

  test.each<[string, object, object]>([
    [
      'changeMachineType',
      { features: ['cpu:zen4', 'nvcap:9.0'], login: 'nodes' },
      { features: 'cpu:zen4\nnvcap:9.0', login: 'nodes' },
    ],
    [
      'changeAccount',
      {
        repositories: ['a/*', 'b/*'],
        push: ['c/*', 'd/*'],
        groups: ['hpc', 'web'],
        role: 'admin',
        managesMachines: true,
      },
      {
        repositories: 'a/*\nb/*',
        push: 'c/*\nd/*',
        groups: 'hpc, web',
        role: 'admin',
        managesMachines: 'on',
      },
    ],
    [
      'changeAccount',
      { repositories: [], push: [], groups: [], role: null, managesMachines: false },
      { repositories: '', push: '', groups: '', role: '', managesMachines: '' },
    ],
    [
      'changeGroup',
      { repositories: ['a/*', 'b/*'], push: ['c/*', 'd/*'] },
      { repositories: 'a/*\nb/*', push: 'c/*\nd/*' },
    ],
  ])('%s shows %j', (id, resource, values) => {
    expect(formNamed(id).valuesOf?.(resource as never)).toEqual(values);
  });
});

test.each([
  ['addMachineType', 'Add a machine type to lab'],
  ['changeMachineType', 'Machine type gpu of lab'],
  ['removeMachineType', 'Remove the machine type gpu of lab'],
  ['addEnrolment', 'Enrol a machine as gpu of lab'],
  ['addAccount', 'Add an account'],
  ['changeAccount', 'Account lab'],
  ['removeAccount', 'Remove the account lab'],
  ['addToken', 'New token for lab'],
  ['revokeToken', 'Revoke the token gpu of lab'],
  ['addGroup', 'Add a group'],
  ['changeGroup', 'Group gpu'],
  ['removeGroup', 'Remove the group gpu'],
  ['addMember', 'Add lab to gpu'],
  ['removeMember', 'Remove lab from gpu'],
])('the form %s has the title %j', (id, title) => {
  expect(formNamed(id).title(PARAMS)).toBe(title);
});

describe('valuesIn()', () => {
  test.each<[string, object | undefined, string, string]>([
    ['changeAccount', { repositories: ['a/*', 'b/*'] }, 'repositories', 'a/*\nb/*'],
    ['changeAccount', { groups: ['a', 'b'] }, 'groups', 'a, b'],
    ['changeAccount', { managesMachines: true }, 'managesMachines', 'on'],
    ['changeAccount', { managesMachines: false }, 'managesMachines', ''],
    ['changeAccount', { role: null }, 'role', ''],
    ['changeAccount', { role: 'admin' }, 'role', 'admin'],
    ['changeAccount', {}, 'passwordChoice', 'keep'],
    ['changeAccount', { password: null }, 'passwordChoice', 'drop'],
    ['changeAccount', { password: 'x' }, 'passwordChoice', 'new'],
    // No page sends a password back.
    ['changeAccount', { password: 'x' }, 'password', ''],
    ['addToken', { expires: '2030-12-31T00:00:00Z' }, 'expires', '2030-12-31'],
    ['addToken', { name: '2030-12-31T00:00:00Z' }, 'name', '2030-12-31T00:00:00Z'],
    ['addToken', undefined, 'name', ''],
  ])('of %s with %j has for %s %j', (id, body, name, value) => {
    expect(valuesIn(formNamed(id), body)(name)).toBe(value);
  });
});

describe('describeChange()', () => {
  const lines = (id: string, body: object, before?: object) =>
    describeChange(formNamed(id), body, before).map((line) => [line.what, line.before, line.after]);

  test('lists all values of what is new, with the labels of the form', () => {
    const body = {
      user: 'new',
      role: null,
      push: [],
      groups: ['a', 'b'],
      managesMachines: true,
      expires: undefined,
      type: 'x',
    };
    expect(lines('addAccount', body)).toEqual([
      ['User name', undefined, 'new'],
      ['Role', undefined, 'none'],
      ['May push', undefined, 'none'],
      ['Groups', undefined, 'a b'],
      ['It may change its own machine types', undefined, 'yes'],
      ['Type', undefined, 'x'],
    ]);
    expect(lines('addAccount', { user: '' })).toEqual([['User name', undefined, 'none']]);
  });

  test('lists what differs from what was', () => {
    const before = { repositories: ['a/*'], push: ['b/*'], role: null, managesMachines: true, groups: [] };
    const body = { repositories: ['a/*'], push: [], role: 'admin', managesMachines: false, groups: [] };
    expect(lines('changeAccount', body, before)).toEqual([
      ['May push', 'b/*', 'none'],
      ['Role', 'none', 'admin'],
      ['It may change its own machine types', 'yes', 'no'],
    ]);
    expect(lines('changeAccount', before, before)).toEqual([]);
  });

  test('says that there is another password, never which', () => {
    expect(lines('changeAccount', { password: 'swordfish' }, {})).toEqual([
      ['Password', undefined, 'another one'],
    ]);
    expect(lines('changeMachineType', { password: null }, {})).toEqual([
      ['Password', undefined, 'the account’s'],
    ]);
    expect(lines('addAccount', { password: 'swordfish' })).toEqual([['Password', undefined, 'another one']]);
    expect(lines('addAccount', { password: undefined })).toEqual([]);
  });
});
