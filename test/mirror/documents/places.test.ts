import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Lexer } from 'yaml';
import { profileOfFeatures } from '../../../src/host/assumed-features.ts';
import { denyAnnotations } from '../../../src/mirror/deny-annotations.ts';
import { DerivedSearch } from '../../../src/mirror/derived-search.ts';
import { readAside } from '../../../src/mirror/documents/reading.ts';
import { createCompatibilityReader, createEnvironmentReader } from '../../../src/mirror/entry-demands.ts';
import { filterReferrers } from '../../../src/mirror/referrers.ts';
import { tailored } from '../../../src/mirror/tailored.ts';
import { virtual } from '../../../src/mirror/virtual.ts';
import { type Digest, digestOf } from '../../../src/oci/digest.ts';

import { parseManifestDocument } from '../../../src/oci/manifest.ts';
import { MEDIA_TYPE } from '../../../src/oci/media-type.ts';
import { parseTag, type Tag } from '../../../src/oci/reference.ts';
import { MANIFEST_MAX_BYTES, type Registry } from '../../../src/oci/registry.ts';
import { type DerivedForm, derivedForms } from '../../../src/selection/derived-forms.ts';
import { DEFAULT_POLICY } from '../../../src/selection/policy.ts';
import { upstreamAt } from '../../../src/upstream/settings.ts';
import { readList } from '../../support/configuration.ts';
import { createFakeRegistry, type FakeRegistry } from '../../support/fake-registry.ts';
import { startServer } from '../../support/hostile-registry.ts';
import { closing, repository, tagged, upstreamTo } from '../../support/upstream.ts';

const APP = repository('team/app');
const LINUX = { os: 'linux', architecture: 'amd64' };
/** What may be parsed on the event loop's thread. */
const SMALL_BYTES = 64 * 1024;
const PAD = { pad: 'x'.repeat(MANIFEST_MAX_BYTES - 4096) };
/** The largest configuration that is read. */
const CONFIG_PAD = 'x'.repeat(1024 * 1024 - 512);
const LATEST = parseTag('latest') as Tag;

const INDEX = Buffer.from(
  JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [], annotations: PAD }),
);
const NFD = 'application/vnd.nfd.image-compatibility';

const entryOf = (digest: string, more: object = {}) => ({
  mediaType: MEDIA_TYPE.ociManifest,
  digest,
  size: 7,
  platform: LINUX,
  ...more,
});

const putIndex = (next: FakeRegistry, manifests: readonly object[], more: object = {}) =>
  next.putManifest(
    { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests, annotations: PAD, ...more },
    { tag: 'latest' },
  );

function putImage(next: FakeRegistry, config: object = {}, more: object = {}): Digest {
  const bytes = Buffer.from(JSON.stringify(config));
  const image = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: { mediaType: MEDIA_TYPE.ociConfig, digest: next.putBlob(bytes), size: bytes.length },
    layers: [],
    annotations: PAD,
    ...more,
  };
  return next.putManifest(image, { mediaType: MEDIA_TYPE.ociManifest, tag: 'latest' });
}

const tailoredTo = (next: FakeRegistry, features: readonly string[] = []) =>
  tailored({
    next,
    profile: profileOfFeatures(features),
    policyFor: () => DEFAULT_POLICY,
    derived: { keep: async () => {}, find: async () => undefined },
    decided: () => {},
    now: () => 0,
    search: new DerivedSearch({ next, tagsOf: async () => [LATEST], now: () => 0 }),
  });

const listOf = (next: FakeRegistry, platform: object = {}) =>
  virtual({
    next,
    catalog: () => [
      readList({
        image: 'registry.test/list',
        tags: ['latest'],
        manifests: [{ image: 'registry.test/team/app:latest', ...platform }],
      }),
    ],
    now: () => 0,
    onMissing: () => {},
  });
const LIST = repository('list');

const denying = (next: FakeRegistry) =>
  denyAnnotations(next, () => ({ ...DEFAULT_POLICY, denyAnnotations: ['io.evil'] }));

const byDigest = (digest: Digest) => ({ kind: 'digest', digest }) as const;
const DIGEST = digestOf(Buffer.from('an entry'));

/** The artifact of an entry, all of whose documents are as large as they may be. */
function putArtifact(next: FakeRegistry, spec: Buffer): Digest {
  const image = putImage(next);
  putImage(
    next,
    {},
    {
      artifactType: `${NFD}.v1alpha1`,
      layers: [{ mediaType: `${NFD}.spec.v1alpha1+yaml`, digest: next.putBlob(spec), size: spec.length }],
      subject: { mediaType: MEDIA_TYPE.ociManifest, digest: image, size: 1 },
    },
  );
  return image;
}

