import { Writable } from 'node:stream';
import { LRUCache } from 'lru-cache';
import type { HostPlatform } from '../host/profile.ts';
import type { Digest } from '../oci/digest.ts';
import type { Descriptor } from '../oci/manifest.ts';
import { formatRepository, type Repository } from '../oci/reference.ts';
import { type Registry, type RequestOptions, turnOf } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { COMPATIBILITY, type Demand, UNREADABLE } from '../selection/demands.ts';
import { environmentDemands } from '../selection/matchers/nvidia.ts';
import type { ExtraDemands } from '../selection/select.ts';
import { readAside } from './documents/reading.ts';
import type { DocumentSource } from './documents/source.ts';

/** Limit of the entries that are read for one platform: each costs requests. */
export const ENTRIES_MAX = 32;
/** Limit of cached demands, in characters. */
const REMEMBERED_MAX_CHARACTERS = 1024 * 1024;
/** What an image without demands costs in the cache, in characters. */
const OVERHEAD_CHARACTERS = 256;

/** Reads demands of an index's entries that are outside the index. */
export type ReadDemands = (
  repository: Repository,
  index: DocumentSource,
  options?: RequestOptions,
) => Promise<ExtraDemands | undefined>;

/**
 * Reads the demands of one manifest.
 * @throws {RegistryError}
 */
export type ReadDemandsOf = (
  repository: Repository,
  digest: Digest,
  options: RequestOptions,
) => Promise<readonly Demand[]>;

/** How long demands are cached. */
export interface Expiry {
  readonly ttlMs: number;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/**
 * Caches what `read` returns, by default forever, for each repository and partition: an artifact of one repository
 * says nothing about the same digest in another. Content that upstream does not have demands nothing.
 */
export function rememberDemands(read: ReadDemandsOf, expiry?: Expiry): ReadDemandsOf {
  const known = new LRUCache<string, readonly Demand[]>({
    maxSize: REMEMBERED_MAX_CHARACTERS,
    sizeCalculation: (demands, key) => OVERHEAD_CHARACTERS + key.length + JSON.stringify(demands).length,
    ...(expiry === undefined ? {} : { ttl: expiry.ttlMs, ttlResolution: 0, perf: { now: expiry.now } }),
  });
  return async (repository, digest, options) => {
    const key = `${options.access?.partition ?? ''} ${formatRepository(repository)} ${digest}`;
    const remembered = known.get(key);
    if (remembered !== undefined) return remembered;
    try {
      const demands = await read(repository, digest, options);
      known.set(key, demands);
      return demands;
    } catch (error) {
      if (error instanceof RegistryError && error.status === 404) return [];
      throw error;
    }
  };
}

/** Joins the demands of several sources, for each entry. */
export function joinDemands(...all: readonly (ExtraDemands | undefined)[]): ExtraDemands | undefined {
  const joined = new Map<string, readonly Demand[]>();
  for (const demands of all) {
    for (const [digest, more] of demands ?? []) joined.set(digest, [...(joined.get(digest) ?? []), ...more]);
  }
  return joined.size === 0 ? undefined : joined;
}

/** Reads a small blob. Undefined when it is announced as larger than `maxBytes`, or when upstream redirects. */
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
      // Copied, because the chunk's memory is reused after the write.
      chunks.push(Buffer.from(chunk));
      done(received > maxBytes ? new Error('the blob is larger than its stated size') : undefined);
    },
  });
  sink.on('error', () => {
    // `writeTo` rejects with the same error. Without a listener it would end the process.
  });
  await blob.writeTo(sink);
  return Buffer.concat(chunks);
}

/** Limit of a configuration, in bytes. The usual size is a few kilobytes. */
const CONFIG_MAX_BYTES = 1024 * 1024;

/** An image's configuration; undefined when it is too large. */
export async function fetchImageConfig(
  registry: Registry,
  repository: Repository,
  config: Pick<Descriptor, 'mediaType' | 'digest' | 'sizeBytes'>,
  options: RequestOptions,
): Promise<DocumentSource | undefined> {
  const bytes = await readSmallBlob(registry, repository, config, { ...options, maxBytes: CONFIG_MAX_BYTES });
  return bytes && { bytes, mediaType: config.mediaType };
}

/**
 * Reads `NVIDIA_REQUIRE_*` from the configurations of the entries for this platform. It costs two requests for each
 * entry, once, so it runs only where a policy asks for it. Content that upstream does not have demands nothing; any
 * other failure fails the pull.
 */
export function createEnvironmentReader(registry: Registry, platform: HostPlatform): ReadDemands {
  const demandsOf = rememberDemands(async (repository, digest, options) => {
    const turn = turnOf(repository, options);
    const manifest = await registry.manifest(repository, { kind: 'digest', digest }, options);
    const descriptor = await readAside('configuration', manifest, undefined, turn);
    const config = descriptor && (await fetchImageConfig(registry, repository, descriptor, options));
    return config ? environmentDemands(await readAside('environment', config, undefined, turn)) : [];
  });

  return async (repository, index, options = {}) => {
    const digests = await readAside('candidates', index, platform, turnOf(repository, options));
    if (digests.length === 0 || digests.length > ENTRIES_MAX) return undefined;
    const demands = await Promise.all(digests.map((digest) => demandsOf(repository, digest, options)));
    return new Map(digests.map((digest, at) => [digest, demands[at] ?? []]));
  };
}

