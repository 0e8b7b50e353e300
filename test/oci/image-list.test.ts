import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import {
  answersTo,
  type FeatureSchema,
  type ListMember,
  memberImage,
  memberName,
} from '../../src/oci/image-list.ts';
import { formatReference, parseTag, type Tag } from '../../src/oci/reference.ts';
import { readList } from '../support/configuration.ts';

const tag = (text: string) => parseTag(text) as Tag;
const AMD64 = { os: 'linux', architecture: 'amd64' };

const SEED = {
  image: 'docker.io/qnib/bench',
  manifests: [
    {
      image: 'docker.io/qnib/plain-featuretest:cpu-skylake',
      platform: { ...AMD64, features: ['cpu:skylake'] },
    },
    { image: 'docker.io/qnib/plain-featuretest:generic', platform: AMD64 },
  ],
};
const PATTERN = {
  image: 'docker.io/vdaas/vald-agent-ngt',
  tags: 'v*',
  manifests: [
    { image: 'docker.io/vdaas/vald-agent-ngt:{tag}-avx512', platform: { ...AMD64, features: ['x86-64-v4'] } },
    { image: 'docker.io/vdaas/vald-agent-ngt:{tag}' },
  ],
};

describe('listSchema()', () => {
  test('accepts a list without tags for its image’s own tag', () => {
    const spec = readList(SEED);
    expect(answersTo(spec, tag('latest'))).toBe(true);
    expect(answersTo(spec, tag('1.0'))).toBe(false);
    expect(answersTo(readList({ ...SEED, image: 'qnib/bench:1.0' }), tag('1.0'))).toBe(true);
  });

  test('replaces {tag} in a member by the requested tag', () => {
    const spec = readList(PATTERN);
    const images = spec.members.map((member) => memberImage(spec, member, tag('v1.7')));
    expect(images.map((image) => image && formatReference(image.repository, image.reference))).toEqual([
      'docker.io/vdaas/vald-agent-ngt:v1.7-avx512',
      'docker.io/vdaas/vald-agent-ngt:v1.7',
    ]);
    expect(spec.members[1]?.platform).toBeUndefined();
  });

  test('returns no member rather than a wrong one for a tag too long to be extended', () => {
    const spec = readList(PATTERN);
    const [member] = spec.members;
    expect(member && memberImage(spec, member, tag('v'.repeat(128)))).toBeUndefined();
  });

  test.each([
    ['v*', 'v1', true],
    ['v*', 'w1', false],
    ['*-cpu', '1-cpu', true],
    ['a*b*c', 'a-b-c', true],
    ['a*b*c', 'abc', true],
    ['a*b*c', 'ac', false],
    ['ab*ba', 'aba', false],
    ['*', 'anything', true],
    ['a**b', 'ab', true],
    ['1.0', '1x0', false],
    ['[0-9]*', '1.9', true],
    ['[0-9]*', 'cpu-1.9', false],
    ['[0-9].?', '1.9', true],
    ['[0-9].?', '1.10', false],
    ['v[!0-9a-f]', 'vg', true],
    ['v[!0-9a-f]', 'va', false],
    ['v[a-]', 'v-', true],
  ])('matches the pattern %s and the tag %s: %s', (pattern, asked, expected) => {
    expect(answersTo(readList({ ...PATTERN, tags: [pattern] }), tag(asked))).toBe(expected);
  });

  test('replaces {1} in a member by the text that the first * of the pattern matches', () => {
    const spec = readList({
      image: 'ghcr.io/ggml-org/llama.cpp',
      tags: 'server-b*',
      manifests: [{ image: 'ghcr.io/ggml-org/llama.cpp:server-cuda-b{1}', platform: AMD64 }],
    });
    const [image] = spec.members.map((member) => memberImage(spec, member, tag('server-b4719')));
    expect(image && formatReference(image.repository, image.reference)).toBe(
      'ghcr.io/ggml-org/llama.cpp:server-cuda-b4719',
    );
  });

  test('removes the tags of a pattern after !, wherever it is in the list', () => {
    for (const tags of [
      ['v*', '!*-*'],
      ['!*-*', 'v*'],
    ]) {
      const spec = readList({ ...PATTERN, tags });
      expect(answersTo(spec, tag('v1.7'))).toBe(true);
      expect(answersTo(spec, tag('v1.7-avx512'))).toBe(false);
    }
  });

  test('refuses a pattern with a message that names the valid wildcards', () => {
    for (const tags of ['[0-9', '[]', '[9-0]', 'v{1,2}', 'v:1', 'a b', '!', `v${'*'.repeat(300)}`]) {
      expect(() => readList({ ...PATTERN, tags }), tags).toThrow(
        /neither a tag nor a pattern of tags: \* stands for any characters, \? for one, \[0-9\] for one of a set/,
      );
    }
  });

  test('refuses a long tag that nearly matches after at most pattern times tag comparisons', () => {
    const spec = readList({ ...PATTERN, tags: `${'a*'.repeat(60)}b` });
    let comparisons = 0;
    const count =
      (compare: (character: string) => boolean) =>
      (character: string): boolean => {
        comparisons += 1;
        if (comparisons > 61 * 128) throw new Error('the work grows beyond all bounds');
        return compare(character);
      };
    const tags = spec.tags.map((pattern) => ({
      ...pattern,
      steps: pattern.steps.map((step) => (step === '*' ? step : count(step))),
    }));
    expect(answersTo({ ...spec, tags }, tag('a'.repeat(128)))).toBe(false);
    expect(comparisons).toBeGreaterThan(128);
  });

  test.each([
    ['text', /^a map of keys and values is expected, not a text$/],
    [{ ...SEED, image: 'UPPER' }, /^image: “UPPER” is not an image name/],
    [{ ...SEED, image: `a@sha256:${'0'.repeat(64)}` }, /cannot be named by a digest/],
    [{ ...SEED, manifests: [] }, /needs manifests/],
    [{ ...SEED, manifest: [] }, /^manifest: this key does not exist; did you mean manifests\?/],
    [{ ...SEED, tags: 'v:1' }, /is neither a tag/],
    [{ ...SEED, tags: '!v*' }, /only take tags away/],
    [
      { ...SEED, tags: ['a*', 'b'], manifests: [{ image: 'a:{1}', platform: AMD64 }] },
      /^manifests\[0\]\.image: \{1\} of a:\{1\} stands for a \*/,
    ],
    [
      { ...SEED, manifests: [{ image: 'a:1', platform: [] }] },
      /^manifests\[0\]\.platform: a map of keys and values is expected, not a list/,
    ],
    [
      { ...SEED, manifests: [{ image: 'a:1', annotations: { a: { b: 'c' } } }] },
      /^manifests\[0\]\.annotations\.a: a text or a number or true or false is expected, not a map/,
    ],
    [
      { ...SEED, manifests: [{ image: 'a:1', platform: { os: 'linux' } }] },
      /^manifests\[0\]\.platform\.architecture: this key is missing/,
    ],
    [{ ...SEED, manifests: [{ image: 'a/{tag}/b:1', platform: AMD64 }] }, /\{tag\} may stand in the tag/],
    [
      { ...SEED, manifests: [{ image: 'a:1', platform: { ...AMD64, feature: ['x'] } }] },
      /^manifests\[0\]\.platform\.feature: this key does not exist; did you mean features\?/,
    ],
  ])('refuses %j', (value, why) => {
    expect(() => readList(value)).toThrow(why);
  });
});

