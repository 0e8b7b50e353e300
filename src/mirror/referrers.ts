import type { Repository } from '../oci/reference.ts';
import { type Manifest, type RequestOptions, turnOf } from '../oci/registry.ts';
import { readAside } from './documents/reading.ts';

/**
 * Filters a list of referrers by artifact type. Returns the registry's own bytes when all entries are of this type;
 * undefined when the document has no list of entries.
 */
export async function filterReferrers(
  list: Manifest,
  artifactType: string,
  repository: Repository,
  options: RequestOptions,
): Promise<Buffer | undefined> {
  const kept = await readAside('artifacts of a type', list, artifactType, turnOf(repository, options));
  if (kept === 'all') return list.bytes;
  return kept && Buffer.from(kept.buffer, kept.byteOffset, kept.byteLength);
}
