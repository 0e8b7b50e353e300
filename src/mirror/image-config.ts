import { Writable } from 'node:stream';
import { LRUCache } from 'lru-cache';
import type { HostPlatform } from '../host/profile.ts';
import { parseJson } from '../lib/bounded-json.ts';
import { normalizePlatform } from '../lib/platform.ts';
import type { Digest } from '../oci/digest.ts';
import {
  type Descriptor,
  isImageEntry,
  type ManifestDocument,
  parseManifestDocument,
} from '../oci/manifest.ts';
import type { Repository } from '../oci/reference.ts';
import type { Registry, RequestOptions } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { Demand } from '../selection/demands.ts';
import { environmentDemands } from '../selection/matchers/nvidia.ts';
import type { ExtraDemands } from '../selection/select.ts';

/** A configuration is a few kilobytes; what is larger is not read, in bytes. */
const CONFIG_MAX_BYTES = 1024 * 1024;

/** The JSON of an image's configuration; undefined when it is too large or no JSON object. */
export async function readImageConfig(
  registry: Registry,
  repository: Repository,
  config: Descriptor,
  options: RequestOptions,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  if (config.sizeBytes > CONFIG_MAX_BYTES) return undefined;
  const blob = await registry.blob(repository, config.digest, { ...options, follow: true });
  if (blob.kind === 'redirect') return undefined;
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      sizeBytes += chunk.length;
      // Copied: a chunk's memory is the source's again once it is written.
      chunks.push(Buffer.from(chunk));
      done(sizeBytes > CONFIG_MAX_BYTES ? new Error('the configuration is larger than it says') : undefined);
    },
  });
  sink.on('error', () => {
    // `writeTo` rejects with it; without a listener it would end the process.
  });
  await blob.writeTo(sink);
  return parseConfig(Buffer.concat(chunks));
}

/** Parsed JSON of a configuration; undefined when it is no object. */
export function parseConfig(bytes: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = parseJson(bytes);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    // An artifact's configuration need not be JSON.
    return undefined;
  }
}

/** What the entries of an index demand in the environment of their configurations. */
export type ReadEnvironments = (
  repository: Repository,
  document: ManifestDocument,
  options?: RequestOptions,
) => Promise<ExtraDemands | undefined>;

/** An index with more entries for one platform than this is not worth as many requests: none is read. */
const ENTRIES_MAX = 32;
/** Demands remembered by the digest of their manifest, as they never change, in characters. */
const REMEMBERED_MAX_CHARACTERS = 1024 * 1024;
/** What an image costs that demands nothing. */
const OVERHEAD_CHARACTERS = 256;

/** `config.Env` of an image's configuration; nothing when it has none that can be read. */
export function environmentOf(document: Readonly<Record<string, unknown>>): readonly string[] {
  const { config } = document as { readonly config?: { readonly Env?: unknown } | null };
  const environment = typeof config === 'object' ? config?.Env : undefined;
  return Array.isArray(environment) ? environment.filter((line) => typeof line === 'string') : [];
}

function candidatesOf(document: ManifestDocument, host: HostPlatform): readonly Descriptor[] {
  if (document.kind !== 'index') return [];
  const { os, architecture } = normalizePlatform(host);
  const entries = document.entries.filter(
    (entry) =>
      entry.platform?.os === os && entry.platform.architecture === architecture && isImageEntry(entry),
  );
  return entries.length > ENTRIES_MAX ? [] : entries;
}

/**
 * Reads `NVIDIA_REQUIRE_*` of the entries for this platform. It costs two requests for each entry, once; so it is done
 * where a policy asks for it only. What upstream does not have demands nothing; another failure is a failure of the pull.
 */
export function createEnvironmentReader(registry: Registry, platform: HostPlatform): ReadEnvironments {
  const known = new LRUCache<Digest, readonly Demand[]>({
    maxSize: REMEMBERED_MAX_CHARACTERS,
    sizeCalculation: (demands) => OVERHEAD_CHARACTERS + JSON.stringify(demands).length,
  });

  async function demandsOf(repository: Repository, entry: Descriptor, options: RequestOptions) {
    const { digest } = entry;
    const manifest = await registry.manifest(repository, { kind: 'digest', digest }, options);
    const document = parseManifestDocument(manifest.bytes, manifest.mediaType);
    if (document.kind !== 'image') return [];
    const config = await readImageConfig(registry, repository, document.config, options);
    return config === undefined ? [] : environmentDemands(environmentOf(config));
  }

  async function lookUp(
    repository: Repository,
    entry: Descriptor,
    options: RequestOptions,
  ): Promise<readonly [Digest, readonly Demand[]]> {
    const { digest } = entry;
    const remembered = known.get(digest);
    if (remembered !== undefined) return [digest, remembered];
    try {
      const demands = await demandsOf(repository, entry, options);
      known.set(digest, demands);
      return [digest, demands];
    } catch (error) {
      if (error instanceof RegistryError && error.status === 404) return [digest, []];
      throw error;
    }
  }

  return async (repository, document, options = {}) => {
    const candidates = candidatesOf(document, platform);
    if (candidates.length === 0) return undefined;
    return new Map(await Promise.all(candidates.map((entry) => lookUp(repository, entry, options))));
  };
}
