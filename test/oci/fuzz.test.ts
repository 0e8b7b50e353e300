import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addHop, isLoop } from '../../src/lib/http.ts';
import { parseDigest } from '../../src/oci/digest.ts';
import { parseManifestDocument } from '../../src/oci/manifest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { parseRange, resolveRange } from '../../src/oci/range.ts';
import {
  formatManifestReference,
  parseImageReference,
  parseManifestReference,
  parseRepositoryName,
} from '../../src/oci/reference.ts';
import { RegistryError } from '../../src/oci/registry-error.ts';
import { FUZZ_RUNS } from '../support/fuzz.ts';
import { countReached } from '../support/reached.ts';

const RUNS = { numRuns: FUZZ_RUNS };

const nameText = fc.string({ unit: fc.constantFrom(...'ab09AZ._-/:@%+ \t\r\n\u0000ä'), maxLength: 150 });
const hex = fc.string({ unit: fc.constantFrom(...'0123456789abcdefA'), maxLength: 130 });
const digestText = fc.tuple(fc.constantFrom('sha256', 'sha512', 'SHA256', 'md5', ''), hex);

describe('any text', () => {
  test('is parsed as a reference that formats to the same text, or refused', () => {
    const goodDigest = fc.oneof(
      ...(
        [
          ['sha256', 64],
          ['sha512', 128],
        ] as const
      ).map(([algorithm, length]) =>
        fc
          .string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: length, maxLength: length })
          .map((digits) => `${algorithm}:${digits}`),
      ),
    );
    /** A digest but for the case of its letters. */
    const upperDigest = goodDigest.map((text) =>
      text.replace(/[a-f](?=[0-9a-f]*$)/, (letter) => letter.toUpperCase()),
    );
    const goodName = fc
      .array(fc.stringMatching(/^[a-z0-9]{1,8}(?:[._-][a-z0-9]{1,4})?$/), { minLength: 1, maxLength: 4 })
      .map((parts) => parts.join('/'));
    const reference = fc.oneof(
      nameText,
      fc.string({ maxLength: 300 }),
      digestText.map((parts) => parts.join(':')),
      goodDigest,
      upperDigest,
      goodName,
    );
    const digests = countReached();
    const names = countReached();
    fc.assert(
      fc.property(reference, (text) => {
        digests.tried();
        names.tried();
        const found = parseManifestReference(text);
        if (found) expect(formatManifestReference(found)).toBe(text);
        const digest = parseDigest(text);
        if (digest !== undefined) {
          digests.reached();
          expect(digest).toMatch(/^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/);
        }
        // No name reaches a path or a URL that could leave its place there.
        const name = parseRepositoryName(text) ?? parseImageReference(text)?.repository.name;
        if (name === undefined) return;
        names.reached();
        expect(name).toMatch(/^[a-z0-9]+(?:[._/-]+[a-z0-9]+)*$/);
        expect(name).not.toMatch(/\.\.|\/\//);
      }),
      RUNS,
    );
    digests.expectShare(0.1);
    names.expectShare(0.1);
  });

  test('is parsed as a Range within the blob, beyond it, or ignored', () => {
    const bound = fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 70n }).map(String), fc.nat(300).map(String));
    const written = fc.tuple(fc.option(bound, { nil: '' }), fc.option(bound, { nil: '' }));
    const header = fc.oneof(
      written.map(([first, last]) => `bytes=${first}-${last}`),
      fc.string({ unit: fc.constantFrom(...'bytes=-0123456789, '), maxLength: 40 }),
      fc.string({ maxLength: 60 }),
    );
    fc.assert(
      fc.property(header, fc.nat(300), (text, sizeBytes) => {
        const request = parseRange(text);
        const range = request && resolveRange(request, sizeBytes);
        fc.pre(range !== undefined && range !== 'unsatisfiable');
        expect(range.start).toBeGreaterThanOrEqual(0);
        expect(range.start).toBeLessThan(range.end);
        expect(range.end).toBeLessThanOrEqual(sizeBytes);
        const [, first = '', last = ''] = /^ *bytes *= *(\d*) *- *(\d*) *$/.exec(text) ?? [];
        if (first !== '') expect(BigInt(range.start)).toBe(BigInt(first.replaceAll(' ', '')));
        if (first !== '' && last !== '' && BigInt(last) < BigInt(sizeBytes)) {
          expect(BigInt(range.end)).toBe(BigInt(last) + 1n);
        }
      }),
      RUNS,
    );
  });

  test('is parsed as a Via header that contains the mirror’s hop only when it has passed through the mirror', () => {
    const via = fc.string({ unit: fc.constantFrom(...'1.1 metahub-abc,()"\\\t'), maxLength: 80 });
    fc.assert(
      fc.property(via, (text) => {
        expect(isLoop(addHop(text, 'metahub-1f2e3d'), 'metahub-1f2e3d')).toBe(true);
        expect(isLoop(text, 'metahub-1f2e3d')).toBe(false);
      }),
      RUNS,
    );
  });
});

/** What it returns, or the error that it throws. */
function outcomeOf<T>(body: () => T): T | Error {
  try {
    return body();
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
}

describe('any bytes', () => {
  const descriptor = {
    mediaType: MEDIA_TYPE.ociManifest,
    digest: `sha256:${'0'.repeat(64)}`,
    size: 5,
    platform: { os: 'linux', architecture: 'amd64', features: ['cpu:zen4'], 'os.version': '1' },
    annotations: { 'io.metahub.features': 'avx2' },
  };
  const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [descriptor, descriptor] };
  const contentType = fc.constantFrom(undefined, ...Object.values(MEDIA_TYPE));

  /** An index in which something else stands in one place. */
  const spoilt = fc.tuple(fc.nat(60), fc.jsonValue()).map(([place, value]) => {
    let position = 0;
    return JSON.stringify(index, (_, at: unknown) => {
      position += 1;
      return position - 1 === place ? value : at;
    });
  });
  const bytes = fc.oneof(
    spoilt.map((text) => Buffer.from(text ?? '')),
    fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array)),
    fc.tuple(fc.nat(), fc.nat(255)).map(([position, byte]) => {
      const copy = Buffer.from(JSON.stringify(index));
      copy[position % copy.length] = byte;
      return copy;
    }),
  );

  test('are parsed as an index of well-formed entries, an image, something to pass on, or refused with a typed error', () => {
    fc.assert(
      fc.property(bytes, contentType, (document, type) => {
        const parsed = outcomeOf(() => parseManifestDocument(document, type));
        if (parsed instanceof Error) expect(parsed).toBeInstanceOf(RegistryError);
        fc.pre(!(parsed instanceof Error) && parsed.kind === 'index');
        for (const { digest, sizeBytes } of parsed.entries) {
          expect(parseDigest(digest)).toBe(digest);
          expect(Number.isSafeInteger(sizeBytes)).toBe(true);
        }
      }),
      RUNS,
    );
  });
});
