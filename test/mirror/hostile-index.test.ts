import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { profileOfFeatures } from '../../src/host/assumed-features.ts';
import { type TailoringDecision, tailored } from '../../src/mirror/tailored.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { MANIFEST_MAX_BYTES, type RequestOptions } from '../../src/oci/registry.ts';
import { RegistryError } from '../../src/oci/registry-error.ts';
import { DEFAULT_POLICY } from '../../src/selection/policy.ts';
import { upstreamAt } from '../../src/upstream/settings.ts';
import { type Handler, startServer } from '../support/hostile-registry.ts';
import { longestTurnMs } from '../support/loop-blocks.ts';
import { closing, repository, tagged, upstreamTo } from '../support/upstream.ts';

const app = repository('team/app');

interface Entry {
  readonly features?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
}

/** More entries of one feature each would pass the bound on names and values. */
const ENTRIES_MAX = 3500;

/** An index of what `entryAt` says, up to the longest that a manifest may be; other ones for other names. */
function indexOf(name: string, entryAt: (position: number) => Entry | undefined, more = ''): string {
  const entries: string[] = [];
  let sizeBytes = 1000 + more.length;
  for (let position = 0; ; position += 1) {
    const entry = entryAt(position);
    if (entry === undefined) break;
    const { features, annotations } = entry;
    const text = JSON.stringify({
      mediaType: MEDIA_TYPE.ociManifest,
      digest: digestOf(Buffer.from(`${name} ${position}`)),
      size: 1,
      platform: { os: 'linux', architecture: 'amd64', ...(features ? { features } : {}) },
      ...(annotations ? { annotations } : {}),
    });
    sizeBytes += text.length + 1;
    if (sizeBytes > MANIFEST_MAX_BYTES) break;
    entries.push(text);
  }
  return `{"schemaVersion":2,"mediaType":"${MEDIA_TYPE.ociIndex}"${more},"manifests":[${entries.join(',')}]}`;
}

/** A mirror for a host of these features, in front of a registry that makes every tag's manifest up. */
async function mirrorOf(
  manifestOf: (tag: string) => string,
  features: readonly string[] = ['cpu:broadwell'],
) {
  const handler: Handler = (request, response) => {
    const bytes = Buffer.from(manifestOf(/[^/]*$/.exec(request.url ?? '')?.[0] ?? ''));
    response.writeHead(200, { 'content-type': MEDIA_TYPE.ociIndex, 'content-length': bytes.length });
    response.end(bytes);
  };
  const registry = closing(await startServer(handler));
  const decisions: TailoringDecision[] = [];
  const mirror = tailored({
    next: upstreamTo(upstreamAt(registry.url)),
    profile: profileOfFeatures(features),
    policyFor: () => DEFAULT_POLICY,
    derived: { keep: async () => {}, find: async () => undefined },
    decided: (decision) => decisions.push(decision),
    now: () => 0,
  });
  return {
    decisions,
    pull: (tag: string, options?: RequestOptions) => mirror.manifest(app, tagged(tag), options),
  };
}

function heldBytes(): number {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  return process.memoryUsage().heapUsed;
}

