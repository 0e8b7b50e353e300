import { describe, expect, test } from 'vitest';
import { parseChallenges, pushScopeOf, scopeOf } from '../../src/upstream/auth/token.ts';

describe('parseChallenges()', () => {
  test.each<[string, string, readonly [string, Readonly<Record<string, string>>][]]>([
    [
      'a Bearer challenge',
      'Bearer realm="https://a/t",service="s"',
      [['bearer', { realm: 'https://a/t', service: 's' }]],
    ],
    [
      'two in one header',
      'Basic realm="x", Bearer realm="y"',
      [
        ['basic', { realm: 'x' }],
        ['bearer', { realm: 'y' }],
      ],
    ],
    ['one without parameters', 'Basic', [['basic', {}]]],
    [
      'two without parameters',
      'Basic, Negotiate',
      [
        ['basic', {}],
        ['negotiate', {}],
      ],
    ],
    ['names in capitals', 'BEARER REALM="X"', [['bearer', { realm: 'X' }]]],
    [
      'a comma within quotes',
      'Bearer scope="repository:a:pull,push"',
      [['bearer', { scope: 'repository:a:pull,push' }]],
    ],
    ['escapes within quotes', String.raw`Bearer realm="a\"b\\c"`, [['bearer', { realm: String.raw`a"b\c` }]]],
    ['values without quotes', 'Bearer realm=a,service=b', [['bearer', { realm: 'a', service: 'b' }]]],
    [
      'parameters with a space between',
      'Bearer realm=a service=b',
      [['bearer', { realm: 'a', service: 'b' }]],
    ],
    ['an empty value', 'Bearer service=b,realm=', [['bearer', { service: 'b', realm: '' }]]],
    ['what may be a token of its own as that', 'Bearer realm=,service=b', [['bearer', { service: 'b' }]]],
    [
      'spaces around the equals sign',
      'Bearer realm = "a" , service = b',
      [['bearer', { realm: 'a', service: 'b' }]],
    ],
    [
      'a repeated parameter, whose first value counts',
      'Bearer realm="a",realm="b"',
      [['bearer', { realm: 'a' }]],
    ],
    [
      'a token of its own, and one after it',
      'Negotiate a87421000492aa==, Basic realm="x"',
      [
        ['negotiate', {}],
        ['basic', { realm: 'x' }],
      ],
    ],
    ['a token that ends the header', 'Negotiate YII+/-._~', [['negotiate', {}]]],
    ['a parameter of no scheme', 'realm="x", Basic', [['basic', {}]]],
    ['characters of no name', '"?" Basic realm="x"', [['basic', { realm: 'x' }]]],
    [
      'an open quote',
      'Bearer realm="a',
      [
        ['bearer', { realm: '' }],
        ['a', {}],
      ],
    ],
  ])('reads %s', (_, header, expected) => {
    const read = parseChallenges(header).map(({ scheme, parameters }) => [
      scheme,
      Object.fromEntries(parameters),
    ]);
    expect(read).toEqual(expected);
  });

  test.each([
    [8192, '1'],
    [8193, ''],
  ])('reads 8192 characters: of %d, the last value is "%s"', (characters, last) => {
    const [before, after] = ['Bearer realm="', '",z=1'];
    const header = `${before}${'x'.repeat(characters - before.length - after.length)}${after}`;
    expect(parseChallenges(header)[0]?.parameters.get('z')).toBe(last);
  });
});

describe('the scope to request', () => {
  const OWN = 'repository:team/app:pull';
  const OWN_PUSH = 'repository:team/app:pull,push';
  const [name, longName] = ['n'.repeat(300), 'n'.repeat(301)];
  const [actions, longActions] = [`pull,${'x'.repeat(95)}`, `pull,${'x'.repeat(96)}`];
  const [named, longNamed] = ['a'.repeat(64), 'a'.repeat(65)];

  test.each<[string | undefined, string, string]>([
    [undefined, OWN, OWN_PUSH],
    ['', OWN, OWN_PUSH],
    ['repository:a/b:pull', 'repository:a/b:pull', 'repository:a/b:pull'],
    ['repository:a/b:pull,push,delete', 'repository:a/b:pull', 'repository:a/b:pull,push'],
    ['repository:a:push,pull', 'repository:a:pull', 'repository:a:push,pull'],
    ['repository:a:delete', OWN, OWN_PUSH],
    ['repository:a:*', OWN, OWN_PUSH],
    ['registry:catalog:*', OWN, OWN_PUSH],
    ['repository(plugin):a:pull', 'repository(plugin):a:pull', 'repository(plugin):a:pull'],
    [
      'repository:a:pull repository:b:pull,push',
      'repository:a:pull repository:b:pull',
      'repository:a:pull repository:b:pull,push',
    ],
    [
      'repository:a:metadata_read,content_read',
      'repository:a:metadata_read,content_read',
      'repository:a:metadata_read,content_read',
    ],
    ['repository:a:metadata_write,content_write', OWN, 'repository:a:metadata_write,content_write'],
    ['aws', `aws ${OWN}`, `aws ${OWN_PUSH}`],
    ['artifact:a:pull', `artifact:a:pull ${OWN}`, `artifact:a:pull ${OWN_PUSH}`],
    [named, `${named} ${OWN}`, `${named} ${OWN_PUSH}`],
    [longNamed, OWN, OWN_PUSH],
    [`repository:${name}:pull`, `repository:${name}:pull`, `repository:${name}:pull`],
    [`repository:${longName}:pull`, OWN, OWN_PUSH],
    [`repository:a:${actions}`, 'repository:a:pull', 'repository:a:pull'],
    [`repository:a:${longActions}`, OWN, OWN_PUSH],
    ['!repository:a:pull', OWN, OWN_PUSH],
    ['repository:a:pull!', OWN, OWN_PUSH],
    ['repository(plugin:a:pull', OWN, OWN_PUSH],
    ['-aws', OWN, OWN_PUSH],
    ['aws!', OWN, OWN_PUSH],
  ])('for a challenge with the scope %s is %s, and %s for a push', (scope, pull, push) => {
    const challenge = {
      scheme: 'bearer',
      parameters: new Map(scope === undefined ? [] : [['scope', scope]]),
    };
    expect(scopeOf(challenge, 'team/app')).toBe(pull);
    expect(pushScopeOf(challenge, 'team/app')).toBe(push);
  });
});
