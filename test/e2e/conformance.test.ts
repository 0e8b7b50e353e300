import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { startDockerRegistry } from '../support/docker-registry.ts';
import { buildImage, buildIndex } from '../support/images.ts';
import { startMetahub } from '../support/metahub.ts';
import { startReferrersApi } from '../support/referrers-api.ts';
import { describeWith } from '../support/required-programs.ts';
import { basic, hashed } from '../support/site.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

// What the distribution spec's conformance suite checks of a registry that nothing is pushed to, check by check (pull and content
// discovery), then what its successor adds about content. In front of a real registry, to which the referrers API was added.
// https://github.com/opencontainers/distribution-spec/tree/v1.1.1/conformance (01_pull_test.go, 03_discovery_test.go)

const NAME = 'conformance/app';
const ABSENT = digestOf(Buffer.from('hello world'));
const TYPES = ['application/vnd.nhl.peanut.butter.bagel', 'application/vnd.nba.strawberry.jam.croissant'];
const TAGS = ['test0', 'test1', 'test2', 'test3'];
const OCI_MANIFEST = { accept: MEDIA_TYPE.ociManifest };
/** The spec has registries take manifests of 4 MiB. */
const LARGE_BYTES = 4 * 2 ** 20 - 100_000;

interface Index {
  readonly manifests: readonly { readonly digest: Digest; readonly annotations?: object }[];
}

/** What was pushed to the registry before the mirror is asked. */
interface Content {
  readonly config: Buffer;
  readonly first: Digest;
  readonly second: Digest;
  readonly subject: Digest;
  readonly absentSubject: Digest;
  readonly orphan: Digest;
  readonly emptyIndex: Digest;
  readonly nestedIndex: Digest;
  readonly large: Digest;
  readonly withUnknownFields: Digest;
}

async function pushContent(
  workplace: Workplace,
): Promise<{ readonly url: string; readonly content: Content }> {
  const registry = await startDockerRegistry(workplace);
  const { url } = await startReferrersApi(workplace, registry.url);

  async function put(document: object, reference?: string, type: string = MEDIA_TYPE.ociManifest) {
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: type, ...document }));
    const digest = digestOf(bytes);
    const target = `${url}/v2/${NAME}/manifests/${reference ?? digest}`;
    const answer = await fetch(target, { method: 'PUT', headers: { 'content-type': type }, body: bytes });
    if (answer.status !== 201) throw new Error(`PUT ${target}: ${answer.status} ${await answer.text()}`);
    return digest;
  }

  const [one, two] = ['one', 'two'].map((text) => buildImage(Buffer.from(text), { dialect: 'oci' }));
  if (one === undefined || two === undefined) throw new Error('nothing was built');
  await registry.pushImage(NAME, one, 'tagtest0');
  await registry.pushImage(NAME, two);
  for (const tag of TAGS) await registry.pushManifest(NAME, two.manifest, tag);
  const { config, layers } = JSON.parse(one.manifest.bytes.toString());
  const image = { config, layers };
  const subject = await put({ ...image, annotations: { subject: 'of all' } });
  const referring = (digest: Digest, more: object) =>
    put({ ...image, subject: { mediaType: MEDIA_TYPE.ociManifest, digest, size: 1 }, ...more });
  for (const at of [0, 1, 2, 3]) {
    await referring(subject, { artifactType: TYPES[at % 2], annotations: { at: String(at) } });
  }
  await put(
    {
      manifests: [],
      artifactType: 'application/vnd.food.stand',
      subject: { mediaType: MEDIA_TYPE.ociManifest, digest: subject, size: 1 },
      annotations: { at: '4' },
    },
    undefined,
    MEDIA_TYPE.ociIndex,
  );
  const absentSubject = digestOf(Buffer.from('nobody has pushed this'));
  const inner = buildIndex('oci', [{ image: one, platform: { os: 'linux', architecture: 'amd64' } }]);
  await registry.pushManifest(NAME, inner);
  const entry = { mediaType: inner.mediaType, digest: inner.digest, size: inner.bytes.length };
  const padding = 'A'.repeat(LARGE_BYTES / 400);
  const annotations = Object.fromEntries(Array.from({ length: 400 }, (_, at) => [`large-${at}`, padding]));
  return {
    url,
    content: {
      config: one.blobs[0] ?? Buffer.alloc(0),
      ...{ first: one.manifest.digest, second: two.manifest.digest, subject, absentSubject },
      orphan: await referring(absentSubject, { artifactType: TYPES[1], annotations: { at: 'orphan' } }),
      emptyIndex: await put({ manifests: [] }, undefined, MEDIA_TYPE.ociIndex),
      nestedIndex: await put({ manifests: [entry, entry] }, undefined, MEDIA_TYPE.ociIndex),
      large: await put({ ...image, annotations }),
      withUnknownFields: await put({ ...image, 'org.example.unknown': { kept: [1, null, 'é'] } }),
    },
  };
}

