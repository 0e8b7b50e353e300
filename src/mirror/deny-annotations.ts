import { isImageConfigType } from '../oci/manifest.ts';
import { formatReference, type ManifestReference, type Repository, type Tag } from '../oci/reference.ts';
import { type Manifest, type Registry, type RequestOptions, turnOf } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { SelectionPolicy } from '../selection/policy.ts';
import type { ConfigDescriptor } from './documents/parts.ts';
import { readAside } from './documents/reading.ts';
import { fetchImageConfig } from './entry-demands.ts';

/** Finds a denied label in an image's configuration. `isReadable`: false when the labels cannot be read. */
async function deniedLabel(
  registry: Registry,
  repository: Repository,
  descriptor: ConfigDescriptor,
  policy: SelectionPolicy,
  options: RequestOptions,
): Promise<{ readonly isReadable: boolean; readonly label?: string | undefined }> {
  const config = await fetchImageConfig(registry, repository, descriptor, options);
  const found = config && (await readAside('denied label', config, policy, turnOf(repository, options)));
  if (found?.isReadable) return found;
  // The configuration of an artifact need not be JSON; then it has no labels.
  return { isReadable: !isImageConfigType(descriptor.mediaType) };
}

/**
 * A registry without those images and indexes that have an annotation, or a label in their configuration, that the
 * operator denies. Requests by tag and by digest are refused alike, because some annotations instruct a runtime as
 * soon as it has them. The entries of an index are left to the selection.
 * @see https://github.com/podman-container-tools/podman/security/advisories/GHSA-2cvf-wqm6-wr9g (CVE-2026-94603)
 * @see https://github.com/containerd/containerd/security/advisories/GHSA-xhf5-7wjv-pqxp (CVE-2026-53488)
 */
export function denyAnnotations(
  next: Registry,
  policyFor: (repository: Repository, tag?: Tag) => SelectionPolicy,
): Registry {
  async function check(
    repository: Repository,
    reference: ManifestReference,
    manifest: Manifest,
    options: RequestOptions,
  ): Promise<Manifest> {
    const policy = policyFor(repository, reference.kind === 'tag' ? reference.tag : undefined);
    if (!policy.denyAnnotations?.length) return manifest;
    const refuse = (why: string) =>
      new RegistryError('DENIED', `${formatReference(repository, reference)} ${why}`);
    const { annotation, config } = await readAside(
      'denied annotation',
      manifest,
      policy,
      turnOf(repository, options),
    );
    if (annotation !== undefined) {
      throw refuse(`carries the annotation ${annotation}, which the operator denies`);
    }
    if (config === undefined) return manifest;
    const { isReadable, label } = await deniedLabel(next, repository, config, policy, options);
    if (!isReadable) throw refuse('has a configuration that MetaHub cannot search for denied labels');
    if (label !== undefined) throw refuse(`carries the label ${label}, which the operator denies`);
    return manifest;
  }
  return {
    ...next,
    manifest: async (repository, reference, options = {}) =>
      check(repository, reference, await next.manifest(repository, reference, options), options),
  };
}
