import {
  type Descriptor,
  type ImageManifest,
  type ManifestDocument,
  parseManifestDocument,
} from '../../../oci/manifest.ts';
import { isImageManifestType } from '../../../oci/media-type.ts';
import type { Repository } from '../../../oci/reference.ts';
import type { Manifest, Registry } from '../../../oci/registry.ts';
import { RegistryError } from '../../../oci/registry-error.ts';

/** A manifest, and what an index refers to. */
export interface Inspected {
  readonly name: string;
  readonly manifest: Manifest;
  readonly document: ManifestDocument;
  readonly members: readonly Member[];
}

/** An entry of an index with its image manifest, or why that cannot be fetched. */
export interface Member {
  readonly entry: Descriptor;
  readonly image: ImageManifest | undefined;
  readonly problem: string | undefined;
}

/** Maximum number of concurrent requests for manifests. */
const AT_ONCE = 8;

/**
 * Reads the image manifests of an index's entries. Reports a manifest that cannot be fetched, and continues
 * with the others.
 */
export async function readMembers(
  registry: Registry,
  repository: Repository,
  document: ManifestDocument,
): Promise<readonly Member[]> {
  if (document.kind !== 'index') return [];
  const members: Member[] = [];
  for (let at = 0; at < document.entries.length; at += AT_ONCE) {
    const some = document.entries.slice(at, at + AT_ONCE);
    members.push(...(await Promise.all(some.map((entry) => readMember(registry, repository, entry)))));
  }
  return members;
}

async function readMember(registry: Registry, repository: Repository, entry: Descriptor): Promise<Member> {
  if (!isImageManifestType(entry.mediaType)) return { entry, image: undefined, problem: undefined };
  try {
    const { bytes, mediaType } = await registry.manifest(repository, {
      kind: 'digest',
      digest: entry.digest,
    });
    const document = parseManifestDocument(bytes, mediaType);
    return { entry, image: document.kind === 'image' ? document : undefined, problem: undefined };
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    return { entry, image: undefined, problem: error.message };
  }
}