/**
 * The artifact type that node-feature-discovery 0.17 to 0.20 uses.
 * @see https://kubernetes-sigs.github.io/node-feature-discovery/stable/usage/image-compatibility.html#oci-artifact
 */
const ARTIFACT_TYPE = 'application/vnd.nfd.image-compatibility.v1alpha1';
const SPEC_TYPE = /^application\/vnd\.nfd\.image-compatibility\.spec\.v1alpha1\+(?:yaml|json)$/;
const SOURCE = 'NFD compatibility artifact';
/** Limit of an artifact's specification, in bytes. The usual size is a few kilobytes. */
const SPEC_MAX_BYTES = 64 * 1024;
/** How long a newly attached artifact may go unnoticed, in milliseconds. */
const COMPATIBILITY_TTL_MS = 10 * 60_000;

/** Reads the demands of the artifacts of an index and of its entries. `digest` is that of the index. */
export type ReadCompatibility = (
  repository: Repository,
  index: DocumentSource,
  digest: Digest,
  options?: RequestOptions,
) => Promise<ExtraDemands | undefined>;

/** A demand that no host satisfies, because an artifact that cannot be read might demand anything. */
function unreadable(why: string): readonly Demand[] {
  return [{ key: COMPATIBILITY, anyOf: [{ kind: UNREADABLE, value: why }], source: SOURCE }];
}

/**
 * Reads the compatibility artifacts of an index and of its entries. Those of the index count for each entry without
 * its own. It costs one request for each entry and two for each artifact, so it runs only where a policy asks for
 * it.
 */
export function createCompatibilityReader(
  registry: Registry,
  platform: HostPlatform,
  now: () => number,
): ReadCompatibility {
  const readOne: ReadDemandsOf = async (repository, digest, options) => {
    const found = await registry.referrers(repository, digest, { ...options, artifactType: ARTIFACT_TYPE });
    const newest = await readAside('newest artifact', found, ARTIFACT_TYPE, turnOf(repository, options));
    return newest === undefined ? [] : readArtifact(repository, newest, options);
  };
  const demandsOf = rememberDemands(readOne, { ttlMs: COMPATIBILITY_TTL_MS, now });

  async function readArtifact(
    repository: Repository,
    digest: Digest,
    options: RequestOptions,
  ): Promise<readonly Demand[]> {
    const turn = turnOf(repository, options);
    const manifest = await registry.manifest(repository, { kind: 'digest', digest }, options);
    const layer = await readAside('specification', manifest, undefined, turn);
    if (layer === undefined || !SPEC_TYPE.test(layer.mediaType)) {
      return unreadable(`${digest} has no specification of a known type`);
    }
    const bytes = await readSmallBlob(registry, repository, layer, { ...options, maxBytes: SPEC_MAX_BYTES });
    if (bytes === undefined) return unreadable(`${digest} is larger than ${SPEC_MAX_BYTES} bytes`);
    const source = { bytes, mediaType: layer.mediaType };
    const read = await readAside('compatibility sets', source, undefined, turn);
    if ('problem' in read) return unreadable(`${digest} cannot be read: ${read.problem}`);
    const feature = { kind: COMPATIBILITY, value: JSON.stringify(read.sets) };
    return [{ key: COMPATIBILITY, anyOf: [feature], source: SOURCE }];
  }

  return async (repository, index, digest, options = {}) => {
    const candidates = await readAside('candidates', index, platform, turnOf(repository, options));
    if (candidates.length === 0) return undefined;
    if (candidates.length > ENTRIES_MAX) {
      const why = unreadable(
        `an index with more than ${ENTRIES_MAX} entries for a platform is not looked up`,
      );
      return new Map(candidates.map((one) => [one, why]));
    }
    const [ofIndex, ...ofEntries] = await Promise.all(
      [digest, ...candidates].map((one) => demandsOf(repository, one, options)),
    );
    return new Map(
      candidates.map((entry, at) => {
        const own = ofEntries[at] ?? [];
        return [entry, own.length === 0 ? (ofIndex ?? []) : own];
      }),
    );
  };
}

/** Readers of demands that are outside an index. */
export interface DemandReaders {
  readonly readEnvironments: ReadDemands;
  readonly readCompatibility: ReadCompatibility;
}

/**
 * Call this only when a policy needs it: a site has hundreds of views, of which few read demands, and each has its
 * own cache.
 */
export function createDemandReaders(
  registry: Registry,
  platform: HostPlatform,
  now: () => number,
): DemandReaders {
  return {
    readEnvironments: createEnvironmentReader(registry, platform),
    readCompatibility: createCompatibilityReader(registry, platform, now),
  };
}