describe('a member of a list', () => {
  const memberOf = (member: object, feature?: FeatureSchema) => {
    const [first] = readList({ image: 'a', manifests: [member] }, feature).members;
    if (first === undefined) throw new Error('the list has no members');
    return first;
  };

  test('may have only an image', () => {
    expect(memberOf({ image: 'b:1' })).toEqual({ image: 'b:1', platform: undefined, annotations: {} });
  });

  test('is read with all properties of its platform, in their canonical spelling', () => {
    const platform = {
      os: 'Linux',
      architecture: 'aarch64',
      variant: '9',
      features: ['cpu:neoverse_v2'],
      'os.features': ['x'],
    };
    expect(memberOf({ image: 'b:1', platform }).platform).toEqual({
      os: 'linux',
      architecture: 'arm64',
      variant: 'v9',
      features: ['cpu:neoverse_v2'],
      osFeatures: ['x'],
    });
  });

  test('has no variant and no features when its platform has none', () => {
    expect(memberOf({ image: 'b:1', platform: AMD64 }).platform).toEqual({
      ...AMD64,
      features: [],
      osFeatures: [],
    });
  });

  test('accepts numbers and booleans of YAML as the text that they were written as', () => {
    expect(memberOf({ image: 'b:1', annotations: { a: 1, b: true, c: 'x' } }).annotations).toEqual({
      a: '1',
      b: 'true',
      c: 'x',
    });
  });

  test.each([
    [
      { image: 'b:1', annotations: { a: null } },
      /^manifests\[0\]\.annotations\.a: .* is expected, not nothing/,
    ],
    [{ image: 'b:1', annotations: [] }, /^manifests\[0\]\.annotations: a map/],
    [{ image: 'B' }, /^manifests\[0\]\.image: “B” is not an image name/],
    [{ image: 'b:{9}' }, /\{9\} of b:\{9\} stands for a \*/],
    [{ image: '{1}/b' }, /\{1\} may stand in the tag of \{1\}\/b only/],
    [{ image: 'b{9}:x' }, /\{9\} may stand in the tag/],
    [{ image: 'b', platform: { ...AMD64, variant: 3 } }, /variant/],
  ])('%j is refused with the problem', (member, why) => {
    expect(() => memberOf(member)).toThrow(why);
  });

  test('is refused with the problem of its features, and its place', () => {
    const check = v.pipe(v.string(), v.notValue('cpu:skylkae', 'did you mean cpu:skylake?'));
    const member = { image: 'b', platform: { ...AMD64, features: ['cpu:zen4', 'cpu:skylkae'] } };
    expect(() => memberOf(member, check)).toThrow(
      'manifests[0].platform.features[1]: did you mean cpu:skylake?',
    );
    expect(
      memberOf({ image: 'b', platform: { ...AMD64, features: ['cpu:zen4'] } }, check).platform?.features,
    ).toEqual(['cpu:zen4']);
  });
});

