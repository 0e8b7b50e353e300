import { describe, expect, test } from 'vitest';
import { type Account, type AccountIdentity, enrolmentHashOf, withToken } from '../../src/site/account.ts';
import { createAccountIndex } from '../../src/site/account-index.ts';
import { readAuthorization } from '../../src/site/authenticate.ts';
import { readMachineFeature } from '../../src/site/machine-features.ts';
import { readMachineFile } from '../../src/site/machine-file.ts';
import { hashed } from '../support/site.ts';

const TOKEN_HASHES = ['a', 'b'].map((letter) => letter.repeat(43));

async function indexed() {
  const lab = `user: lab\npassword: "${await hashed('lab')}"\ntypes:
  - { name: gpu, features: [cpu:zen4, nvcap:9.0], login: gpu-nodes }
  - { name: cpu, features: [cpu:zen4], password: "${await hashed('own')}" }
tokens:
  - { name: all, sha256: ${TOKEN_HASHES[0]} }
  - { name: gpu, type: gpu, sha256: ${TOKEN_HASHES[1]} }
enrolments: [{ name: n1, type: gpu, sha256: ${'e'.repeat(43)}, expires: 2100-01-01T00:00:00Z }]\n`;
  const bare = `user: bare\ntypes: [{ name: x, features: [cpu:zen3], password: "${await hashed('x')}" }]\n`;
  const accounts = [readMachineFile(lab, 'lab.yaml'), readMachineFile(bare, 'bare.yaml')];
  return { index: createAccountIndex(accounts), accounts };
}

describe('an index of accounts', () => {
  test('finds accounts, machine types and selectors by their user names', async () => {
    const { index } = await indexed();
    const found = (name: string) => {
      const identity = index.find(name);
      return identity && [identity.login, identity.account.user, identity.features];
    };
    expect(found('lab')).toEqual(['lab', 'lab', []]);
    expect(found('gpu-nodes')).toEqual(['gpu-nodes', 'lab', ['cpu:zen4', 'nvcap:9.0']]);
    expect(found('lab-cpu')).toEqual(['lab-cpu', 'lab', ['cpu:zen4']]);
    expect(found('bare-x')).toEqual(['bare-x', 'bare', ['cpu:zen3']]);
    // The spelling is kept, and each feature counts once.
    expect(found('lab/nvcap#9.0,cpu#zen4,cpu#zen4')).toEqual([
      ...['lab/nvcap#9.0,cpu#zen4,cpu#zen4', 'lab', ['cpu:zen4', 'nvcap:9.0']],
    ]);
    for (const name of [
      ...['lab-gpu', 'nobody', '', 'lab/', 'nobody/cpu#zen4', 'gpu-nodes/cpu#zen4'],
      // Neither is a machine, and an account without a password has no selectors.
      ...['lab/cpu#foolake', 'lab/cpu#zen4,cpu#skylake', 'bare', 'bare/cpu#zen4'],
    ]) {
      expect(found(name), name).toBeUndefined();
    }
    // Caches have the identity as their key.
    expect(index.find('lab/cpu#zen4')).toBe(index.find('lab/cpu#zen4'));
    expect(index.find('gpu-nodes')).toBe(index.find('gpu-nodes'));
  });

  test('has the password that opens each user name, also of selectors whose features nobody has read', async () => {
    const { index, accounts } = await indexed();
    const [lab, bare] = accounts;
    const own = lab?.types.find(({ name }) => name === 'cpu')?.password;
    expect(own?.text).not.toBe(lab?.password?.text);
    expect(index.passwordOf('lab')).toBe(lab?.password);
    expect(index.passwordOf('gpu-nodes')).toBe(lab?.password);
    expect(index.passwordOf('lab-cpu')).toBe(own);
    expect(index.passwordOf('lab/whatever')).toBe(lab?.password);
    expect(index.passwordOf('bare-x')).toBe(bare?.types[0]?.password);
    for (const name of ['bare', 'bare/cpu#zen4', 'nobody', '', 'nobody/x'])
      expect(index.passwordOf(name)).toBeUndefined();
  });

  test('has the access tokens that open a user name, one of a type only its login', async () => {
    const { index } = await indexed();
    const opened = (sha256: string | undefined) =>
      ['lab', 'gpu-nodes', 'lab-cpu', 'lab/cpu#zen4', 'bare-x', 'nobody'].filter(
        (name) => index.tokenOf(name, sha256 ?? '') !== undefined,
      );
    expect(opened(TOKEN_HASHES[0])).toEqual(['lab', 'gpu-nodes', 'lab-cpu', 'lab/cpu#zen4']);
    expect(opened(TOKEN_HASHES[1])).toEqual(['gpu-nodes']);
    expect(opened('c'.repeat(43))).toEqual([]);
  });

  test('has the enrolments of all accounts by the hash of their secret', async () => {
    const { index } = await indexed();
    expect(index.enrolmentOf('e'.repeat(43))).toMatchObject({
      ...{ account: { user: 'lab' }, enrolment: { name: 'n1' } },
    });
    expect(index.enrolmentOf('f'.repeat(43))).toBeUndefined();
  });

  test.each([
    ['a user', 'user: lab\n', 'user lab'],
    ['a login that is a user', 'user: other\ntypes: [{ name: x, features: [], login: lab }]\n', 'login lab'],
    [
      'a login of a type',
      'user: other\ntypes: [{ name: x, features: [], login: gpu-nodes }]\n',
      'login gpu-nodes',
    ],
    ['a user that is a login', 'user: gpu-nodes\n', 'login gpu-nodes'],
  ])('refuses %s that two files define, and names both', async (_, written, what) => {
    const { accounts } = await indexed();
    const text = written.replace('\n', `\npassword: "${await hashed('other')}"\n`);
    const other = readMachineFile(text, 'other.yaml');
    expect(() => createAccountIndex([...accounts, other])).toThrow(
      expect.objectContaining({
        ...{ code: 'exists', file: 'other.yaml', why: `the ${what} is taken already` },
        details: expect.objectContaining({ otherFile: 'lab.yaml' }),
      }),
    );
  });
});

