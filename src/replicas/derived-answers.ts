import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import * as v from 'valibot';
import type { SharedState } from '../lib/shared-state.ts';
import type { DerivedAnswers } from '../oci/content-store.ts';
import { type Digest, digestOf } from '../oci/digest.ts';
import { isIndexType } from '../oci/media-type.ts';
import type { Repository } from '../oci/reference.ts';
import { type Access, hasOwnLogin, type Manifest } from '../oci/registry.ts';

/**
 * How long Redis keeps a derived answer, in milliseconds. Runtimes ask for an announced digest within
 * seconds; later MetaHub derives the answer again from its tag.
 */
const TTL_MS = 60 * 60_000;
/** Maximum size of a shared answer, in bytes. Each replica derives larger ones itself. */
const ANSWER_MAX_BYTES = 512 * 1024;
const SHARED_MAX = 10_000;

const ANSWER = v.object({
  mediaType: v.pipe(v.string(), v.check(isIndexType)),
  text: v.pipe(v.string(), v.maxLength(ANSWER_MAX_BYTES)),
});

function keyOf({ host, name }: Repository, digest: Digest, access: Access | undefined): string {
  const scope = JSON.stringify([access?.partition ?? '', host, name]);
  return `derived:${createHash('sha256').update(scope).digest('base64url')}:${digest}`;
}

/** True when the bytes are an image index. */
export type IsIndex = (source: Pick<Manifest, 'bytes' | 'mediaType'>) => Promise<boolean>;

/** Verifies a shared answer; undefined unless it is an image index with this digest. */
async function verifyShared(
  { mediaType, text }: v.InferOutput<typeof ANSWER>,
  digest: Digest,
  isIndex: IsIndex,
): Promise<Manifest | undefined> {
  const bytes = Buffer.from(text);
  if (digestOf(bytes) !== digest || !(await isIndex({ bytes, mediaType }))) return undefined;
  return { digest, mediaType, bytes, maxAgeMs: Number.POSITIVE_INFINITY };
}

/**
 * Shares derived answers, so that one replica can deliver what another has announced. Verifies each shared
 * answer, and does not store it. Does not share answers to a client's own login, because the registry decides
 * about each of its requests.
 */
export function sharedDerivedAnswers(
  own: DerivedAnswers,
  state: SharedState,
  isIndex: IsIndex,
  now: () => number,
): DerivedAnswers {
  const sharedMs = new LRUCache<string, number>({ max: SHARED_MAX });

  async function share(
    repository: Repository,
    { digest, mediaType, bytes }: Manifest,
    access: Access | undefined,
  ) {
    if (hasOwnLogin(access) || bytes.length > ANSWER_MAX_BYTES) return;
    const key = keyOf(repository, digest, access);
    const isRecent = now() - (sharedMs.get(key) ?? Number.NEGATIVE_INFINITY) < TTL_MS / 2;
    if (isRecent || state.trouble !== undefined) return;
    const isSet = await state.set(key, { mediaType, text: bytes.toString('utf8') }, TTL_MS);
    if (isSet) sharedMs.set(key, now());
  }

  // Redis may have lost all answers, so each is shared again at its next request.
  state.onReturn(() => sharedMs.clear());

  return {
    keep: async (repository, answer, access) => {
      await own.keep(repository, answer, access);
      await share(repository, answer, access);
    },
    find: async (repository, digest, access) => {
      const found = await own.find(repository, digest, access);
      if (found !== undefined || hasOwnLogin(access)) return found;
      const shared = await state.get(keyOf(repository, digest, access), ANSWER);
      return shared && verifyShared(shared, digest, isIndex);
    },
  };
}
