import type { ManifestReference, Repository } from '../oci/reference.ts';
import type { Registry } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';

/** A repository that no registry has. A runtime requests a tag of it to test whether its requests arrive here. */
export const TEST_REPOSITORY = 'metahub/doctor';
const TAGS_MAX = 64;

/** The tags of {@link TEST_REPOSITORY} that clients requested recently. */
export interface ConnectionTests {
  /** The oldest first. */
  readonly requestedTags: () => readonly string[];
  /** The registry, but with manifests of {@link TEST_REPOSITORY} answered here instead of upstream. */
  watch(registry: Registry): Registry;
}

export function createConnectionTests(): ConnectionTests {
  const requested = new Set<string>();

  function note(reference: ManifestReference): never {
    if (reference.kind === 'tag') {
      requested.delete(reference.tag);
      requested.add(reference.tag);
      for (const oldest of requested) {
        if (requested.size <= TAGS_MAX) break;
        requested.delete(oldest);
      }
    }
    throw new RegistryError(
      'MANIFEST_UNKNOWN',
      `${TEST_REPOSITORY} only tests whether a runtime uses this mirror`,
    );
  }
  const isTest = ({ name }: Repository) => name === TEST_REPOSITORY;

  return {
    requestedTags: () => [...requested],
    watch: (registry) => ({
      resolve: async (repository, reference, options) =>
        isTest(repository) ? note(reference) : registry.resolve(repository, reference, options),
      manifest: async (repository, reference, options) =>
        isTest(repository) ? note(reference) : registry.manifest(repository, reference, options),
      statBlob: (repository, digest, options) => registry.statBlob(repository, digest, options),
      blob: (repository, digest, options) => registry.blob(repository, digest, options),
      smallBlob: (repository, digest, options) => registry.smallBlob?.(repository, digest, options),
      tags: (repository, options) => registry.tags(repository, options),
      referrers: (repository, digest, options) => registry.referrers(repository, digest, options),
    }),
  };
}
