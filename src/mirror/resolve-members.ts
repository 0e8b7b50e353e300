import type { AssembledMember } from '../oci/build-index.ts';
import {
  type ListMember,
  type ListSpec,
  type MemberPlatform,
  memberImage,
  memberName,
} from '../oci/image-list.ts';
import {
  type Descriptor,
  type ImageIndex,
  isImageEntry,
  type ManifestDocument,
  parseManifestDocument,
} from '../oci/manifest.ts';
import type { ImageReference, Tag } from '../oci/reference.ts';
import type { Manifest, Registry, RequestOptions } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { readImageConfig } from './image-config.ts';

/** A member that was found, and where. */
export interface ResolvedMembers {
  readonly member: AssembledMember;
  readonly image: ImageReference;
  /** For how long its tag may be believed, in milliseconds. */
  readonly maxAgeMs: number;
  /** Its registry could not confirm it. */
  readonly warning: string | undefined;
}

/** A member that was left out. */
export interface Missing {
  readonly image: string;
  readonly reason: string;
  /** It is not there; otherwise it could not be asked for, and may be there the next time. */
  readonly isUnknown: boolean;
}

export interface ResolveOptions {
  readonly found: readonly ResolvedMembers[];
  readonly missing: readonly Missing[];
}

/** Of an index that stands where an image was named: the entry for the member's platform. */
function entryFor(index: ImageIndex, { os, architecture, variant }: MemberPlatform) {
  const candidates = index.entries.filter(
    (entry) =>
      entry.platform?.os === os && entry.platform.architecture === architecture && isImageEntry(entry),
  );
  const ofVariant = candidates.find(({ platform }) => platform?.variant === variant);
  return ofVariant ?? candidates[0];
}

/** What an image says of itself where the list does not: an index by its entries, an image by its configuration. */
async function ownMembers(
  { annotations }: ListMember,
  manifest: Manifest,
  document: ManifestDocument,
  readConfig: (config: Descriptor) => Promise<Readonly<Record<string, unknown>> | undefined>,
): Promise<readonly AssembledMember[]> {
  if (document.kind === 'index') {
    return document.entries.flatMap((entry) => {
      const { mediaType, digest, sizeBytes, platform, annotations: own } = entry;
      return isImageEntry(entry) && platform !== undefined && platform.os !== 'unknown'
        ? [{ mediaType, digest, sizeBytes, platform, annotations: { ...own, ...annotations } }]
        : [];
    });
  }
  const config = document.kind === 'image' ? await readConfig(document.config) : undefined;
  const { os, architecture, variant } = config ?? {};
  if (typeof os !== 'string' || typeof architecture !== 'string') return [];
  const platform = {
    os,
    architecture,
    ...(typeof variant === 'string' && variant !== '' ? { variant } : {}),
    features: [],
    osFeatures: [],
  };
  const { digest, bytes } = manifest;
  return [{ mediaType: document.mediaType, digest, sizeBytes: bytes.length, platform, annotations }];
}

/** The one image that a list gives a platform to. */
function statedMember(
  { annotations }: ListMember,
  platform: MemberPlatform,
  { digest, bytes }: Manifest,
  document: ManifestDocument,
): readonly AssembledMember[] {
  if (document.kind === 'image') {
    return [{ mediaType: document.mediaType, digest, sizeBytes: bytes.length, platform, annotations }];
  }
  const entry = document.kind === 'index' ? entryFor(document, platform) : undefined;
  if (entry === undefined) return [];
  return [
    { mediaType: entry.mediaType, digest: entry.digest, sizeBytes: entry.sizeBytes, platform, annotations },
  ];
}

async function gatherOne(
  member: ListMember,
  image: ImageReference,
  registry: Registry,
  options: RequestOptions,
): Promise<readonly ResolvedMembers[]> {
  const { repository } = image;
  const manifest = await registry.manifest(repository, image.reference, options);
  const document = parseManifestDocument(manifest.bytes, manifest.mediaType);
  const { platform } = member;
  const found =
    platform === undefined
      ? await ownMembers(member, manifest, document, (config) =>
          readImageConfig(registry, repository, config, options),
        )
      : statedMember(member, platform, manifest, document);
  if (found.length === 0) {
    const wanted =
      platform === undefined ? 'that says what it runs on' : `for ${platform.os}/${platform.architecture}`;
    throw new RegistryError('MANIFEST_UNKNOWN', `it has no image ${wanted}`);
  }
  const { maxAgeMs, notices } = manifest;
  return found.map((one) => ({ member: one, image, maxAgeMs, warning: notices?.['warning'] }));
}

/** Asks for every member of a list at once; what cannot be had is reported, in the list's order, and left out. */
export async function resolveMembers(
  spec: ListSpec,
  tag: Tag,
  registry: Registry,
  options: RequestOptions = {},
): Promise<ResolveOptions> {
  const nested = await Promise.all(
    spec.members.map(async (member): Promise<readonly (ResolvedMembers | Missing)[]> => {
      const image = memberImage(spec, member, tag);
      const name = memberName(spec, member, tag);
      if (image === undefined) return [{ image: name, reason: 'is no image name', isUnknown: true }];
      try {
        return await gatherOne(member, image, registry, options);
      } catch (error) {
        if (!(error instanceof RegistryError)) throw error;
        return [{ image: name, reason: error.message, isUnknown: error.status === 404 }];
      }
    }),
  );
  const outcomes = nested.flat();
  return {
    found: outcomes.filter((outcome) => 'member' in outcome),
    missing: outcomes.filter((outcome) => 'reason' in outcome),
  };
}
