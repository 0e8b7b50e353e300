import { SMALL_PART_BYTES, type StoredBlob } from '../oci/content-store.ts';
import type { Digest } from '../oci/digest.ts';
import { type ByteRange, resolveRange } from '../oci/range.ts';
import type { Repository } from '../oci/reference.ts';
import type { BlobOptions, SmallBlob } from '../oci/registry.ts';
import type { CacheOptions } from './cache-options.ts';

/** The requested part of a blob of this size. Undefined when it is empty, too large or not in the blob. */
function smallPart({ range }: Pick<BlobOptions, 'range'>, sizeBytes: number): ByteRange | undefined {
  const part = range ? resolveRange(range, sizeBytes) : { start: 0, end: sizeBytes };
  if (part === 'unsatisfiable') return undefined;
  const partBytes = part.end - part.start;
  return partBytes > 0 && partBytes <= SMALL_PART_BYTES ? part : undefined;
}

/**
 * The cache's fast path for small parts of blobs: one lookup in memory and one read. Everything else (opening a
 * file, asking upstream, answering 416) is left to `CachedBlobs`.
 */
export function readSmallBlob(
  { store, onResult }: Pick<CacheOptions, 'store' | 'onResult'>,
  repository: Repository,
  digest: Digest,
  options: Pick<BlobOptions, 'access' | 'range'>,
): Promise<SmallBlob | undefined> | undefined {
  const stored = store.openBlob(digest);
  if (stored === undefined) return undefined;
  const part = smallPart(options, stored.sizeBytes);
  if (part === undefined || !stored.isVisibleTo(options.access, repository)) {
    stored.close();
    return undefined;
  }
  return read(stored, part, digest, options.range && part, onResult);
}

async function read(
  stored: StoredBlob,
  part: ByteRange,
  digest: Digest,
  range: ByteRange | undefined,
  onResult: CacheOptions['onResult'],
): Promise<SmallBlob | undefined> {
  const reading = stored.read(part);
  // Its file stays open during the read.
  stored.close();
  const lent = await reading;
  if (lent === undefined) return undefined;
  onResult?.('blob', 'hit');
  return { digest, sizeBytes: stored.sizeBytes, ageMs: stored.ageMs, range, lent };
}