type Mode = 'node' | 'site';

/** Starts a mirror of the mode; answers what asks it. */
async function startMode(workplace: Workplace, upstream: string, mode: Mode) {
  const machines = workplace.folder('machines.d');
  writeFileSync(
    join(machines, 'site.yaml'),
    `user: site\npassword: "${await hashed('hush')}"\ntypes: [{ name: type1, features: [cpu:haswell] }]\n`,
  );
  const args = mode === 'node' ? [] : ['--machines', machines];
  const metahub = await startMetahub(workplace, { upstream, args });
  const login = mode === 'node' ? {} : { authorization: basic('site-type1', 'hush') };
  return (method: 'GET' | 'HEAD', path: string, headers: Record<string, string> = {}) =>
    fetch(`${metahub.url}/v2/${path}`, { method, headers: { ...login, ...headers } });
}

describeWith(
  ['docker-registry'],
  'fault 79: the conformance suite: its checks of a registry to read from',
  () => {
    let workplace: Workplace;
    let content: Content;
    const asks = new Map<Mode, Awaited<ReturnType<typeof startMode>>>();

    beforeAll(async () => {
      workplace = openWorkplace();
      const pushed = await pushContent(workplace);
      content = pushed.content;
      for (const mode of ['node', 'site'] as const) {
        const place = openWorkplace();
        workplace.onClose(() => place.close());
        asks.set(mode, await startMode(place, pushed.url, mode));
      }
    });
    afterAll(() => workplace?.close());

    for (const mode of ['node', 'site'] as const) {
      const ask: Awaited<ReturnType<typeof startMode>> = (...request) => {
        const asking = asks.get(mode);
        if (asking === undefined) throw new Error(`no ${mode} mode was started`);
        return asking(...request);
      };
      const statusOf = async (...request: Parameters<typeof ask>) => (await ask(...request)).status;
      const blob = (digest: Digest) => `${NAME}/blobs/${digest}`;
      const manifest = (reference: string) => `${NAME}/manifests/${reference}`;
      const tagsOf = async (query: string) => {
        const answer = await ask('GET', `${NAME}/tags/list${query}`);
        expect(answer.status).toBe(200);
        return ((await answer.json()) as { tags: string[] }).tags;
      };
      const referrersOf = async (digest: Digest, query = '') => {
        const answer = await ask('GET', `${NAME}/referrers/${digest}${query}`);
        expect(answer.status).toBe(200);
        expect(answer.headers.get('content-type')).toBe(MEDIA_TYPE.ociIndex);
        return { filters: answer.headers.get('oci-filters-applied'), ...((await answer.json()) as Index) };
      };

      for (const method of ['HEAD', 'GET'] as const) {
        test(`in ${mode} mode, ${method} of an absent blob is answered with 404`, async () => {
          expect(await statusOf(method, blob(ABSENT))).toBe(404);
        });

        test(`in ${mode} mode, ${method} of a blob is answered with 200 and its digest`, async () => {
          const answer = await ask(method, blob(digestOf(content.config)));
          expect(answer.status).toBe(200);
          expect(answer.headers.get('docker-content-digest')).toBe(digestOf(content.config));
          const bytes = Buffer.from(await answer.arrayBuffer());
          expect(bytes.equals(method === 'GET' ? content.config : Buffer.alloc(0))).toBe(true);
        });

        test(`in ${mode} mode, ${method} of an absent manifest is answered with 404`, async () => {
          expect(await statusOf(method, manifest('.INVALID_MANIFEST_NAME'))).toBe(404);
        });

        for (const name of ['first', 'second'] as const) {
          test(`in ${mode} mode, ${method} of the ${name} manifest by digest is answered with 200`, async () => {
            const answer = await ask(method, manifest(content[name]), OCI_MANIFEST);
            expect(answer.status).toBe(200);
            expect(answer.headers.get('docker-content-digest')).toBe(content[name]);
          });
        }

        test(`in ${mode} mode, ${method} of a manifest by tag is answered with 200`, async () => {
          const answer = await ask(method, manifest('tagtest0'), OCI_MANIFEST);
          expect(answer.status).toBe(200);
          expect(answer.headers.get('docker-content-digest')).toBe(content.first);
        });
      }

      test(`in ${mode} mode, a malformed digest is answered with an error code of the specification`, async () => {
        const answer = await ask('GET', manifest('sha256:totallywrong'));
        expect(answer.status).toBe(400);
        const { errors } = (await answer.json()) as { errors: { code: string }[] };
        expect(errors[0]?.code).toBe('DIGEST_INVALID');
      });

      test(`in ${mode} mode, GET /tags/list lists the tags`, async () => {
        expect(await tagsOf('')).toEqual(['tagtest0', ...TAGS]);
      });

      test(`in ${mode} mode, n limits the number of listed tags`, async () => {
        expect(await tagsOf('?n=2')).toEqual(['tagtest0', 'test0']);
      });

      test(`in ${mode} mode, the list of tags begins after last`, async () => {
        expect(await tagsOf('?n=2&last=test0')).toEqual(['test1', 'test2']);
      });

      test(`in ${mode} mode, the referrers of an unknown digest are an empty index`, async () => {
        expect((await referrersOf(ABSENT)).manifests).toEqual([]);
      });

      test(`in ${mode} mode, referrers are listed with their annotations`, async () => {
        const { manifests } = await referrersOf(content.subject);
        expect(manifests.map(({ annotations }) => annotations)).toEqual(
          [0, 1, 2, 3, 4].map((at) => ({ at: String(at) })),
        );
      });

      test(`in ${mode} mode, artifactType filters the referrers, and the answer says so`, async () => {
        const type = encodeURIComponent(TYPES[0] ?? '');
        const { manifests, filters } = await referrersOf(content.subject, `?artifactType=${type}`);
        expect([filters, manifests.length]).toEqual(['artifactType', 2]);
      });

      test(`in ${mode} mode, referrers of a missing manifest are listed`, async () => {
        const { manifests } = await referrersOf(content.absentSubject);
        expect(manifests.map(({ digest }) => digest)).toEqual([content.orphan]);
      });

      // What the successor of the suite adds.
      test(`in ${mode} mode, GET /v2/ announces the API`, async () => {
        expect(await statusOf('GET', '')).toBe(200);
      });

      for (const name of ['emptyIndex', 'nestedIndex', 'large', 'withUnknownFields'] as const) {
        test(`in ${mode} mode, a manifest is delivered byte for byte: ${name}`, async () => {
          const answer = await ask('GET', manifest(content[name]));
          expect(answer.status).toBe(200);
          expect(digestOf(Buffer.from(await answer.arrayBuffer()))).toBe(content[name]);
        });
      }

      for (const [range, status, first, last] of [
        ['bytes=0-9', 206, 0, 9],
        ['bytes=10-', 206, 10, -1],
        ['bytes=-10', 206, -10, -1],
        ['bytes=0-99999', 206, 0, -1],
        ['bytes=99999-', 416, 0, 0],
      ] as const) {
        test(`in ${mode} mode, the range ${range} of a blob is answered with ${status}`, async () => {
          const answer = await ask('GET', blob(digestOf(content.config)), { range });
          expect(answer.status).toBe(status);
          if (status !== 206) return;
          const part = content.config.subarray(first, last === -1 ? undefined : last + 1);
          expect(Buffer.from(await answer.arrayBuffer()).equals(part)).toBe(true);
        });
      }
    }
  },
);
