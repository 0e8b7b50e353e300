import { ConfigError } from '../../../lib/config-error.ts';
import { readSource } from '../../../lib/config-source.ts';
import { type ResolvedMembers, resolveMembers } from '../../../mirror/resolve-members.ts';
import { type AssembledIndex, assembleIndex } from '../../../oci/build-index.ts';
import type { ListSpec } from '../../../oci/image-list.ts';
import { type ImageManifest, parseManifestDocument } from '../../../oci/manifest.ts';
import { isImageManifestType, MEDIA_TYPE } from '../../../oci/media-type.ts';
import {
  formatReference,
  isSameRepository,
  parseTag,
  type Repository,
  type Tag,
} from '../../../oci/reference.ts';
import type { Manifest, Registry } from '../../../oci/registry.ts';
import { RegistryError } from '../../../oci/registry-error.ts';
import { lookupFailure } from '../../image-lookup.ts';
import { ImageList, LIST_FORM } from '../../settings/image-lists.ts';
import { readYaml } from '../../settings/yaml.ts';
import { UserError } from '../../user-error.ts';

/** A list to push: a spec with plain tags, without patterns. */
export interface PushList {
  readonly spec: ListSpec;
  readonly tags: readonly [Tag, ...Tag[]];
}

/** Reads the list to push. @throws {ConfigError} */
export async function readList(path: string): Promise<PushList> {
  const source = await readYaml(path);
  const spec = readSource(ImageList, source, { nextStep: LIST_FORM });
  const tags = spec.tags.map(({ text }) => parseTag(text));
  const [first, ...rest] = tags.filter((tag) => tag !== undefined);
  if (first === undefined || tags.length !== rest.length + 1) {
    const patterns = spec.tags.map(({ text }) => text).join(', ');
    throw new ConfigError('invalid-value', `${patterns} is a pattern of tags, and only a tag can be pushed`, {
      file: path,
      ...source.placeOf(['tags']),
      path: ['tags'],
      nextStep: 'Name the tag in image, or serve the file as a virtual image (metahub serve --images DIR).',
    });
  }
  return { spec, tags: [first, ...rest] };
}

/** A member whose manifest was read and verified. */
export interface PlannedMember extends ResolvedMembers {
  readonly name: string;
  readonly manifest: Manifest;
  readonly document: ImageManifest;
  /** True when the repository of the list has the member already. */
  readonly isThere: boolean;
}

export interface PushPlan {
  readonly repository: Repository;
  readonly tags: PushList['tags'];
  readonly members: readonly PlannedMember[];
  readonly index: AssembledIndex;
}

async function readMember(
  resolved: ResolvedMembers,
  target: Repository,
  registry: Registry,
): Promise<PlannedMember> {
  const { image, member } = resolved;
  const name = formatReference(image.repository, image.reference);
  try {
    const manifest = await registry.manifest(image.repository, { kind: 'digest', digest: member.digest });
    const document = parseManifestDocument(manifest.bytes, manifest.mediaType);
    if (document.kind !== 'image' || !isImageManifestType(document.mediaType)) {
      throw new UserError(`${name} is not an image: ${document.mediaType}`, {
        nextStep: 'A list holds images only.',
      });
    }
    return { ...resolved, name, manifest, document, isThere: isSameRepository(image.repository, target) };
  } catch (cause) {
    throw lookupFailure(cause, name);
  }
}

/**
 * Reads every member and assembles the list. Writes nothing.
 * @throws {UserError} when a member cannot be fetched or is not an image; status 2 for an OCI image in a Docker list.
 */
export async function planPush(
  { spec, tags }: PushList,
  registry: Registry,
  format: 'docker' | 'oci' | undefined,
): Promise<PushPlan> {
  const { repository } = spec;
  const { found, missing } = await resolveMembers(spec, tags[0], registry);
  const [first] = missing;
  if (first !== undefined) {
    const others = missing.length > 1 ? ` (and ${missing.length - 1} more)` : '';
    throw new UserError(`${first.image}: ${first.reason}${others}`, {
      cause: new RegistryError('MANIFEST_UNKNOWN', first.reason),
      nextStep: 'Every member of a list has to exist before the list is pushed.',
    });
  }
  const oci = found.find(({ member }) => member.mediaType === MEDIA_TYPE.ociManifest);
  if (format === 'docker' && oci !== undefined) {
    const name = formatReference(oci.image.repository, oci.image.reference);
    throw new UserError(`${name} is an OCI image, which a Docker manifest list cannot hold`, {
      nextStep: 'Leave out --format docker.',
      exitStatus: 2,
    });
  }
  const members = await Promise.all(found.map((resolved) => readMember(resolved, repository, registry)));
  const index = assembleIndex(
    members.map(({ member }) => member),
    { format, annotated: true },
  );
  return { repository, tags, members, index };
}
