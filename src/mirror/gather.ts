import type { AssembledMember } from '../oci/assemble.ts';
import { type ImageIndex, parseManifestDocument } from '../oci/image-index.ts';
import { type ListMember, type ListSpec, type MemberPlatform, memberImage } from '../oci/list-spec.ts';
import { isImageManifestType } from '../oci/media-type.ts';
import type { ImageReference, Tag } from '../oci/reference.ts';
import type { Registry, RequestOptions } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';

/** A member that was found, and where. */
export interface Gathered {
  readonly member: AssembledMember;
  readonly image: ImageReference;
  /** For how long its tag may be believed, in milliseconds. */
  readonly maxAgeMs: number;
}

/** A member that was left out. */
export interface Missing {
  readonly image: string;
  readonly reason: string;
  /** It is not there; otherwise it could not be asked for, and may be there the next time. */
  readonly isUnknown: boolean;
}

export interface Gathering {
  readonly found: readonly Gathered[];
  readonly missing: readonly Missing[];
}

/** Of an index that stands where an image was named: the entry for the member's platform. */
function entryFor(index: ImageIndex, { os, architecture, variant }: MemberPlatform) {
  const candidates = index.entries.filter(
    ({ platform, mediaType }) =>
      platform?.os === os && platform.architecture === architecture && isImageManifestType(mediaType),
  );
  const ofVariant = candidates.find(({ platform }) => platform?.variant === variant);
  return ofVariant ?? candidates[0];
}

async function gatherOne(
  member: ListMember,
  image: ImageReference,
  registry: Registry,
  options: RequestOptions,
): Promise<Gathered> {
  const manifest = await registry.manifest(image.repository, image.reference, options);
  const document = parseManifestDocument(manifest.bytes, manifest.mediaType);
  const { platform, annotations } = member;
  const { maxAgeMs } = manifest;
  if (document.kind === 'image') {
    const { digest, bytes } = manifest;
    const { mediaType } = document;
    return {
      member: { mediaType, digest, sizeBytes: bytes.length, platform, annotations },
      image,
      maxAgeMs,
    };
  }
  const entry = document.kind === 'index' ? entryFor(document, platform) : undefined;
  if (entry === undefined) {
    throw new RegistryError(
      'MANIFEST_UNKNOWN',
      `it has no image for ${platform.os}/${platform.architecture}`,
    );
  }
  const { mediaType, digest, sizeBytes } = entry;
  return { member: { mediaType, digest, sizeBytes, platform, annotations }, image, maxAgeMs };
}

/** Asks for every member of a list at once; what cannot be had is reported, in the list's order, and left out. */
export async function gather(
  spec: ListSpec,
  tag: Tag,
  registry: Registry,
  options: RequestOptions = {},
): Promise<Gathering> {
  const outcomes = await Promise.all(
    spec.members.map(async (member): Promise<Gathered | Missing> => {
      const image = memberImage(member, tag);
      const name = member.image.replaceAll('{tag}', tag);
      if (image === undefined) return { image: name, reason: 'is no image name', isUnknown: true };
      try {
        return await gatherOne(member, image, registry, options);
      } catch (error) {
        if (!(error instanceof RegistryError)) throw error;
        return { image: name, reason: error.message, isUnknown: error.status === 404 };
      }
    }),
  );
  return {
    found: outcomes.filter((outcome) => 'member' in outcome),
    missing: outcomes.filter((outcome) => 'reason' in outcome),
  };
}
