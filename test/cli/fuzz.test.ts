import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { loadConfigFile } from '../../src/cli/settings/file.ts';
import { createPolicies, RepositoryPolicyMap } from '../../src/cli/settings/policies.ts';
import { resolveSettings, variableOf } from '../../src/cli/settings/setting.ts';
import { SERVE_SETTINGS } from '../../src/cli/settings/table.ts';
import { parseProfile } from '../../src/host/profile-json.ts';
import { ConfigError } from '../../src/lib/config-error.ts';
import { readValue } from '../../src/lib/config-source.ts';

import { PolicyText } from '../../src/selection/policy-schema.ts';
import { readList } from '../support/configuration.ts';
import { FUZZ_RUNS } from '../support/fuzz.ts';
import { countReached } from '../support/reached.ts';
import { openWorkplace } from '../support/workplace.ts';

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

/** Nothing but a ConfigError, with a line for everything that is wrong. */
function onlyConfigErrors(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const one of [error, ...error.further]) expect(one.why).not.toBe('');
  }
}

describe('any configuration file', () => {
  const workplace = openWorkplace();
  afterAll(() => workplace.close());
  const path = join(workplace.directory, 'config.yaml');
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
          expect(error).toBeInstanceOf(ConfigError);
        });
        fc.pre(file !== undefined);
        const sources = { flags: {}, environment: {}, file: file.content, filePath: path };
        onlyConfigErrors(() => resolveSettings(SERVE_SETTINGS, sources));
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
        onlyConfigErrors(() => resolveSettings(SERVE_SETTINGS, { ...nothing, flags: { [name]: text } }));
        onlyConfigErrors(() => resolveSettings(SERVE_SETTINGS, { ...nothing, file: { [name]: written } }));
        const environment = { [variableOf(name)]: text };
        onlyConfigErrors(() => resolveSettings(SERVE_SETTINGS, { ...nothing, environment }));
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
          onlyConfigErrors(() => {
            const policies = readValue(PolicyText, all);
            createPolicies({
              ...base,
              policy: policies,
              repositories: readValue(RepositoryPolicyMap, special),
            });
          });
        },
      ),
      RUNS,
    );
  });
});

/** Reads a document; how it was taken, and an error that is not in words of ours fails. */
function read(work: () => unknown): 'accepted' | 'refused' {
  try {
    work();
    return 'accepted';
  } catch (error) {
    // An assertion that failed inside is no refusal.
    if (error instanceof Error && error.name === 'AssertionError') throw error;
    // What is wrong, in words: not what JavaScript stumbled over.
    expect(error).toBeInstanceOf(Error);
    expect([TypeError, ReferenceError, RangeError, SyntaxError].some((type) => error instanceof type)).toBe(
      false,
    );
    return 'refused';
  }
}

/** Tries a property on documents of which a share is to be accepted, and a share refused. */
function acceptsAndRefuses<T>(documents: fc.Arbitrary<T>, parse: (document: T) => unknown): void {
  const accepted = countReached();
  const refused = countReached();
  fc.assert(
    fc.property(documents, (document) => {
      accepted.tried();
      refused.tried();
      (read(() => parse(document)) === 'accepted' ? accepted : refused).reached();
    }),
    RUNS,
  );
  accepted.expectShare(0.2);
  refused.expectShare(0.2);
}

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
    const word = fc.stringMatching(/^[a-z]{1,6}$/);
    const goodMember = fc.record(
      {
        image: word.map((name) => `docker.io/qnib/${name}:v1`),
        platform: fc.record(
          {
            os: fc.constantFrom('linux', 'windows'),
            architecture: word,
            variant: word,
            features: fc.array(fc.constantFrom('cpu:zen4', 'nvcap:9.0', 'avx2')),
          },
          { requiredKeys: ['os', 'architecture'] },
        ),
        annotations: fc.dictionary(word, fc.oneof(word, fc.integer(), fc.boolean())),
      },
      { requiredKeys: ['image'] },
    );
    const goodList = fc.record(
      {
        image: fc.constant('docker.io/qnib/bench'),
        tags: fc.array(word, { minLength: 1 }),
        manifests: fc.array(goodMember, { minLength: 1, maxLength: 4 }),
      },
      { requiredKeys: ['image', 'manifests'] },
    );
    acceptsAndRefuses(fc.oneof(goodList, list, value), (document) => {
      const { members } = readList(document);
      expect(members.map(({ image }) => image)).toEqual(
        (document as { manifests: { image: string }[] }).manifests.map(({ image }) => image),
      );
    });
  });

  test('is a profile, or refused with what is wrong', () => {
    const profile = fc.record(
      { platform: value, cpu: value, gpus: value, features: value, warnings: value },
      { requiredKeys: [] },
    );
    const word = fc.stringMatching(/^[a-z]{1,6}$/);
    const good = fc.record({
      platform: fc.record(
        { os: word, architecture: word, variant: word },
        { requiredKeys: ['os', 'architecture'] },
      ),
      cpu: fc.record(
        { microarchitecture: word, vendor: word, compatible: fc.array(word), flags: fc.array(word) },
        { requiredKeys: ['microarchitecture', 'compatible', 'flags'] },
      ),
      gpus: fc.array(fc.record({ vendor: word, integrated: fc.boolean() }, { requiredKeys: ['vendor'] })),
      features: fc.array(fc.constantFrom('cpu:zen4', 'avx2', 'rack:b12')),
      warnings: fc.array(word),
    });
    acceptsAndRefuses(fc.oneof(good, profile, value), (document) => {
      expect(parseProfile(document).features).toEqual((document as { features: unknown }).features);
    });
  });
});
