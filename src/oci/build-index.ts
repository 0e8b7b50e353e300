import { type Digest, digestOf } from './digest.ts';
import type { MemberPlatform } from './image-list.ts';
import { MEDIA_TYPE } from './media-type.ts';

/** The annotation that repeats `platform.features`, because every tool keeps annotations. */
export const FEATURES_ANNOTATION = 'io.metahub.features';

/** An image to list. */
export interface AssembledMember {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly platform: MemberPlatform;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface AssembledIndex {
  readonly mediaType: string;
  readonly bytes: Buffer;
  readonly digest: Digest;
}

function platformOf({ os, architecture, variant, features, osFeatures }: MemberPlatform): object {
  return {
    architecture,
    os,
    ...(osFeatures.length === 0 ? {} : { 'os.features': osFeatures }),
    ...(variant === undefined ? {} : { variant }),
    ...(features.length === 0 ? {} : { features }),
  };
}

function annotationsOf({ platform, annotations }: AssembledMember): Readonly<Record<string, string>> {
  const { features } = platform;
  return features.length === 0 ? annotations : { [FEATURES_ANNOTATION]: features.join(','), ...annotations };
}

function entryOf(member: AssembledMember, withAnnotations: boolean): object {
  const annotations = annotationsOf(member);
  return {
    mediaType: member.mediaType,
    size: member.sizeBytes,
    digest: member.digest,
    platform: platformOf(member.platform),
    ...(withAnnotations && Object.keys(annotations).length > 0 ? { annotations } : {}),
  };
}

export interface AssembleOptions {
  /** A Docker manifest list or an OCI image index. Default: Docker's if all members are Docker's. */
  readonly format?: 'docker' | 'oci' | undefined;
  /**
   * Also write annotations into a Docker manifest list. That format does not define them, but its readers ignore
   * them.
   */
  readonly annotated?: boolean | undefined;
}

/**
 * Builds an index of images, in the given order: a Docker manifest list when all of them are Docker's, otherwise an
 * OCI image index. The same members give the same bytes.
 *
 * `features` is RESERVED in an OCI image index. It is written there because readers of it exist, and repeated as
 * the annotation `io.metahub.features` because tools that rewrite an index drop unknown fields.
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/image-index.md
 * @see https://distribution.github.io/distribution/spec/manifest-v2-2/#manifest-list
 */
export function assembleIndex(
  members: readonly AssembledMember[],
  { format, annotated = false }: AssembleOptions = {},
): AssembledIndex {
  const allDocker = members.every(({ mediaType }) => mediaType === MEDIA_TYPE.dockerManifest);
  const isDocker = format === undefined ? allDocker : format === 'docker';
  const mediaType = isDocker ? MEDIA_TYPE.dockerList : MEDIA_TYPE.ociIndex;
  const document = {
    schemaVersion: 2,
    mediaType,
    manifests: members.map((member) => entryOf(member, annotated || !isDocker)),
  };
  const bytes = Buffer.from(`${JSON.stringify(document, undefined, 2)}\n`);
  return { mediaType, bytes, digest: digestOf(bytes) };
}
