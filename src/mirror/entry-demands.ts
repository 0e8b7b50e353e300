import { Writable } from 'node:stream';
import { LRUCache } from 'lru-cache';
import type { HostPlatform } from '../host/profile.ts';
import { normalizePlatform } from '../lib/platform.ts';
import type { Digest } from '../oci/digest.ts';
import { type Descriptor, isImageEntry, type ManifestDocument } from '../oci/manifest.ts';
import type { Repository } from '../oci/reference.ts';
import type { Registry, RequestOptions } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { Demand } from '../selection/demands.ts';
import type { ExtraDemands } from '../selection/select.ts';

/** An index with more entries for one platform than this is not worth as many requests. */
export const ENTRIES_MAX = 32;
/** Demands remembered by the digest of their manifest, in characters. */
const REMEMBERED_MAX_CHARACTERS = 1024 * 1024;
/** What an image costs that demands nothing. */
const OVERHEAD_CHARACTERS = 256;

/** What stands in a registry about the entries of an index, beside the index. */
export type ReadDemands = (
  repository: Repository,
  document: ManifestDocument,
  options?: RequestOptions,
) => Promise<ExtraDemands | undefined>;

/** Reads what one manifest demands. @throws {RegistryError} */
export type ReadDemandsOf = (
  repository: Repository,
  digest: Digest,
  options: RequestOptions,
) => Promise<readonly Demand[]>;

/** The entries of an index among which a host of this platform chooses. */
export function candidatesOf(document: ManifestDocument, host: HostPlatform): readonly Descriptor[] {
  if (document.kind !== 'index') return [];
  const { os, architecture } = normalizePlatform(host);
  return document.entries.filter(
    (entry) =>
      entry.platform?.os === os && entry.platform.architecture === architecture && isImageEntry(entry),
  );
}

/** For how long what was read is remembered, by which clock. */
export interface Expiry {
  readonly ttlMs: number;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/** Remembers what was read, by default for ever. What upstream does not have demands nothing. */
export function rememberDemands(read: ReadDemandsOf, expiry?: Expiry): ReadDemandsOf {
  const known = new LRUCache<Digest, readonly Demand[]>({
    maxSize: REMEMBERED_MAX_CHARACTERS,
    sizeCalculation: (demands) => OVERHEAD_CHARACTERS + JSON.stringify(demands).length,
    ...(expiry === undefined ? {} : { ttl: expiry.ttlMs, ttlResolution: 0, perf: { now: expiry.now } }),
  });
  return async (repository, digest, options) => {
    const remembered = known.get(digest);
    if (remembered !== undefined) return remembered;
    try {
      const demands = await read(repository, digest, options);
      known.set(digest, demands);
      return demands;
    } catch (error) {
      if (error instanceof RegistryError && error.status === 404) return [];
      throw error;
    }
  };
}

/** Demands of two sources, of each entry together. */
export function joinDemands(...all: readonly (ExtraDemands | undefined)[]): ExtraDemands | undefined {
  const joined = new Map<string, readonly Demand[]>();
  for (const demands of all) {
    for (const [digest, more] of demands ?? []) joined.set(digest, [...(joined.get(digest) ?? []), ...more]);
  }
  return joined.size === 0 ? undefined : joined;
}

/** A blob's bytes; undefined when it says that it is larger than `maxBytes`, or is to be fetched elsewhere. */
export async function readSmallBlob(
  registry: Registry,
  repository: Repository,
  { digest, sizeBytes }: Pick<Descriptor, 'digest' | 'sizeBytes'>,
  options: RequestOptions & { readonly maxBytes: number },
): Promise<Buffer | undefined> {
  const { maxBytes, ...asked } = options;
  if (sizeBytes > maxBytes) return undefined;
  const blob = await registry.blob(repository, digest, { ...asked, follow: true });
  if (blob.kind === 'redirect') return undefined;
  const chunks: Buffer[] = [];
  let received = 0;
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      received += chunk.length;
      // Copied: a chunk's memory is the source's again once it is written.
      chunks.push(Buffer.from(chunk));
      done(received > maxBytes ? new Error('the blob is larger than it says') : undefined);
    },
  });
  sink.on('error', () => {
    // `writeTo` rejects with it; without a listener it would end the process.
  });
  await blob.writeTo(sink);
  return Buffer.concat(chunks);
}
