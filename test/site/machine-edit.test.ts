import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { ConfigError } from '../../src/lib/config-error.ts';
import { editMachineFile, type MachineEdit } from '../../src/site/machine-edit.ts';

const SOURCE = `# The lab.
user: lab
password: old # of the account
types:
  # The first type.
  - { name: cpu, features: [cpu:zen4] }
  - name: gpu
    features: [cpu:zen4, nvcap:9.0]
    login: lab-graphics
    password: own
tokens:
  - { name: ci, sha256: a }
  - { name: of-gpu, sha256: b, type: gpu } # of a machine
enrolments:
  - { name: node-1, type: cpu, sha256: c, expires: 2027-01-01T00:00:00Z }
  - { name: of-gpu, type: gpu, sha256: d, expires: 2027-01-01T00:00:00Z }
`;
const EXPIRES = new Date('2027-02-03T04:05:06.789Z');
const [CPU, GPU] = [
  { name: 'cpu', features: ['cpu:zen4'] },
  { name: 'gpu', features: ['cpu:zen4', 'nvcap:9.0'], login: 'lab-graphics', password: 'own' },
];
const [CI, OF_GPU] = [
  { name: 'ci', sha256: 'a' },
  { name: 'of-gpu', sha256: 'b', type: 'gpu' },
];
const [NODE, GPU_NODE] = [
  { name: 'node-1', type: 'cpu', sha256: 'c', expires: '2027-01-01T00:00:00Z' },
  { name: 'of-gpu', type: 'gpu', sha256: 'd', expires: '2027-01-01T00:00:00Z' },
];
const BEFORE = {
  ...{ user: 'lab', password: 'old', types: [CPU, GPU] },
  ...{ tokens: [CI, OF_GPU], enrolments: [NODE, GPU_NODE] },
};

const edit = (change: MachineEdit, source = SOURCE) => editMachineFile(source, change, 'lab.yaml');