test('withToken() gives the same identity for the same pair, and another for any other', () => {
  const identity = { login: 'lab', account: {} as Account } as AccountIdentity;
  const other = { ...identity };
  const [one, two] = [{ name: 'one' }, { name: 'two' }] as never[];
  const pairs = [
    withToken(identity, one as never),
    withToken(identity, two as never),
    withToken(other, one as never),
  ];
  expect(new Set([...pairs, identity]).size).toBe(4);
  expect(pairs[0]).toEqual({ ...identity, token: one });
  expect(withToken(identity, one as never)).toBe(pairs[0]);
  expect(withToken(identity, two as never)).toBe(pairs[1]);
});

test('enrolmentHashOf() recognises the exact form of a secret', () => {
  const secret = `metahub_enrol_${'A'.repeat(43)}`;
  expect(enrolmentHashOf(secret)).toMatch(/^[\w-]{43}$/);
  for (const other of [`${secret}A`, secret.slice(0, -1), `x${secret}`, `metahub_${'A'.repeat(43)}`, ''])
    expect(enrolmentHashOf(other)).toBeUndefined();
});

describe('readAuthorization()', () => {
  const encoded = (text: string) => Buffer.from(text).toString('base64');

  test.each<[string | undefined, object]>([
    [undefined, { kind: 'nothing' }],
    ['', { kind: 'nothing' }],
    ['  ', { kind: 'nothing' }],
    [`Basic ${encoded('lab:p:w ')}`, { kind: 'basic', login: 'lab', password: 'p:w ' }],
    [`bAsIc  ${encoded('lab:')} `, { kind: 'basic', login: 'lab', password: '' }],
    [`Basic ${encoded('é:ü')}`, { kind: 'basic', login: 'é', password: 'ü' }],
    [`Basic ${encoded(':password')}`, { kind: 'malformed' }],
    [`Basic ${encoded('lab')}`, { kind: 'malformed' }],
    [`Basic ${encoded('lab:x')}===`, { kind: 'malformed' }],
    [`Basic ${encoded('lab:x')}-`, { kind: 'malformed' }],
    [`Basic -${encoded('lab:x')}`, { kind: 'malformed' }],
    ['Basic', { kind: 'malformed' }],
    ['Basic ', { kind: 'malformed' }],
    [` Basic ${encoded('lab:x')}`, { kind: 'malformed' }],
    [`Basic ${encoded('lab:x')} more`, { kind: 'malformed' }],
    [`Basic${encoded('lab:x')}`, { kind: 'malformed' }],
    ['Bearer a.b-c', { kind: 'bearer', token: 'a.b-c' }],
    ['bEARER  a ', { kind: 'bearer', token: 'a' }],
    ['Bearer', { kind: 'malformed' }],
    ['Bearer a b', { kind: 'malformed' }],
    ['Digest a', { kind: 'malformed' }],
    ['XBearer a', { kind: 'malformed' }],
  ])('reads %j as %j', (header, expected) => {
    expect(readAuthorization(header)).toEqual(expected);
  });
});

describe('readMachineFeature()', () => {
  test.each([
    ['cpu:zen4', 'cpu:zen4'],
    // As it is written: `match: exact` tells them apart.
    ['cpu:coffeelake', 'cpu:coffeelake'],
    ['x86-64-v3', 'x86-64-v3'],
    ['avx2', 'avx2'],
  ])('reads %j as %j', (written, text) => {
    expect(readMachineFeature(written)).toEqual({ kind: 'feature', text });
  });

  test.each([
    ['cpu:foolake', 'there is no microarchitecture “foolake”'],
    ['site:a,b', '“site:a,b” is not a feature: it may not contain , ; # quotes or backslashes'],
    ['site:a;b', 'it may not contain'],
    ['site:a"b', 'it may not contain'],
    ["site:a'b", 'it may not contain'],
    ['site:a\\b', 'it may not contain'],
    ['site:a#b', 'it may not contain'],
    ['', '“” is not a feature: write cpu:zen4, nvcap:9.0, x86-64-v3 or avx2'],
  ])('refuses %j', (written, why) => {
    expect(readMachineFeature(written)).toEqual({ kind: 'unknown', why: expect.stringContaining(why) });
  });
});
