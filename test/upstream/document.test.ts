import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { type RawDocument, readDocument, readDocumentAside } from '../../src/upstream/document.ts';
import { HOSTILE_INDEXES, SLOW_MANIFEST } from '../soak/hostile-documents.ts';
import { longestTurnMs } from '../support/loop-blocks.ts';

const rawOf = (bytes: Buffer, more: Partial<RawDocument> = {}): RawDocument & { readonly bytes: Buffer } => ({
  ...{ contentType: MEDIA_TYPE.ociIndex, algorithm: 'sha256', said: undefined, ...more },
  bytes,
});

/** A copy: what is read aside moves to the thread. */
const copyOf = (bytes: Buffer) => Buffer.from(Buffer.allocUnsafeSlow(bytes.length).fill(bytes));

describe('readDocumentAside()', () => {
  test.each([...HOSTILE_INDEXES, SLOW_MANIFEST].map((bytes, at) => [at, bytes] as const))(
    'reads large document %i on a thread like the pure function, and returns its bytes',
    async (_, bytes) => {
      const said = digestOf(bytes);
      const { bytes: returned, reading } = await readDocumentAside(rawOf(copyOf(bytes), { said }), {});
      expect(reading).toEqual(readDocument(rawOf(bytes, { said })));
      expect(returned.equals(bytes)).toBe(true);
      expect([reading.digest, reading.isAsSaid]).toEqual([said, true]);
    },
  );

  test('computes the digest with the expected algorithm, and detects bytes of another digest', async () => {
    for (const bytes of [SLOW_MANIFEST, Buffer.from('{"schemaVersion":2}')]) {
      const said = digestOf(Buffer.from('other'));
      const { reading } = await readDocumentAside(rawOf(copyOf(bytes), { algorithm: 'sha512', said }), {});
      expect([reading.digest, reading.isAsSaid]).toEqual([digestOf(bytes, 'sha512'), false]);
    }
  });

  test('blocks the event loop for a few milliseconds of CPU time at most, however hostile the document', async () => {
    // The first starts the thread.
    await readDocumentAside(rawOf(copyOf(SLOW_MANIFEST)), {});
    for (const bytes of HOSTILE_INDEXES) {
      const raw = rawOf(copyOf(bytes));
      expect(await longestTurnMs(() => readDocumentAside(raw, {}))).toBeLessThan(25);
    }
  });

  test('serves another client between the documents of a client that has many', async () => {
    const order: string[] = [];
    const read = async (client: string) => {
      await readDocumentAside(rawOf(copyOf(SLOW_MANIFEST)), { share: { client, source: 'evil.test' } });
      order.push(client);
    };
    await Promise.all([...Array.from({ length: 6 }, () => read('mallory')), read('alice')]);
    expect(order.indexOf('alice')).toBeLessThanOrEqual(2);
  });
});
