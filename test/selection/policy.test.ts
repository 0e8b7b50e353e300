import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { DEFAULT_POLICY } from '../../src/selection/policy.ts';
import { parsePolicy } from '../../src/selection/policy-schema.ts';

describe('parsePolicy()', () => {
  test('nothing written is the default', () => {
    expect(parsePolicy(undefined)).toEqual(DEFAULT_POLICY);
    expect(parsePolicy(null)).toEqual(DEFAULT_POLICY);
    expect(parsePolicy({})).toMatchObject(DEFAULT_POLICY);
  });

  test('a repository’s policy stands on top of the general one', () => {
    const general = parsePolicy({ gpu: 'any', baseline: 'v3' });
    expect(parsePolicy({ match: 'exact' }, general)).toMatchObject({
      gpu: 'any',
      match: 'exact',
      baseline: ['x86-64-v3'],
    });
  });

  test.each([
    ['on-no-match', { 'on-no-match': 'upstream' }, { onNoMatch: 'upstream' }],
    ['allow-foreign-vendor', { 'allow-foreign-vendor': true }, { allowForeignVendor: true }],
    ['text for a boolean', { allowForeignVendor: 'true' }, { allowForeignVendor: true }],
    ['a priority as a list', { priority: ['fabric', 'cpu'] }, { priority: ['fabric', 'cpu'] }],
    ['a priority as text', { priority: 'fabric > cpu' }, { priority: ['fabric', 'cpu'] }],
    ['a baseline in archspec’s spelling', { baseline: 'x86_64_v2' }, { baseline: ['x86-64-v2'] }],
    [
      'a baseline of several features',
      { baseline: ['avx', 'arm64-v8.2'] },
      { baseline: ['avx', 'arm64-v8.2'] },
    ],
    ['no baseline, whatever the catalogue says', { baseline: 'none' }, { baseline: [] }],
    ['a pin by feature', { pin: 'cpu:skylake' }, { pin: 'cpu:skylake' }],
  ])('reads %s', (_, written, read) => {
    expect(parsePolicy(written)).toMatchObject(read);
  });

  test.each([
    [{ match: 'some' }, 'match: “some” is none of best, exact'],
    [{ answer: 7 }, 'answer: “7” is none of auto, index, manifest'],
    [{ colour: 'green' }, 'colour: this key does not exist'],
    [{ prioritiy: ['cpu'] }, 'prioritiy: this key does not exist; did you mean priority?'],
    [{ baseline: 'new' }, 'baseline: “new” is no CPU flag that is known'],
    [{ pin: '' }, 'pin: a text is expected, not an empty one'],
    [{ pin: '¿que?' }, 'pin: a digest or a feature is expected: “¿que?” is no feature'],
    [{ priority: [] }, 'priority: a list of kinds of features is expected'],
    [{ allowForeignVendor: 'maybe' }, 'allowForeignVendor: “maybe” is none of true, false'],
    [['match'], 'a map of keys and values is expected, not a list'],
    ['best', 'a map of keys and values is expected, not a text'],
    [{ baseline: ['avx', 'skylkae'] }, 'write levels such as x86-64-v3 and CPU flags such as avx, or none'],
    [{ baseline: 'nvcap:9.0' }, '“nvcap:9.0” says nothing of a CPU'],
    [{ pin: 'cpu:skylkae' }, 'did you mean skylake?'],
    [{ gpu: 'al' }, 'gpu: “al” is none of all, any; did you mean all?'],
  ])('refuses %j', (written, message) => {
    expect(() => parsePolicy(written)).toThrow(message);
  });
});

test('the configuration that docs/selection.md shows is read as it says', () => {
  const page = readFileSync(new URL('../../docs/selection.md', import.meta.url), 'utf8');
  const { policy, repositories } = parse(/```yaml\n([\s\S]*?)```/.exec(page)?.[1] ?? '');
  expect(parsePolicy(policy)).toEqual({ ...DEFAULT_POLICY, denyAnnotations: [] });
  const { 'registry.example/db': byTag, ...others } = repositories as Record<string, unknown>;
  expect(byTag).toHaveLength(2);
  const special = Object.values(others).map((one) => parsePolicy(one));
  expect(special).toMatchObject([
    { baseline: ['x86-64-v3'] },
    { priority: ['fabric', 'cpu'], pin: 'cpu:skylake', readConfig: true },
  ]);
});