describe('the name of a member', () => {
  const read = () => {
    const spec = readList({
      image: 'a',
      tags: ['v*-*', '!v*-rc'],
      manifests: [{ image: 'b:{2}-{1}' }, { image: 'c:x{tag}' }, { image: 'd' }, { image: 'c:y' }],
    });
    const [swapped, prefixed, fixed] = spec.members as [ListMember, ListMember, ListMember];
    return { spec, swapped, prefixed, fixed };
  };

  test('contains the text that the stars of the pattern match', () => {
    const { spec, swapped, prefixed, fixed } = read();
    expect(memberName(spec, swapped, tag('v1-avx'))).toBe('b:avx-1');
    expect(memberName(spec, prefixed, tag('v1-avx'))).toBe('c:xv1-avx');
    expect(memberName(spec, fixed, tag('v1-avx'))).toBe('d');
  });

  test('contains no matched text when the tag does not match', () => {
    const { spec, swapped } = read();
    expect(memberName(spec, swapped, tag('w'))).toBe('b:-');
    expect(memberName(spec, swapped, tag('v1-rc'))).toBe('b:-');
  });

  test('is not an image where the name is not valid', () => {
    const { spec, swapped } = read();
    expect(memberImage(spec, swapped, tag('w'))).toBeUndefined();
  });
});
