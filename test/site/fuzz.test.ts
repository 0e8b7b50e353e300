import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseFeature } from '../../src/host/features.ts';
import { ConfigError } from '../../src/lib/config-error.ts';
import { type Account, accountNameOf, formatSelector, NAME, parseSelector } from '../../src/site/account.ts';
import { readAuthorization } from '../../src/site/authenticate.ts';
import { readMachineFile } from '../../src/site/machine-file.ts';
import { parseScopes, repositoryNamed } from '../../src/site/permissions.ts';
import { FUZZ_RUNS } from '../support/fuzz.ts';

const RUNS = { numRuns: FUZZ_RUNS };

/** Fails when too few of the inputs reached the assertion: a property of inputs that are all refused proves nothing. */
function expectShare(reached: number, least: number): void {
  expect(reached).toBeGreaterThanOrEqual(FUZZ_RUNS * least);
}

const HASH = '$scrypt$ln=4,r=8,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNo';

describe('any file of machine types', () => {
  /** Mostly valid parts: a file is accepted only when all of its parts are. */
  const mostly = <T, U>(valid: fc.Arbitrary<T>, invalid: fc.Arbitrary<U>) =>
    fc.oneof({ weight: 19, arbitrary: valid as fc.Arbitrary<T | U> }, { weight: 1, arbitrary: invalid });
  const feature = mostly(
    fc.constantFrom('nvcap:9.0', 'avx2', 'x86-64-v3', 'site:rome'),
    fc.constantFrom('broadwell!', 'cpu:foolake', 'site:a,b', ''),
  );
  const name = mostly(fc.constantFrom('type1', 'type2', 'gpu', 'a', 'b'), fc.constantFrom('../x', 'a b'));
  const login = mostly(fc.constantFrom('one', 'two', 'three', 'four'), fc.constantFrom('qnib', 'a:b'));
  const type = fc.record(
    { name, features: fc.array(feature, { maxLength: 2 }), login },
    { requiredKeys: ['name'] },
  );
  const value = fc.jsonValue({ maxDepth: 2 });
  const file = fc.record(
    {
      user: mostly(fc.constantFrom('qnib', 'lab'), value),
      password: mostly(fc.constant(HASH), value),
      types: mostly(fc.array(type, { maxLength: 3 }), value),
      repositories: mostly(fc.array(fc.constantFrom('lab/*', '**')), fc.oneof(value, fc.constant(['!x']))),
      upstreamLogins: mostly(fc.constant('/a/b'), fc.constant('a/b')),
      managesMachines: mostly(fc.boolean(), value),
    },
    { requiredKeys: ['user', 'password'] },
  );
  const text = fc.oneof(
    { weight: 8, arbitrary: file.map((content) => JSON.stringify(content)) },
    fc.string({ unit: fc.constantFrom(...'user: typ-[]{}&*!|>\'"%@#,?\t\n\\'), maxLength: 80 }),
    fc.string({ unit: 'binary', maxLength: 80 }),
  );

  test('is an account whose parts are valid, or refused with its name and what is wrong', () => {
    const outcomes = { accepted: 0, refused: 0 };
    fc.assert(
      fc.property(text, (source) => {
        const read = () => readMachineFile(source, 'a.yml');
        let account: Account;
        try {
          account = read();
        } catch (error) {
          if (!(error instanceof ConfigError)) throw error;
          expect(error.message).toMatch(/^a\.yml:\d+:\d+: ./);
          expect(error.why).not.toContain('a.yml');
          outcomes.refused += 1;
          return;
        }
        outcomes.accepted += 1;
        expect(account.user).toMatch(NAME);
        const logins = [account.user, ...account.types.map(({ login }) => login)];
        expect(new Set(logins).size).toBe(logins.length);
        for (const { login, features } of account.types) {
          expect(login).toMatch(NAME);
          for (const text of features) expect(parseFeature(text)).toBeDefined();
          expect(features.join(' ')).not.toMatch(/[,;#]|foolake/);
        }
        for (const pattern of account.repositories) expect(pattern).toMatch(/^[\w.:/*?[\]{},-]+$/);
        expect([undefined, '/a/b']).toContain(account.upstreamLogins);
      }),
      RUNS,
    );
    expectShare(outcomes.accepted, 0.1);
    expectShare(outcomes.refused, 0.1);
  });
});

describe('whatever a client presents', () => {
  test('an Authorization header is parsed according to RFC 7617 and RFC 6750, or is malformed', () => {
    const counts = { basic: 0, bearer: 0, nothing: 0, malformed: 0 };
    const login = fc.tuple(fc.string({ minLength: 1 }), fc.string()).filter(([user]) => !user.includes(':'));
    const header = fc.oneof(
      login.map(([user, password]) => ({ user, password })),
      fc.stringMatching(/^[\w.~+/-]+=*$/).map((token) => ({ token })),
      fc.string({ maxLength: 200 }).map((written) => ({ written })),
      fc
        .tuple(fc.constantFrom('Basic', 'Digest', ''), fc.string())
        .map((words) => ({ written: words.join(' ') })),
    );
    fc.assert(
      fc.property(header, (input) => {
        if ('user' in input) {
          const { user, password } = input;
          const encoded = Buffer.from(`${user}:${password}`).toString('base64');
          const text = Buffer.from(`${user}:${password}`).toString();
          expect(readAuthorization(`Basic ${encoded}`)).toEqual({
            kind: 'basic',
            login: text.slice(0, text.indexOf(':')),
            password: text.slice(text.indexOf(':') + 1),
          });
          counts.basic += 1;
        } else if ('token' in input) {
          expect(readAuthorization(`bearer ${input.token}`)).toEqual({ kind: 'bearer', token: input.token });
          counts.bearer += 1;
        } else {
          const { kind } = readAuthorization(input.written);
          counts[kind] += 1;
          if (input.written.trim() === '') expect(kind).toBe('nothing');
          if (!/^(?:basic|bearer) /i.test(input.written)) expect(['nothing', 'malformed']).toContain(kind);
        }
      }),
      RUNS,
    );
    expectShare(counts.basic, 0.1);
    expectShare(counts.bearer, 0.1);
    expectShare(counts.malformed, 0.1);
  });

  test('a selector reads back as what it was written from', () => {
    let read = 0;
    const part = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._+-]{0,8}(?:#[A-Za-z0-9][A-Za-z0-9._+-]{0,8})?$/);
    const userName = fc.oneof(
      fc
        .tuple(fc.constantFrom('site', 'a.b'), fc.array(part, { minLength: 1, maxLength: 6 }))
        .map(([user, parts]) => `${user}/${parts.join(',')}`),
      fc.string({ unit: fc.constantFrom(...'site/cpu#zen4,:.+_- \u0000'), maxLength: 60 }),
    );
    fc.assert(
      fc.property(userName, (written) => {
        const selector = parseSelector(written);
        if (selector === undefined) return;
        read += 1;
        expect(accountNameOf(written)).toBe(selector.user);
        expect(selector.features.join(' ')).not.toMatch(/[#,\s]\S*[#,]/);
        expect(parseSelector(formatSelector(selector.user, selector.features))).toEqual(selector);
      }),
      RUNS,
    );
    expectShare(read, 0.3);
  });

  test('scopes are parsed to valid repository names with the written actions, or are ignored', () => {
    const counts = { granted: 0, passedOver: 0 };
    const name = fc.oneof(
      fc.constantFrom('library/app', 'app', 'ghcr.io/lab/app', 'localhost:5000/a/b'),
      fc.string({ unit: fc.constantFrom(...'library/app.io-_A*,:'), minLength: 1, maxLength: 20 }),
    );
    const actions = fc.constantFrom('pull', 'pull,push', '*', '', 'delete');
    const scope = fc.tuple(name, actions).map(([named, wanted]) => ({ named, wanted }));
    fc.assert(
      fc.property(scope, ({ named, wanted }) => {
        const grants = parseScopes([`repository:${named}:${wanted}`, 'registry:catalog:*', 'repository']);
        if (grants.length === 0) {
          counts.passedOver += 1;
          return;
        }
        counts.granted += 1;
        expect(grants).toEqual([{ type: 'repository', name: named, actions: wanted.split(',') }]);
        expect(repositoryNamed(named)).toBeDefined();
      }),
      RUNS,
    );
    expectShare(counts.granted, 0.3);
    expectShare(counts.passedOver, 0.1);
  });
});