const SPEC = Buffer.from(
  [
    'version: v1alpha1',
    'compatibilities:',
    '- rules:',
    `  - name: needs`,
    '    matchFeatures:',
    '    - feature: cpu.cpuid',
    '      matchExpressions:',
    '        AVX512F: {op: Exists}',
    `# ${'x'.repeat(60_000)}`,
  ].join('\n'),
);

/** Each place that reads documents of registries: what it makes of one as large as any may be. */
const PLACES: readonly (readonly [string, (next: FakeRegistry) => Promise<unknown>, unknown])[] = [
  [
    'the choice for a tag',
    async (next) => {
      putIndex(next, [
        entryOf(DIGEST),
        entryOf(digestOf(Buffer.from('b')), { platform: { ...LINUX, features: ['cpu:zen4'] } }),
      ]);
      const { bytes } = await tailoredTo(next).manifest(APP, tagged('latest'));
      return bytes.includes(DIGEST) && !bytes.includes('zen4');
    },
    true,
  ],
  [
    'the environment in the configurations of an index',
    async (next) => {
      const config = { config: { Env: ['NVIDIA_REQUIRE_CUDA=cuda>=12.4'] }, pad: CONFIG_PAD };
      const image = putImage(next, config);
      const index = await next.manifest(APP, byDigest(putIndex(next, [entryOf(image)])));
      return (await createEnvironmentReader(next, LINUX)(APP, index))?.get(image)?.length;
    },
    1,
  ],
  [
    'compatibility artifacts',
    async (next) => {
      const image = putArtifact(next, SPEC);
      const referrers = next.referrers;
      const padded: FakeRegistry = {
        ...next,
        referrers: async (...asked) => {
          const list = await referrers(...asked);
          const bytes = Buffer.concat([
            list.bytes,
            Buffer.alloc(MANIFEST_MAX_BYTES - list.bytes.length, ' '),
          ]);
          return { ...list, bytes };
        },
      };
      const index = await next.manifest(APP, byDigest(putIndex(next, [entryOf(image)])));
      const read = createCompatibilityReader(padded, LINUX, () => 0);
      const [demand] = (await read(APP, index, index.digest))?.get(image) ?? [];
      return demand?.anyOf[0]?.value.includes('AVX512F');
    },
    true,
  ],
  [
    'a denied annotation of a manifest',
    async (next) => {
      putImage(next, {}, { annotations: { ...PAD, 'io.evil.x': '' } });
      return denying(next)
        .manifest(APP, tagged('latest'))
        .catch(({ code }) => code);
    },
    'DENIED',
  ],
  [
    'a denied label of a configuration',
    async (next) => {
      putImage(next, { config: { Labels: { 'io.evil.x': '' } }, pad: CONFIG_PAD });
      return denying(next)
        .manifest(APP, tagged('latest'))
        .catch(({ code }) => code);
    },
    'DENIED',
  ],
  [
    'an index as a member of a list',
    async (next) => {
      putIndex(next, [entryOf(DIGEST)]);
      return (await listOf(next).manifest(LIST, tagged('latest'))).bytes.includes(DIGEST);
    },
    true,
  ],
  [
    'an index as a member of a list that states its platform',
    async (next) => {
      putIndex(next, [entryOf(DIGEST)]);
      return (await listOf(next, { platform: LINUX }).manifest(LIST, tagged('latest'))).bytes.includes(
        DIGEST,
      );
    },
    true,
  ],
  [
    'an image as a member of a list, with its configuration',
    async (next) => {
      const digest = putImage(next, { ...LINUX, pad: CONFIG_PAD });
      return (await listOf(next).manifest(LIST, tagged('latest'))).bytes.includes(digest);
    },
    true,
  ],
  [
    'what a list reaches',
    async (next) => {
      const image = putImage(next, LINUX);
      putIndex(next, [entryOf(image)]);
      const list = listOf(next, {});
      await list.manifest(LIST, tagged('latest'));
      const { bytes } = await list.manifest(LIST, byDigest(image));
      const { config } = parseSmall(bytes);
      return (await list.statBlob(LIST, config)).digest === config;
    },
    true,
  ],
  [
    'the forms of an index that another mirror derived',
    async (next) => {
      const digest = putIndex(next, [
        entryOf(DIGEST),
        entryOf(digestOf(Buffer.from('b')), { platform: { ...LINUX, features: ['cpu:zen4'] } }),
      ]);
      const form = zen4FormOf((await next.manifest(APP, byDigest(digest))).bytes);
      const found = await tailoredTo(next, ['cpu:broadwell']).manifest(APP, byDigest(form.digest));
      return found.bytes.equals(form.bytes);
    },
    true,
  ],
  [
    'a list of referrers of one type',
    async (next) => {
      const list = await next.manifest(
        APP,
        byDigest(putIndex(next, [entryOf(DIGEST, { artifactType: 'a/b' }), entryOf(DIGEST)])),
      );
      return JSON.stringify((await filterReferrers(list, 'a/b', APP, {}))?.includes('a/b'));
    },
    'true',
  ],
  [
    'a list of referrers with numbers above 2^53, which keep their digits',
    async () => {
      const entry = (type: string) => `{"artifactType":"${type}","com.example":9007199254740993}`;
      const bytes = Buffer.from(`{"schemaVersion":2,"manifests":[${entry('a/b')},${entry('c/d')}]}`);
      const list = { bytes, digest: digestOf(bytes), mediaType: MEDIA_TYPE.ociIndex, maxAgeMs: 0 };
      return String(await filterReferrers(list, 'c/d', APP, {}));
    },
    '{"schemaVersion":2,"manifests":[{"artifactType":"c/d","com.example":9007199254740993}]}',
  ],
  [
    'an index that another replica shares',
    async (next) => {
      const index = await next.manifest(APP, byDigest(putIndex(next, [entryOf(DIGEST)])));
      return readAside('is an index', index, undefined);
    },
    true,
  ],
];

