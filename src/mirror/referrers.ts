import type { Repository } from '../oci/reference.ts';
import type { Manifest, RequestOptions } from '../oci/registry.ts';
import { readAside } from './documents/reading.ts';
import { turnOf } from './entry-demands.ts';

/**
 * A list of referrers with only those of this type, in the registry's own bytes when that is all of them; undefined when the
 * document is no list of entries.
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
