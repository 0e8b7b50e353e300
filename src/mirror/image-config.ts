import type { HostPlatform } from '../host/profile.ts';
import { parseJson } from '../lib/bounded-json.ts';
import { type Descriptor, parseManifestDocument } from '../oci/manifest.ts';
import type { Repository } from '../oci/reference.ts';
import type { Registry, RequestOptions } from '../oci/registry.ts';
import { environmentDemands } from '../selection/matchers/nvidia.ts';
import {
  candidatesOf,
  ENTRIES_MAX,
  type ReadDemands,
  readSmallBlob,
  rememberDemands,
} from './entry-demands.ts';

/** A configuration is a few kilobytes; what is larger is not read, in bytes. */
const CONFIG_MAX_BYTES = 1024 * 1024;

/** The JSON of an image's configuration; undefined when it is too large or no JSON object. */
export async function readImageConfig(
  registry: Registry,
  repository: Repository,
  config: Descriptor,
  options: RequestOptions,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  const bytes = await readSmallBlob(registry, repository, config, { ...options, maxBytes: CONFIG_MAX_BYTES });
  return bytes === undefined ? undefined : parseConfig(bytes);
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

/** `config.Env` of an image's configuration; nothing when it has none that can be read. */
export function environmentOf(document: Readonly<Record<string, unknown>>): readonly string[] {
  const { config } = document as { readonly config?: { readonly Env?: unknown } | null };
  const environment = typeof config === 'object' ? config?.Env : undefined;
  return Array.isArray(environment) ? environment.filter((line) => typeof line === 'string') : [];
}

/**
 * Reads `NVIDIA_REQUIRE_*` of the entries for this platform. It costs two requests for each entry, once; so it is done
 * where a policy asks for it only. What upstream does not have demands nothing; another failure is a failure of the pull.
 */
export function createEnvironmentReader(registry: Registry, platform: HostPlatform): ReadDemands {
  const demandsOf = rememberDemands(async (repository, digest, options) => {
    const manifest = await registry.manifest(repository, { kind: 'digest', digest }, options);
    const document = parseManifestDocument(manifest.bytes, manifest.mediaType);
    if (document.kind !== 'image') return [];
    const config = await readImageConfig(registry, repository, document.config, options);
    return config === undefined ? [] : environmentDemands(environmentOf(config));
  });

  return async (repository, document, options = {}) => {
    const candidates = candidatesOf(document, platform);
    if (candidates.length === 0 || candidates.length > ENTRIES_MAX) return undefined;
    const digests = candidates.map(({ digest }) => digest);
    const demands = await Promise.all(digests.map((digest) => demandsOf(repository, digest, options)));
    return new Map(digests.map((digest, at) => [digest, demands[at] ?? []]));
  };
}