/** Each kind of document as it arrives from a registry. */
const ARRIVALS: readonly (readonly [
  string,
  () => Buffer,
  (registry: Registry) => Promise<unknown>,
  unknown,
])[] = [
  [
    'a manifest by its tag',
    () => INDEX,
    async (to) => (await to.manifest(APP, tagged('latest'))).digest,
    digestOf(INDEX),
  ],
  [
    'a manifest by its digest',
    () => INDEX,
    async (to) => (await to.manifest(APP, byDigest(digestOf(INDEX)))).mediaType,
    MEDIA_TYPE.ociIndex,
  ],
  [
    'a list of referrers',
    () => INDEX,
    async (to) => (await to.referrers(APP, DIGEST)).digest,
    digestOf(INDEX),
  ],
  [
    'a list of tags',
    () => Buffer.from(JSON.stringify({ name: 'team/app', tags: ['latest'], ...PAD })),
    async (to) => (await to.tags(APP)).tags,
    ['latest'],
  ],
];

/** The form for a host that runs the entry for zen4; the test, not the mirror, parses here. */
function zen4FormOf(bytes: Buffer): DerivedForm {
  isOwn = true;
  const document = parseManifestDocument(bytes, MEDIA_TYPE.ociIndex);
  isOwn = false;
  const forms = document.kind === 'index' ? [...derivedForms(document, DEFAULT_POLICY)] : [];
  const form = forms.find(({ demands }) => demands?.includes('zen4'));
  if (form === undefined) throw new Error('no form');
  return form;
}

/** The configuration of an image, by the text alone. */
function parseSmall(bytes: Buffer): { readonly config: Digest } {
  const [, config] = /"config":\{"mediaType":"[^"]*","digest":"([^"]*)"/.exec(bytes.toString('latin1')) ?? [];
  return { config: config as Digest };
}

/** Texts that `src` parsed here although they are large. */
const large: string[] = [];
/** True while the test itself uses the parser. */
let isOwn = false;
const parse = JSON.parse;

beforeEach(() => {
  large.length = 0;
  // A thread has modules of its own: only the event loop's thread cannot parse YAML here.
  vi.spyOn(Lexer.prototype, 'lex').mockImplementation(() => {
    throw new Error('YAML is parsed on the event loop’s thread');
  });
  vi.spyOn(JSON, 'parse').mockImplementation((text, reviver) => {
    const [, caller = ''] = /^(?:.*\n){1,3}.*\/(src\/\S+)/.exec(new Error('who').stack ?? '') ?? [];
    if (!isOwn && caller !== '' && String(text).length > SMALL_BYTES) large.push(caller);
    return parse(text, reviver);
  });
});
afterEach(() => {
  vi.restoreAllMocks();
});

describe('a document of four mebibytes is not parsed on the event loop’s thread', () => {
  test.each(PLACES)('%s', async (_, read, expected) => {
    expect(await read(createFakeRegistry())).toEqual(expected);
    expect(large).toEqual([]);
  });

  test.each(ARRIVALS)('%s, as it arrives', async (_, bodyOf, read, expected) => {
    const server = closing(
      await startServer((request, response) => {
        const body = bodyOf();
        const type = request.url?.includes('/tags/') ? 'application/json' : MEDIA_TYPE.ociIndex;
        response.writeHead(200, { 'content-type': type, 'content-length': body.length }).end(body);
      }),
    );
    expect(await read(upstreamTo(upstreamAt(server.url)))).toEqual(expected);
    expect(large).toEqual([]);
  });

  test('a parse on the event loop would fail this test', () => {
    parseManifestDocument(Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [], ...PAD })));
    expect(large).toHaveLength(1);
  });
});