describe('an edit of a machine file', () => {
  test.each<[string, MachineEdit, object]>([
    [
      'adds a type',
      { kind: 'add-type', type: { name: 'new', features: ['cpu:zen5'] } },
      { types: [CPU, GPU, { name: 'new', features: ['cpu:zen5'] }] },
    ],
    [
      'adds a type with a login and a password of its own',
      { kind: 'add-type', type: { name: 'new', features: [], login: 'one', password: 'two' } },
      { types: [CPU, GPU, { name: 'new', features: [], login: 'one', password: 'two' }] },
    ],
    [
      'changes the features of a type, and keeps its password',
      { kind: 'change-type', change: { name: 'gpu', features: ['cpu:zen5'], login: 'other' } },
      { types: [CPU, { name: 'gpu', features: ['cpu:zen5'], login: 'other', password: 'own' }] },
    ],
    [
      'takes the login and the password of a type away',
      { kind: 'change-type', change: { name: 'gpu', features: [], login: undefined, password: null } },
      { types: [CPU, { name: 'gpu', features: [] }] },
    ],
    [
      'gives a type a password',
      {
        kind: 'change-type',
        change: { name: 'cpu', features: ['cpu:zen4'], login: undefined, password: 'new' },
      },
      { types: [{ ...CPU, password: 'new' }, GPU] },
    ],
    [
      'removes a type with the tokens and enrolments of its machines',
      { kind: 'remove-type', name: 'gpu' },
      { types: [CPU], tokens: [CI], enrolments: [NODE] },
    ],
    [
      'adds a token that may do all',
      {
        kind: 'add-token',
        token: { name: 'new', sha256: 'x', expires: EXPIRES, repositories: ['a/*'], push: true, type: 'cpu' },
      },
      {
        tokens: [
          ...[CI, OF_GPU],
          {
            ...{ name: 'new', sha256: 'x', type: 'cpu', expires: '2027-02-03T04:05:06Z' },
            ...{ repositories: ['a/*'], push: true },
          },
        ],
      },
    ],
    [
      'adds a token that may not push',
      { kind: 'add-token', token: { name: 'new', sha256: 'x', push: false } },
      { tokens: [CI, OF_GPU, { name: 'new', sha256: 'x' }] },
    ],
    ['removes a token', { kind: 'remove-token', name: 'ci' }, { tokens: [OF_GPU] }],
    [
      'removes a token and the enrolment of the same name',
      { kind: 'remove-token', name: 'of-gpu' },
      { tokens: [CI], enrolments: [NODE] },
    ],
    ['removes an enrolment', { kind: 'remove-token', name: 'node-1' }, { enrolments: [GPU_NODE] }],
    [
      'adds an enrolment in place of one of the same name',
      { kind: 'add-enrolment', enrolment: { name: 'node-1', type: 'gpu', sha256: 'x', expires: EXPIRES } },
      {
        enrolments: [GPU_NODE, { name: 'node-1', type: 'gpu', sha256: 'x', expires: '2027-02-03T04:05:06Z' }],
      },
    ],
    [
      'puts a token in the place of an enrolment',
      { kind: 'enrol', sha256: 'c', tokenSha256: 'x' },
      { tokens: [CI, OF_GPU, { name: 'node-1', sha256: 'x', type: 'cpu' }], enrolments: [GPU_NODE] },
    ],
    [
      'puts a token in the place of an enrolment, and of the machine’s earlier token',
      { kind: 'enrol', sha256: 'd', tokenSha256: 'x' },
      { tokens: [CI, { name: 'of-gpu', sha256: 'x', type: 'gpu' }], enrolments: [NODE] },
    ],
    [
      'sets the account’s password',
      { kind: 'set-password', type: undefined, password: 'new' },
      { password: 'new' },
    ],
    [
      'sets a type’s password',
      { kind: 'set-password', type: 'cpu', password: 'new' },
      { types: [{ ...CPU, password: 'new' }, GPU] },
    ],
  ])('%s, and keeps the rest with its comments', (_, change, after) => {
    const text = edit(change);
    expect(parse(text)).toEqual({ ...BEFORE, ...after });
    for (const comment of ['# The lab.', '# The first type.']) expect(text).toContain(comment);
  });

  const NO_TYPE = 'there is no machine type none';
  test.each<[string, MachineEdit, string, string]>([
    [
      'a type that is there',
      { kind: 'add-type', type: { name: 'cpu', features: [] } },
      'exists',
      'there is a machine type cpu already',
    ],
    [
      'a token that is there',
      { kind: 'add-token', token: { name: 'ci', sha256: 'x' } },
      'exists',
      'there is a token ci already',
    ],
    [
      'a token of no type',
      { kind: 'add-token', token: { name: 'x', sha256: 'x', type: 'none' } },
      'missing',
      NO_TYPE,
    ],
    [
      'no type to change',
      { kind: 'change-type', change: { name: 'none', features: [], login: undefined } },
      'missing',
      NO_TYPE,
    ],
    ['no type to remove', { kind: 'remove-type', name: 'none' }, 'missing', NO_TYPE],
    ['no token to remove', { kind: 'remove-token', name: 'cpu' }, 'missing', 'there is no token cpu'],
    [
      'no enrolment to use',
      { kind: 'enrol', sha256: 'a', tokenSha256: 'x' },
      'missing',
      'there is no such enrolment',
    ],
    [
      'no type to set the password of',
      { kind: 'set-password', type: 'none', password: 'x' },
      'missing',
      NO_TYPE,
    ],
  ])('fails for %s', (_, change, code, why) => {
    const failure = (() => {
      try {
        return edit(change);
      } catch (error) {
        return error;
      }
    })();
    expect(failure).toBeInstanceOf(ConfigError);
    expect(failure).toMatchObject({ code, why, file: 'lab.yaml' });
  });

  test.each<[string, MachineEdit]>([
    ['types', { kind: 'remove-type', name: 'cpu' }],
    ['types', { kind: 'set-password', type: 'cpu', password: 'x' }],
    ['types', { kind: 'change-type', change: { name: 'cpu', features: [], login: undefined } }],
    ['tokens and enrolments', { kind: 'remove-token', name: 'ci' }],
    ['enrolments', { kind: 'enrol', sha256: 'c', tokenSha256: 'x' }],
  ])('finds nothing where the list of %s is absent or is no list: %j', (_, change) => {
    const other = 'user: lab\ntypes: cpu\ntokens: { ci: {} }\nenrolments: 7\n';
    for (const source of ['user: lab\n', 'user: lab\ntypes:\ntokens:\nenrolments:\n', other]) {
      expect(() => edit(change, source)).toThrow(expect.objectContaining({ code: 'missing' }));
    }
  });

  test.each<[string, MachineEdit, object]>([
    ['type', { kind: 'add-type', type: CPU as never }, { types: [CPU] }],
    ['token', { kind: 'add-token', token: CI as never }, { tokens: [CI] }],
  ])('adds the first %s of an account, whatever its list was', (_, change, after) => {
    for (const source of ['user: lab\n', `user: lab\n${Object.keys(after)[0]}:\n`]) {
      expect(parse(edit(change, source))).toEqual({ user: 'lab', ...after });
    }
  });

  test('writes features in one line', () => {
    expect(edit({ kind: 'add-type', type: { name: 'new', features: ['a', 'b'] } })).toContain('[ a, b ]');
    expect(
      edit({ kind: 'change-type', change: { name: 'gpu', features: ['a', 'b'], login: undefined } }),
    ).toContain('features: [ a, b ]');
  });

  // An enrolment has all keys that a token needs, so that one list may stand for both.
  const BOTH = `user: lab
password: old
types: [{ name: cpu, features: &f [cpu:zen4] }, { name: gpu, features: *f }]
enrolments: &e
  - { name: node-1, type: cpu, sha256: c, expires: 2027-01-01T00:00:00Z }
tokens: *e
`;
  test.each<[string, MachineEdit, string]>([
    ['adds to', { kind: 'add-token', token: CI as never }, BOTH],
    ['adds to', { kind: 'add-type', type: CPU as never }, `%YAML 1.1\n---\n<<: { types: [{ name: gpu }] }\n`],
    [
      'changes the list of the third type by what it removes of',
      { kind: 'remove-type', name: 'b' },
      'types: [{ name: a, features: &f [x] }, { name: b, features: &f [y] }, { name: c, features: *f }]\n',
    ],
  ])(
    'fails, and loses nothing, where it %s a list that an alias or merge key stands for: %j',
    (_, change, source) => {
      expect(() => edit(change, source)).toThrow(
        expect.objectContaining({ code: 'in-use', file: 'lab.yaml' }),
      );
    },
  );

  test.each<[string, MachineEdit, string, object]>([
    ['removes from both', { kind: 'remove-token', name: 'node-1' }, BOTH, { tokens: [], enrolments: [] }],
    [
      'replaces in both',
      { kind: 'enrol', sha256: 'c', tokenSha256: 'x' },
      BOTH,
      { tokens: [{ name: 'node-1', type: 'cpu', sha256: 'x' }], enrolments: [] },
    ],
    ['adds to one', { kind: 'add-type', type: CPU as never }, 'groups: &g []\ntypes: *g\n', { types: [CPU] }],
  ])('%s of two lists that are the same by an alias', (_, change, source, after) => {
    expect(parse(edit(change, source))).toEqual({ ...parse(source), ...after });
  });

  test('changes what an alias does not stand for', () => {
    const change = { name: 'gpu', features: ['cpu:zen5'], login: undefined };
    const after = edit({ kind: 'change-type', change }, BOTH);
    expect(parse(after)).toEqual({
      ...parse(BOTH),
      types: [CPU, { name: 'gpu', features: ['cpu:zen5'] }],
    });
    expect(after).toContain('tokens: *e');
    const renewed = edit({ kind: 'set-password', type: 'gpu', password: 'new' }, BOTH);
    expect(parse(renewed).types).toEqual([CPU, { ...CPU, name: 'gpu', password: 'new' }]);
  });
});
