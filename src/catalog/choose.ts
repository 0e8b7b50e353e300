import type { HostProfile } from '../host/profile.ts';
import { type AssembledMember, assembleIndex } from '../oci/build-index.ts';
import { digestOf } from '../oci/digest.ts';
import { type ListSpec, memberName } from '../oci/image-list.ts';
import { parseManifestDocument } from '../oci/manifest.ts';
import { MEDIA_TYPE } from '../oci/media-type.ts';
import type { Tag } from '../oci/reference.ts';
import { DEFAULT_POLICY, type SelectionPolicy } from '../selection/policy.ts';
import { type Selection, select } from '../selection/select.ts';
import type { NativeImage } from './entry.ts';

/** A member of a list in the index that is made from it. */
export interface ListedImage {
  /** `ghcr.io/huggingface/text-embeddings-inference:86-1.9`. */
  readonly name: string;
  readonly platform: AssembledMember['platform'];
}

/** Platforms of a member that takes its platform from its image: the two that nearly every publisher builds. */
const USUAL_PLATFORMS: readonly AssembledMember['platform'][] = ['amd64', 'arm64'].map((architecture) => ({
  os: 'linux',
  architecture,
  features: [],
  osFeatures: [],
}));

/** Returns the images of a list for a tag. Sends no request to a registry. */
export function listedImages(spec: ListSpec, tag: Tag): readonly ListedImage[] {
  return spec.members.flatMap((member) => {
    const name = memberName(spec, member, tag);
    const platforms = member.platform === undefined ? USUAL_PLATFORMS : [member.platform];
    return platforms.map((platform) => ({ name, platform }));
  });
}

/** Returns the images of an index that its publisher has marked. Their names are their platforms. */
export function nativeImages({ platforms }: NativeImage): readonly ListedImage[] {
  return platforms.map((name) => {
    const [os = '', architecture = '', variant] = name.split('/');
    const platform = { os, architecture, features: [], osFeatures: [] };
    return { name, platform: variant === undefined ? platform : { ...platform, variant } };
  });
}

/** The image that one host gets; undefined when it can run none of them. */
export interface Choice {
  readonly image: ListedImage | undefined;
  readonly selection: Selection;
}

/** Chooses among images as the mirror does, with an index of them that exists in no registry. */
export function choose(
  images: readonly ListedImage[],
  profile: HostProfile,
  policy: SelectionPolicy = DEFAULT_POLICY,
): Choice {
  const members = images.map(({ name, platform }, at) => ({
    mediaType: MEDIA_TYPE.ociManifest,
    digest: digestOf(Buffer.from(`${at} ${name}`)),
    sizeBytes: 1,
    platform,
    annotations: {},
  }));
  const { bytes, mediaType } = assembleIndex(members, { format: 'oci' });
  const document = parseManifestDocument(bytes, mediaType);
  if (document.kind !== 'index') throw new Error('an assembled index is an index');
  const selection = select(document, profile, policy);
  const position = selection.winner?.position;
  return { image: position === undefined ? undefined : images[position], selection };
}
