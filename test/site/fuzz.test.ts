import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readAuthorization } from '../../src/site/auth-header.ts';
import { readMachineFile } from '../../src/site/machine-file.ts';
import { MachineFileError } from '../../src/site/machine-file-error.ts';
import { parseScopes, repositoryNamed } from '../../src/site/scope.ts';
import { formatSelector, parseSelector } from '../../src/site/selector.ts';
import { FUZZ_RUNS } from '../support/fuzz.ts';

const RUNS = { numRuns: FUZZ_RUNS };

describe('any file of machine types', () => {
  const value = fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.constantFrom('broadwell', ['broadwell'], [{ name: 'type1', features: ['broadwell'] }], 'site', '/a/b'),
  );
  const file = fc.record(
    {
      user: fc.oneof(fc.constant('qnib'), value),
      password: value,
      types: fc.oneof(fc.array(fc.record({ name: value, features: value }, { requiredKeys: [] })), value),
      repositories: value,
      upstreamLogins: value,
      managesMachines: value,
    },
    { requiredKeys: [] },
  );
  const text = fc.oneof(
    file.map((content) => JSON.stringify(content)),
    fc.string({ unit: fc.constantFrom(...'user: typ-[]{}&*!|>\'"%@#,?\t\n\\'), maxLength: 80 }),
    fc.string({ unit: 'binary', maxLength: 80 }),
  );

  test('is an account, or refused with its name and what is wrong', () => {
    fc.assert(
      fc.property(text, (source) => {
        try {
          expect(readMachineFile(source, 'a.yml').user).not.toBe('');
        } catch (error) {
          expect(error).toBeInstanceOf(MachineFileError);
          expect((error as Error).message).toMatch(/^a\.yml/);
        }
      }),
      RUNS,
    );
  });
});

describe('whatever a login shows', () => {
  test('Authorization is a login, a token, nothing, or malformed', () => {
    const header = fc.oneof(
      fc.tuple(fc.constantFrom('Basic', 'bearer', 'Digest', ''), fc.string()).map((words) => words.join(' ')),
      fc.string().map((login) => `Basic ${Buffer.from(login).toString('base64')}`),
      fc.string({ maxLength: 200 }),
    );
    fc.assert(
      fc.property(header, (written) => {
        const shown = readAuthorization(written);
        if (shown.kind === 'basic') expect(shown.login).toMatch(/^[^:]+$/s);
        if (shown.kind === 'bearer') expect(shown.token).toMatch(/^\S+$/);
      }),
      RUNS,
    );
  });

  test('a selector reads back as what it was written from', () => {
    const user = fc.string({ unit: fc.constantFrom(...'site/cpu#zen4,:.+_- \u0000'), maxLength: 60 });
    fc.assert(
      fc.property(user, (userName) => {
        const selector = parseSelector(userName);
        if (selector === undefined) return;
        expect(parseSelector(formatSelector(selector.user, selector.features))).toEqual(selector);
      }),
      RUNS,
    );
  });

  test('scopes name repositories that there could be, or are passed over', () => {
    const word = fc.string({
      unit: fc.constantFrom(...'repository:()library/app.io*,pull \u0000'),
      maxLength: 60,
    });
    const scope = fc.oneof(
      word,
      word.map((name) => `repository:${name}:pull`),
    );
    fc.assert(
      fc.property(fc.array(scope, { maxLength: 4 }), (scopes) => {
        for (const { name } of parseScopes(scopes)) expect(repositoryNamed(name)).toBeDefined();
      }),
      RUNS,
    );
  });
});
