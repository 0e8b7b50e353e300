import { Writable } from 'node:stream';
import type { HostPlatform } from '../../../host/profile.ts';
import { normalizePlatform } from '../../../lib/platform.ts';
import {
  type Descriptor,
  type ImageIndex,
  isImageEntry,
  parseManifestDocument,
} from '../../../oci/manifest.ts';
import { isIndexType } from '../../../oci/media-type.ts';
import type { ManifestReference, Repository } from '../../../oci/reference.ts';
import type { Registry } from '../../../oci/registry.ts';
import { RegistryError } from '../../../oci/registry-error.ts';

/** What a pull on this host fetches. */
interface WarmPlan {
  /** The configuration and the layers, each once. */
  readonly blobs: readonly Descriptor[];
  readonly sizeBytes: number;
}

/** Maximum depth: an index may contain an index. */
const DEPTH_MAX = 3;
const BLOBS_AT_ONCE = 3;

/** Returns the entry that a runtime chooses: the first image of its platform, or else a nested index. */
function entryFor({ entries }: ImageIndex, host: HostPlatform): Descriptor | undefined {
  const wanted = normalizePlatform(host);
  const isOfHost = ({ platform }: Descriptor) => {
    const own = platform && normalizePlatform(platform);
    return own?.os === wanted.os && own.architecture === wanted.architecture;
  };
  return (
    entries.find((entry) => isImageEntry(entry) && isOfHost(entry)) ??
    entries.find(({ mediaType }) => isIndexType(mediaType))
  );
}

/** Resolves a name to the image that this host would pull. @throws {RegistryError} */
export async function planWarm(
  registry: Registry,
  repository: Repository,
  reference: ManifestReference,
  { host, signal }: { readonly host: HostPlatform; readonly signal: AbortSignal },
): Promise<WarmPlan> {
  let asked = reference;
  for (let depth = 0; depth < DEPTH_MAX; depth += 1) {
    const { bytes, mediaType } = await registry.manifest(repository, asked, { signal });
    const document = parseManifestDocument(bytes, mediaType);
    if (document.kind === 'image') {
      const all = [document.config, ...document.layers];
      const blobs = [...new Map(all.map((blob) => [blob.digest, blob])).values()];
      return { blobs, sizeBytes: blobs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) };
    }
    const entry = document.kind === 'index' ? entryFor(document, host) : undefined;
    if (entry === undefined) break;
    asked = { kind: 'digest', digest: entry.digest };
  }
  throw new RegistryError('MANIFEST_UNKNOWN', `it has no image for ${host.os}/${host.architecture}`);
}

/**
 * Fetches blobs, several at a time. A stored blob is read, not fetched again. After a failure no more bytes are
 * fetched.
 * @throws {RegistryError}
 */
export async function fetchBlobs(
  registry: Registry,
  repository: Repository,
  blobs: readonly Descriptor[],
  { onBytes, signal }: { readonly onBytes: (count: number) => void; readonly signal: AbortSignal },
): Promise<void> {
  const waiting = [...blobs];
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      either.throwIfAborted();
      await fetchBlob(registry, repository, next, onBytes, either);
    }
  };
  await Promise.all(
    Array.from({ length: BLOBS_AT_ONCE }, () =>
      work().catch((error: unknown) => {
        failed.abort(error);
      }),
    ),
  );
  either.throwIfAborted();
}

async function fetchBlob(
  registry: Registry,
  repository: Repository,
  { digest }: Descriptor,
  onBytes: (count: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const blob = await registry.blob(repository, digest, { follow: true, signal });
  if (blob.kind === 'redirect')
    throw new RegistryError('UNAVAILABLE', `${digest} can only be fetched elsewhere`);
  const sink = new Writable({
    signal,
    write: (chunk: Buffer, _encoding, done) => {
      onBytes(chunk.length);
      done();
    },
  });
  await blob.writeTo(sink);
}
