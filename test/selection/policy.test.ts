import { readFileSync } from 'node:fs';
import { toJsonSchema } from '@valibot/to-json-schema';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { check, type Schema } from '../../src/lib/schema.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { AssumedFeatures, FeatureText } from '../../src/selection/feature-schema.ts';
import { DEFAULT_POLICY, deniedAnnotation } from '../../src/selection/policy.ts';
import { PolicyText, toPolicyChanges, withChanges } from '../../src/selection/policy-schema.ts';
import { readPolicy } from '../support/configuration.ts';

const SHA256 = digestOf(Buffer.from('an entry'));
const SHA512 = digestOf(Buffer.from('an entry'), 'sha512');

describe('PolicyText', () => {
  test('without text is the default', () => {
    expect(readPolicy(undefined)).toEqual(DEFAULT_POLICY);
    expect(readPolicy(null)).toEqual(DEFAULT_POLICY);
    expect(readPolicy({})).toMatchObject(DEFAULT_POLICY);
  });

  test('of a repository overrides the general one', () => {
    const general = readPolicy({ gpu: 'any', baseline: 'v3' });
    expect(readPolicy({ match: 'exact' }, general)).toMatchObject({
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
    ['a pin with spaces around', { pin: ' cpu:skylake ' }, { pin: 'cpu:skylake' }],
    ['a pin by digest', { pin: SHA256 }, { pin: SHA256 }],
    ['a pin by a longer digest', { pin: SHA512 }, { pin: SHA512 }],
    ['text for no', { readConfig: 'false' }, { readConfig: false }],
    ['no', { readConfig: false }, { readConfig: false }],
    ['yes', { readCompatibility: true }, { readCompatibility: true }],
    ['a baseline as text of several', { baseline: ' v3,  avx512f ' }, { baseline: ['x86-64-v3', 'avx512f'] }],
    [
      'a priority with all separators',
      { priority: ' fabric >> cpu, rack site,' },
      { priority: ['fabric', 'cpu', 'rack', 'site'] },
    ],
    ['one prefix of annotations', { denyAnnotations: ' run.oci. ' }, { denyAnnotations: ['run.oci.'] }],
    ['no prefix of annotations', { denyAnnotations: [] }, { denyAnnotations: [] }],
    ['match', { match: 'best' }, { match: 'best' }],
    ['gpu', { gpu: 'all' }, { gpu: 'all' }],
    ['answer auto', { answer: 'auto' }, { answer: 'auto' }],
    ['answer index', { answer: 'index' }, { answer: 'index' }],
    ['answer manifest', { answer: 'manifest' }, { answer: 'manifest' }],
    ['foreign-derived', { 'foreign-derived': 'deliver' }, { foreignDerived: 'deliver' }],
    ['foreign-derived refuse', { 'foreign-derived': 'refuse' }, { foreignDerived: 'refuse' }],
    ['on-no-match refuse', { 'on-no-match': 'refuse' }, { onNoMatch: 'refuse' }],
    ['deny-annotations', { 'deny-annotations': ['a.'] }, { denyAnnotations: ['a.'] }],
    ['read-config', { 'read-config': true }, { readConfig: true }],
    ['read-compatibility', { 'read-compatibility': true }, { readCompatibility: true }],
  ])('reads %s', (_, written, read) => {
    expect(readPolicy(written)).toMatchObject(read);
  });

  test.each([
    [{ match: 'some' }, 'match: “some” is not one of best, exact'],
    [{ answer: 7 }, 'answer: “7” is not one of auto, index, manifest'],
    [{ colour: 'green' }, 'colour: this key does not exist'],
    [{ prioritiy: ['cpu'] }, 'prioritiy: this key does not exist; did you mean priority?'],
    [{ baseline: 'new' }, 'baseline: “new” is not a known CPU flag'],
    [{ pin: '' }, 'pin: a text is expected, not an empty one'],
    [{ pin: '¿que?' }, 'pin: a digest or a feature is expected: “¿que?” is not a feature'],
    [{ priority: [] }, 'priority: a list of kinds of features is expected'],
    [{ allowForeignVendor: 'maybe' }, 'allowForeignVendor: “maybe” is not one of true, false'],
    [['match'], 'a map of keys and values is expected, not a list'],
    ['best', 'a map of keys and values is expected, not a text'],
    [{ baseline: ['avx', 'skylkae'] }, 'write levels such as x86-64-v3 and CPU flags such as avx, or none'],
    [{ baseline: 'nvcap:9.0' }, '“nvcap:9.0” says nothing of a CPU'],
    [{ pin: 'cpu:skylkae' }, 'did you mean skylake?'],
    [{ gpu: 'al' }, 'gpu: “al” is not one of all, any; did you mean all?'],
    [
      { baseline: [] },
      'a baseline is expected: write levels such as x86-64-v3 and CPU flags such as avx, or none',
    ],
    [{ baseline: ['avx', 'gpu:nvidia'] }, '“gpu:nvidia” says nothing of a CPU: write levels'],
    [{ baseline: ['avx', 'none'] }, 'write levels such as x86-64-v3 and CPU flags such as avx, or none'],
    ...['sha256:x', `${SHA256}0`, `sha256:${'A'.repeat(64)}`, `sha1:${'0'.repeat(40)}`].map(
      (pin): [object, string] => [{ pin }, `pin: “${pin}” is no whole digest`],
    ),
    [{ pin: `x ${SHA256}` }, 'pin: a digest or a feature is expected'],
    [{ denyAnnotations: [' '] }, 'a prefix of annotations is expected'],
    [{ readConfig: 1 }, 'readConfig'],
  ])('refuses %j', (written, message) => {
    expect(() => readPolicy(written)).toThrow(message);
  });
});

describe('the changes to a policy', () => {
  test('have one canonical spelling, without absent ones', () => {
    expect(toPolicyChanges({ 'on-no-match': 'upstream', gpu: undefined, readConfig: false })).toStrictEqual({
      onNoMatch: 'upstream',
      readConfig: false,
    });
  });

  test('are applied to another policy, which stays unchanged', () => {
    const changed = withChanges(DEFAULT_POLICY, { gpu: 'any' });
    expect(changed).toEqual({ ...DEFAULT_POLICY, gpu: 'any' });
    expect(Object.isFrozen(changed)).toBe(true);
    expect(DEFAULT_POLICY.gpu).toBe('all');
  });

  test('have descriptions for editors, with examples', () => {
    const { $schema: _, ...described } = toJsonSchema(PolicyText, {
      typeMode: 'input',
      target: 'draft-07',
      ignoreActions: ['raw_check', 'trim', 'raw_transform'],
    });
    const file = new URL('../../schema/settings.schema.json', import.meta.url);
    const { properties } = JSON.parse(readFileSync(file, 'utf8'));
    expect(properties.policy.anyOf[0]).toMatchObject(described);
  });
});

describe('features that people write', () => {
  const problems = (schema: Schema<unknown>, content: unknown) =>
    (check(schema, content).problems ?? []).map(({ why }) => why);

  test('are those that can hold on some host', () => {
    expect(check(FeatureText, 'cpu:zen4').output).toBe('cpu:zen4');
    expect(problems(FeatureText, 'cpu:skylkae')).toEqual([expect.stringContaining('did you mean skylake?')]);
    expect(problems(FeatureText, 'nvcap:none')).toHaveLength(1);
  });

  test('to assume are one or several, and may say that a host has none of a kind', () => {
    expect(check(AssumedFeatures, 'nvcap:none').output).toEqual(['nvcap:none']);
    expect(check(AssumedFeatures, ['cpu:zen4', 'nvcap:none']).output).toEqual(['cpu:zen4', 'nvcap:none']);
    expect(problems(AssumedFeatures, 'cpu:skylkae')).toEqual([
      expect.stringContaining('did you mean skylake?'),
    ]);
    expect(problems(AssumedFeatures, 'nvcap:abc')).toHaveLength(1);
  });

  test('have examples for editors', () => {
    const described = (schema: typeof FeatureText | typeof AssumedFeatures) =>
      toJsonSchema(schema, { typeMode: 'input', ignoreActions: ['raw_check'] });
    expect(described(FeatureText)).toMatchObject({
      examples: ['cpu:zen4', 'x86-64-v3', 'nvcap:9.0', 'avx2'],
    });
    const examples = ['cpu:broadwell', 'nvcap:9.0', 'gpu:none'];
    expect(described(AssumedFeatures)).toMatchObject({ anyOf: [{ examples }, { items: { examples } }] });
  });
});

test.each([
  [undefined, undefined],
  [[], undefined],
  [['run.oci.'], 'run.oci.systemd'],
  [['io.kubernetes.', 'run.oci.'], 'run.oci.systemd'],
  [['run.oci.systemd.'], undefined],
  [['systemd'], undefined],
  [['org.'], 'org.example'],
])('deniedAnnotation() with the prefixes %j finds %s', (denyAnnotations, name) => {
  const annotations = { 'a.b': '1', 'run.oci.systemd': '1', 'org.example': '1' };
  expect(deniedAnnotation(annotations, { ...DEFAULT_POLICY, denyAnnotations })).toBe(name);
});

test('the configuration in docs/selection.md is valid and read as described', () => {
  const page = readFileSync(new URL('../../docs/selection.md', import.meta.url), 'utf8');
  const { policy, repositories } = parse(/```yaml\n([\s\S]*?)```/.exec(page)?.[1] ?? '');
  expect(readPolicy(policy)).toEqual({ ...DEFAULT_POLICY, denyAnnotations: [] });
  const { 'registry.example/db': byTag, ...others } = repositories as Record<string, unknown>;
  expect(byTag).toHaveLength(2);
  const special = Object.values(others).map((one) => readPolicy(one));
  expect(special).toMatchObject([
    { baseline: ['x86-64-v3'] },
    { priority: ['fabric', 'cpu'], pin: 'cpu:skylake', readConfig: true },
  ]);
});