describe('an index of the maximum size', () => {
  test('leaves nothing in memory but the response', async () => {
    const { pull } = await mirrorOf((tag) =>
      indexOf(tag, (at) => (at < ENTRIES_MAX ? { features: ['cpu:broadwell'] } : undefined)),
    );
    await pull('first');
    const before = heldBytes();
    for (const tag of ['a', 'b', 'c', 'd', 'e', 'f']) await pull(tag);
    // The verdicts on one such index alone are twenty-five megabytes.
    expect(heldBytes() - before).toBeLessThan(25e6);
    // It is about memory: seven indexes of four megabytes take seconds on a busy machine.
  });

  const LONG: readonly (readonly [string, (position: number) => Entry | undefined])[] = [
    [
      'thousands of entries of which none fits',
      (at) => (at < ENTRIES_MAX ? { features: [`site${at}:x`] } : undefined),
    ],
    [
      'an entry that demands any of sixty thousand things',
      (at) =>
        at === 0 ? { features: Array.from({ length: 60_000 }, (_, value) => `site:${value}`) } : undefined,
    ],
    [
      'an entry that demands sixty thousand things',
      (at) =>
        at === 0 ? { features: Array.from({ length: 60_000 }, (_, value) => `s${value}:1`) } : undefined,
    ],
    [
      'an entry that demands one long thing',
      (at) => (at === 0 ? { features: [`site:${'y'.repeat(4_000_000)}`] } : undefined),
    ],
    [
      'an entry of an unknown kind with a long name',
      (at) => (at === 0 ? { features: [`${'k'.repeat(4_000_000)}:1`] } : undefined),
    ],
  ];

  test.each(LONG)('%s: refused with a short message, because every refusal is logged', async (_, entryAt) => {
    const { pull, decisions } = await mirrorOf((tag) => indexOf(tag, entryAt));
    const { bytes } = await pull('latest');
    expect(bytes.length).toBeLessThan(64 * 1024);
    expect(bytes.toString('utf8')).not.toContain('"amd64"');
    const refusal = await pull('latest', { acceptsIndex: false }).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (!(refusal instanceof RegistryError)) throw new Error('it was not refused');
    expect(refusal.code).toBe('MANIFEST_UNKNOWN');
    expect(JSON.stringify(refusal).length).toBeLessThan(64 * 1024);
    expect(decisions.map(({ answer }) => answer)).toEqual(['refused', 'refused']);
    expect(JSON.stringify(decisions).length).toBeLessThan(16 * 1024);
  });

  test('a winner with sixty thousand demands has a short reason', async () => {
    const features = Array.from({ length: 60_000 }, (_, minor) => `cuda:1.${minor}`);
    const index = (tag: string) =>
      indexOf(tag, (at) => (at < 2 ? { features: at === 0 ? features : ['cuda:1'] } : undefined));
    const { pull, decisions } = await mirrorOf(index, ['cpu:broadwell', 'cuda:99.0']);
    await pull('latest');
    expect(decisions.map(({ answer }) => answer)).toEqual(['derived']);
    expect(JSON.stringify(decisions).length).toBeLessThan(8 * 1024);
  });
});

// Of CVE-2026-95839 no public record was found; it is reported of the same input.
describe('CVE-2026-53493 and CVE-2026-95839 of containerd, an index of any depth and width, and one with malformed digests', () => {
  const REFUSED: readonly (readonly [string, string])[] = [
    ['more entries than anybody builds', indexOf('x', () => ({ features: ['cpu:broadwell'] }))],
    [
      'an entry with more features than there are',
      indexOf('x', (at) =>
        at === 0 ? { features: Array.from({ length: 300_000 }, (_, value) => `k:${value}`) } : undefined,
      ),
    ],
    [
      'more annotations than anybody writes',
      indexOf('x', (at) =>
        at === 0
          ? { annotations: Object.fromEntries(Array.from({ length: 200_000 }, (_, key) => [`k${key}`, 'v'])) }
          : undefined,
      ),
    ],
    [
      'a hundred levels',
      indexOf('x', (at) => (at === 0 ? {} : undefined), `,"x":${'['.repeat(100)}${']'.repeat(100)}`),
    ],
    ...['sha256:totallywrong', 'sha256:../../etc/passwd', `sha256:${'A'.repeat(64)}`, '', 'x'].map(
      (digest) =>
        [
          `the digest “${digest.slice(0, 24)}”`,
          JSON.stringify({
            schemaVersion: 2,
            mediaType: MEDIA_TYPE.ociIndex,
            manifests: [{ mediaType: MEDIA_TYPE.ociManifest, digest, size: 1 }],
          }),
        ] as const,
    ),
  ];
  test.each(REFUSED)('%s: the tag is refused as invalid', async (_, index) => {
    const { pull } = await mirrorOf(() => index);
    await expect(pull('latest')).rejects.toMatchObject({ code: 'MANIFEST_INVALID' });
  });

  test('a digest of an unknown algorithm is passed on', async () => {
    const entry = { mediaType: MEDIA_TYPE.ociManifest, digest: `blake3:${'a'.repeat(64)}`, size: 1 };
    const index = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [entry] });
    const { pull } = await mirrorOf(() => index);
    expect((await pull('latest')).bytes.toString()).toBe(index);
  });
});

