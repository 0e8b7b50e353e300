import { parseManifestObject } from '../oci/manifest.ts';
import { formatReference, type ManifestReference, type Repository, type Tag } from '../oci/reference.ts';
import type { Manifest, Registry } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { deniedAnnotation } from '../selection/denied.ts';
import type { SelectionPolicy } from '../selection/policy.ts';

function annotationsIn(bytes: Buffer): Readonly<Record<string, unknown>> {
  try {
    const { annotations } = parseManifestObject(bytes);
    return typeof annotations === 'object' && annotations !== null
      ? (annotations as Record<string, unknown>)
      : {};
  } catch (error) {
    // The next reader judges a document that this one cannot read.
    if (error instanceof RegistryError) return {};
    throw error;
  }
}

/**
 * A registry without the images and indexes that carry an annotation which the operator denies, asked for by tag or by digest:
 * some instruct a runtime as soon as it has them. Entries of an index are the selection's matter.
 * @see https://github.com/podman-container-tools/podman/security/advisories/GHSA-2cvf-wqm6-wr9g (CVE-2026-94603)
 */
export function denyAnnotations(
  next: Registry,
  policyFor: (repository: Repository, tag?: Tag) => SelectionPolicy,
): Registry {
  function check(repository: Repository, reference: ManifestReference, manifest: Manifest): Manifest {
    const policy = policyFor(repository, reference.kind === 'tag' ? reference.tag : undefined);
    if (!policy.denyAnnotations?.length) return manifest;
    const name = deniedAnnotation(annotationsIn(manifest.bytes), policy);
    if (name === undefined) return manifest;
    const image = formatReference(repository, reference);
    throw new RegistryError('DENIED', `${image} carries the annotation ${name}, which the operator denies`);
  }
  return {
    ...next,
    manifest: async (repository, reference, options) =>
      check(repository, reference, await next.manifest(repository, reference, options)),
  };
}
