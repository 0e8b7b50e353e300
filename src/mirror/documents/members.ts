import type { AssembledMember } from '../../oci/build-index.ts';
import type { ListMember, MemberPlatform } from '../../oci/image-list.ts';
import { type Descriptor, type ImageIndex, isImageEntry, parseManifestDocument } from '../../oci/manifest.ts';
import type { Manifest } from '../../oci/registry.ts';
import { RegistryError } from '../../oci/registry-error.ts';
import { type ConfigDescriptor, configDescriptorOf } from './parts.ts';
import type { DocumentSource } from './source.ts';

/** Limit of images from one member: lists are assembled on the event loop, and an index of so many entries is large. */
const IMAGES_MAX = 1000;

/** What a list states about a member, and the digest of the manifest that was found for it. */
export type MemberDetails = Pick<ListMember, 'platform' | 'annotations'> & Pick<Manifest, 'digest'>;

/** The images of a member. `unplaced`: an image whose platform only its configuration states. */
export interface MembersRead {
  readonly members: readonly AssembledMember[];
  readonly unplaced?: {
    readonly image: Omit<AssembledMember, 'platform'>;
    readonly config: ConfigDescriptor;
  };
}

/** The entry of an index for the member's platform. */
function entryFor(index: ImageIndex, { os, architecture, variant }: MemberPlatform) {
  const candidates = index.entries.filter(
    (entry) =>
      entry.platform?.os === os && entry.platform.architecture === architecture && isImageEntry(entry),
  );
  // Stryker disable next-line OptionalChaining: every candidate has a platform.
  const ofVariant = candidates.find(({ platform }) => platform?.variant === variant);
  return ofVariant ?? candidates[0];
}

/** The image entries of an index that state a platform. */
function statedEntries(
  { entries }: ImageIndex,
  annotations: Descriptor['annotations'],
): readonly AssembledMember[] {
  const members = entries.flatMap((entry) => {
    const { mediaType, digest, sizeBytes, platform, annotations: own } = entry;
    return isImageEntry(entry) && platform !== undefined && platform.os !== 'unknown'
      ? [{ mediaType, digest, sizeBytes, platform, annotations: { ...own, ...annotations } }]
      : [];
  });
  if (members.length <= IMAGES_MAX) return members;
  throw new RegistryError('MANIFEST_INVALID', `it has more than ${IMAGES_MAX} images`);
}

/**
 * The images that a member adds to its list.
 * @throws {RegistryError} MANIFEST_INVALID
 */
export function readMembers(
  { bytes, mediaType }: DocumentSource,
  { platform, annotations, digest }: MemberDetails,
): MembersRead {
  const document = parseManifestDocument(bytes, mediaType);
  const image = { mediaType: document.mediaType, digest, sizeBytes: bytes.length, annotations };
  switch (document.kind) {
    case 'opaque':
      return { members: [] };
    case 'image':
      return platform === undefined
        ? { members: [], unplaced: { image, config: configDescriptorOf(document) } }
        : { members: [{ ...image, platform }] };
    case 'index': {
      if (platform === undefined) return { members: statedEntries(document, annotations) };
      const entry = entryFor(document, platform);
      if (entry === undefined) return { members: [] };
      const { mediaType: ofEntry, digest: named, sizeBytes } = entry;
      return { members: [{ mediaType: ofEntry, digest: named, sizeBytes, platform, annotations }] };
    }
  }
}
