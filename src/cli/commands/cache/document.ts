import * as v from 'valibot';
import { Count, DigestText, described, MediaType, SizeBytes, Texts } from '../../document-schema.ts';

/** A manifest or a blob in the store. */
const Item = v.object({
  digest: DigestText,
  kind: v.optional(
    described(
      v.picklist(['manifest', 'blob', 'derived']),
      'derived: an index that MetaHub wrote; absent: the record is missing, and nobody gets this content',
    ),
  ),
  mediaType: v.optional(MediaType),
  repository: v.optional(
    described(v.string(), 'the repository that delivered it first: docker.io/library/alpine'),
  ),
  tags: described(Texts, 'the tags that point to it: docker.io/library/alpine:latest'),
  sizeBytes: SizeBytes,
  diskBytes: described(Count, 'what it takes on disk in bytes, its record included'),
  usedMs: described(v.number(), 'the last use in milliseconds since 1970-01-01, accurate to the hour'),
});

/** The output of `metahub cache ls --json`. */
export const CACHE_LIST = v.object({
  items: described(v.array(Item), 'all stored content, the least recently used first'),
  cacheSize: described(v.number(), 'the limit of the cache in bytes'),
});

/** The output of `metahub cache verify --json`. */
export const CACHE_VERIFICATION = v.object({
  verified: described(Count, 'how many items were read'),
  corrupt: described(v.array(Item), 'those that did not have their digest; they are removed'),
});

/** The output of `metahub cache prune --json`. */
export const CACHE_PRUNING = v.object({
  dryRun: described(v.boolean(), 'true: nothing was removed'),
  dropped: described(v.array(Item), 'what was removed, or would be'),
  diskBytes: described(Count, 'what it took on disk in bytes'),
});