describe('CVE-2026-21717 of Node.js: numeric names that collide in a hash table', () => {
  test('an index with the maximum number of them blocks the event loop for less than 50 ms of CPU time', async () => {
    // Their hashes are the numbers themselves: those of one remainder fall into one place of a table.
    const names = Array.from({ length: 32_000 }, (_, at) => `"${(at * 512) % 2 ** 24}${at >> 15}":0`);
    const { pull } = await mirrorOf((tag) =>
      indexOf(tag, (at) => (at === 0 ? {} : undefined), `,"x":{${names.join(',')}}`),
    );
    await pull('first');
    expect(await longestTurnMs(() => pull('second'))).toBeLessThan(50);
  });
});

describe('an annotation of sixty thousand characters in a small index', () => {
  const LENGTH = 60_000;
  const long = (text: string) => text.repeat(LENGTH / text.length);

  test.each([
    ['one word before a property', `${long('a')} x86_64 :: level :: v3`],
    ['one word after ::', `::${long('0')}`],
    ['words between ::', long('a::a')],
    ['white space between ::', `a :: ${long(' ')}`],
    ['an unfinished property', `a :: ${long('b')} ::`],
    ['a property with a long value', `a :: b :: ${long('1.')}`],
  ])('%s blocks the event loop for less than 50 ms of CPU time', async (_, features) => {
    const { pull } = await mirrorOf((tag) =>
      indexOf(tag, (at) => [{ annotations: { 'io.metahub.features': features } }, {}][at]),
    );
    await pull('first');
    expect(await longestTurnMs(() => pull('second'))).toBeLessThan(50);
  });
});

describe('an author’s words that have a meaning in JavaScript', () => {
  test.each(['constructor', '__proto__', 'toString', 'hasOwnProperty'])(
    '%s is a word like any other',
    async (word) => {
      const features = ['cpu', 'level', 'gfx', 'gpu', 'nvcap', 'cpuvendor', 'variant', 'cuda', word];
      const entries: readonly Entry[] = [
        ...features.map((kind) => ({ features: [`${kind}:${word}`] })),
        { annotations: { 'io.archspec.cpu.target': word } },
        { annotations: { [word]: word, 'org.supercontainers.gpu': word } },
        { features: ['gfx:gfx90a'] },
      ];
      const { pull, decisions } = await mirrorOf(
        (tag) => indexOf(tag, (at) => entries[at]),
        ['cpu:zen3', 'gfx:gfx90a'],
      );
      await pull('latest');
      expect(decisions.map(({ answer }) => answer)).toEqual(['derived']);
      expect(decisions[0]?.chosen?.demands).toBe('gfx:gfx90a');
    },
  );
});

describe('fault 14: an index nested too deep to be serialized again', () => {
  test('is reported as the registry’s fault', async () => {
    const deep = `,"x":${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}`;
    const entries: readonly Entry[] = [{ features: ['cpu:broadwell'] }, { features: ['cpu:zen4'] }];
    const { pull } = await mirrorOf((tag) => indexOf(tag, (at) => entries[at], deep));
    await expect(pull('latest')).rejects.toMatchObject({ code: 'MANIFEST_INVALID' });
  });
});

describe('a media type of four megabytes', () => {
  test('is invalid, because it would be copied into a header and the cache', async () => {
    const { pull } = await mirrorOf(() =>
      JSON.stringify({ schemaVersion: 2, mediaType: `a/${'b'.repeat(4_000_000)}` }),
    );
    expect((await pull('latest')).mediaType.length).toBeLessThan(256);
  });
});
