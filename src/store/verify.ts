import type { BigIntStats } from 'node:fs';
import { algorithmOf, type Digest, finishDigest, hashFor } from '../oci/digest.ts';
import { readAt } from './file-copy.ts';

const CHUNK_BYTES = 1024 * 1024;

/** Do the bytes of this open file have this digest? */
export async function hasDigest(fd: number, sizeBytes: number, digest: Digest): Promise<boolean> {
  const hash = hashFor(digest);
  const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, Math.max(sizeBytes, 1)));
  for (let position = 0; position < sizeBytes; ) {
    const bytesRead = await readAt(fd, buffer, Math.min(buffer.length, sizeBytes - position), position);
    if (bytesRead === 0) return false;
    hash.update(buffer.subarray(0, bytesRead));
    position += bytesRead;
  }
  return finishDigest(hash, algorithmOf(digest)) === digest;
}

/** What changes when a file is replaced or written to: the check that was made of one identity says nothing of another. */
export function identityOf({ dev, ino, size, mtimeNs }: BigIntStats): string {
  return `${dev}:${ino}:${size}:${mtimeNs}`;
}
