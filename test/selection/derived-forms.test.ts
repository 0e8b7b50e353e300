import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { parseManifestDocument } from '../../src/oci/manifest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { answerFor } from '../../src/selection/answer.ts';
import { derivedForms } from '../../src/selection/derived-forms.ts';
import { DEFAULT_POLICY, type SelectionPolicy } from '../../src/selection/policy.ts';
import { hostOf } from '../support/host-of.ts';
import { documentOf, type EntrySpec } from '../support/index-fixture.ts';
import { longestTurnMs } from '../support/loop-blocks.ts';

const INDEXES: Readonly<Record<string, Readonly<Record<string, EntrySpec>>>> = {
  'entries of two platforms': {
    generic: '',
    skylake: 'cpu:skylake',
    broadwell: 'cpu:broadwell',
    gpu: 'cpu:broadwell nvcap:5.2',
    arm: { on: 'linux/arm64', variant: 'v8' },
    graviton: { on: 'linux/arm64', features: 'cpu:neoverse_n1' },
  },
  'levels as variants': { v2: { variant: 'v2' }, v3: { variant: 'v3' }, v1: {} },
  'variants of arm': {
    v6: { on: 'linux/arm', variant: 'v6' },
    plain: { on: 'linux/arm' },
    gpu: { on: 'linux/arm', features: 'cpu:neoverse_n1' },
  },
  'attestations and artifacts': {
    skylake: 'cpu:skylake',
    generic: '',
    about: { about: 'skylake' },
    other: { about: 'generic' },
    soci: { artifactType: 'application/vnd.amazon.soci.index.v2+json' },
  },
  'twins of one demand': {
    gzip: 'cpu:skylake',
    zstd: { features: 'cpu:skylake', annotations: { 'io.github.containers.compression.zstd': 'true' } },
    generic: '',
  },
  'no other platform than one that is refused': { zen5: 'cpu:zen5', v4: { variant: 'v4' } },
  'nothing that every host runs': { zen3: 'cpu:zen3', arm: { on: 'linux/arm64' } },
};

const HOSTS = [
  ...['cpu:haswell', 'cpu:broadwell', 'cpu:skylake', 'cpu:zen3', 'cpu:broadwell nvcap:9.0', 'cpu:x86_64'],
  ...['cpu:neoverse_n1', 'cpu:neoverse_v2', 'cpu:aarch64', 'cpu:arm', 'cpu:power9le'],
];

const POLICIES: readonly Partial<SelectionPolicy>[] = [
  {},
  { match: 'exact' },
  { allowForeignVendor: true },
  { baseline: ['x86-64-v3'] },
];

describe.each(Object.entries(INDEXES))('derivedForms() of %s', (_, entries) => {
  const { document } = documentOf(entries);

  test.each(POLICIES)('contain what every host is served, under %j', (changes) => {
    const policy = { ...DEFAULT_POLICY, ...changes };
    const forms = new Map([...derivedForms(document, policy)].map((form) => [form.digest, form]));
    const derived = HOSTS.flatMap((host) => {
      const answer = answerFor(document, hostOf(host), policy, { acceptsIndex: true });
      return answer.kind === 'derived' ? [answer] : [];
    });
    const given = derived.map(({ digest, bytes, selection }) => ({
      digest,
      text: bytes.toString(),
      hasDemands: selection.winner !== undefined,
    }));
    const found = given.map(({ digest }) => {
      const form = forms.get(digest);
      return { digest, text: form?.bytes.toString(), hasDemands: form?.demands !== undefined };
    });
    expect(found).toEqual(given);
  });

  test('contain at most one form per candidate and one per platform', () => {
    const platforms = new Set(
      document.entries.map(({ platform }) => `${platform?.os}/${platform?.architecture}`),
    );
    const forms = [...derivedForms(document, DEFAULT_POLICY)];
    expect(new Set(forms.map(({ digest }) => digest)).size).toBeLessThanOrEqual(
      document.entries.length + platforms.size,
    );
  });
});

test.each<readonly [string, Readonly<Record<string, EntrySpec>>, readonly (readonly unknown[])[]]>([
  [
    'for each platform, each of its entries that may win, and none',
    {
      plain: '',
      skylake: 'cpu:skylake',
      about: { about: 'skylake' },
      arm: { on: 'linux/arm64' },
      n1: { on: 'linux/arm64', features: 'cpu:neoverse_n1' },
      unknown: { on: 'unknown/unknown' },
      any: { on: 'none' },
    },
    [
      ['linux/amd64', '', 0],
      ['linux/amd64', 'cpu:skylake', 1],
      ['linux/amd64', undefined, undefined],
      ['linux/arm64', '', 3],
      ['linux/arm64', 'cpu:neoverse_n1', 4],
      ['linux/arm64', undefined, undefined],
    ],
  ],
  [
    'for hosts of arm with and without a variant',
    { v6: { on: 'linux/arm', variant: 'v6' }, plain: { on: 'linux/arm' } },
    [
      ['linux/arm', 'variant:v6', 0],
      ['linux/arm', 'variant:v7', 1],
      ['linux/arm', undefined, undefined],
      ['linux/arm', 'variant:v6', 0],
      ['linux/arm', 'variant:v7', 1],
      ['linux/arm', undefined, undefined],
    ],
  ],
  ['of an index that nobody runs all of', { plain: '' }, [['linux/amd64', undefined, undefined]]],
])('derivedForms() are %s', (_, entries, forms) => {
  const made = [...derivedForms(documentOf(entries).document, DEFAULT_POLICY)];
  expect(made.map(({ platform, demands, position }) => [platform, demands, position])).toEqual(forms);
});

test('the indexes that test derivedForms() give some hosts a derived index', () => {
  const answers = Object.values(INDEXES).flatMap((entries) =>
    HOSTS.map((host) =>
      answerFor(documentOf(entries).document, hostOf(host), DEFAULT_POLICY, { acceptsIndex: true }),
    ),
  );
  expect(answers.filter(({ kind }) => kind === 'derived').length).toBeGreaterThan(15);
});

test('derivedForms() are empty for hundreds of platforms with only attestations and artifacts', async () => {
  const manifests = Array.from({ length: 600 }, (_, at) => ({
    mediaType: MEDIA_TYPE.ociManifest,
    digest: digestOf(Buffer.from(String(at))),
    size: 1,
    platform: { os: 'linux', architecture: `a${at}` },
    ...(at % 2 === 0
      ? { artifactType: 'application/x' }
      : { annotations: { 'vnd.docker.reference.type': 'x' } }),
  }));
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests }));
  const document = parseManifestDocument(bytes);
  if (document.kind !== 'index') throw new Error('it is not an index');
  const look = async () => expect([...derivedForms(document, DEFAULT_POLICY)]).toEqual([]);
  // What takes time here is taken at once: nothing is found after which others would have their turn.
  expect(await longestTurnMs(look)).toBeLessThan(50);
});
