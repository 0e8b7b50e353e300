import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { loadConfigFile } from '../../src/cli/settings/file.ts';
import { readPolicies } from '../../src/cli/settings/policies.ts';
import { resolveSettings, variableOf } from '../../src/cli/settings/setting.ts';
import { SERVE_SETTINGS } from '../../src/cli/settings/table.ts';
import { UserError } from '../../src/cli/user-error.ts';
import { parseProfile } from '../../src/host/profile-json.ts';
import { parseListSpec } from '../../src/oci/image-list.ts';
import { FUZZ_RUNS } from '../support/fuzz.ts';

const RUNS = { numRuns: FUZZ_RUNS };
const NAMES = Object.keys(SERVE_SETTINGS);

/** What an operator might write for a value, and much that nobody would. */
const value = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom(
    'on',
    'off',
    '5080',
    ':5080',
    '[::1]:80',
    '5s',
    '-1s',
    '50GiB',
    '1e9',
    'docker.io=',
    '=x',
    '∞',
  ),
  fc.string({ unit: fc.constantFrom(...'0123456789.:[]-/=smhdkMGiB*{}'), maxLength: 20 }),
);

/** Nothing but a UserError, with one line that says what is wrong. */
function onlyUserErrors(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    expect(error.message).not.toBe('');
  }
}

describe('any configuration file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'metahub-fuzz-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'config.yaml');
  const line = fc.oneof(
    fc
      .tuple(fc.constantFrom(...NAMES, 'nonsense'), value)
      .map(([name, written]) => `${name}: ${JSON.stringify(written)}`),
    fc.string({ unit: fc.constantFrom(...'ab: -[]{}&*!|>\'"%@#,?\t\n\\'), maxLength: 30 }),
    fc.string({ unit: 'binary', maxLength: 30 }),
  );

  test('is read as settings, or refused with what is wrong', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 5 }), async (lines) => {
        writeFileSync(path, lines.join('\n'));
        const file = await loadConfigFile(path).catch((error: unknown) => {
          expect(error).toBeInstanceOf(UserError);
        });
        if (!file) return;
        const sources = { flags: {}, environment: {}, file: file.content, filePath: path };
        onlyUserErrors(() => resolveSettings(SERVE_SETTINGS, sources));
      }),
      RUNS,
    );
  });
});

describe('any value of a setting', () => {
  test('is read by its parser, or refused with what is wrong, wherever it is written', () => {
    fc.assert(
      fc.property(fc.constantFrom(...NAMES), value, (name, written) => {
        const nothing = { flags: {}, environment: {}, file: {}, filePath: 'config.yaml' };
        const text = typeof written === 'string' ? written : JSON.stringify(written);
        onlyUserErrors(() => resolveSettings(SERVE_SETTINGS, { ...nothing, flags: { [name]: text } }));
        onlyUserErrors(() => resolveSettings(SERVE_SETTINGS, { ...nothing, file: { [name]: written } }));
        const environment = { [variableOf(name)]: text };
        onlyUserErrors(() => resolveSettings(SERVE_SETTINGS, { ...nothing, environment }));
      }),
      RUNS,
    );
  });

  test('is a policy, or refused with what is wrong', () => {
    const key = fc.oneof(
      fc.constantFrom(
        'match',
        'gpu',
        'answer',
        'onNoMatch',
        'allowForeignVendor',
        'priority',
        'pin',
        'baseline',
      ),
      fc.string({ maxLength: 8 }),
    );
    const policy = fc.oneof(fc.dictionary(key, value, { maxKeys: 4 }), value);
    fc.assert(
      fc.property(
        policy,
        fc.oneof(fc.dictionary(fc.string(), policy, { maxKeys: 3 }), value),
        (all, special) => {
          const base = { match: 'best', answer: 'auto', onNoMatch: 'refuse' } as const;
          onlyUserErrors(() => readPolicies({ ...base, policy: all, repositories: special }));
        },
      ),
      RUNS,
    );
  });
});

describe('any document', () => {
  test('is a list of images, or refused with what is wrong', () => {
    const member = fc.oneof(
      fc.record({ image: value, platform: value, annotations: value }, { requiredKeys: [] }),
      value,
    );
    const list = fc.record(
      {
        image: fc.oneof(fc.constant('docker.io/qnib/bench'), value),
        tags: value,
        manifests: fc.array(member),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.oneof(list, value), (document) => {
        try {
          expect(parseListSpec(document).members).toBeInstanceOf(Array);
        } catch (error) {
          // What is wrong, in words: not what JavaScript stumbled over.
          expect(error).not.toBeInstanceOf(TypeError);
          expect(error).toBeInstanceOf(Error);
        }
      }),
      RUNS,
    );
  });

  test('is a profile, or refused with what is wrong', () => {
    const profile = fc.record(
      { platform: value, cpu: value, gpus: value, features: value, warnings: value },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.oneof(profile, value), (document) => {
        try {
          expect(parseProfile(document).features).toBeInstanceOf(Array);
        } catch (error) {
          expect(error).not.toBeInstanceOf(TypeError);
          expect(error).toBeInstanceOf(Error);
        }
      }),
      RUNS,
    );
  });
});
