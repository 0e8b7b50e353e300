import type { AssembledMember } from '../oci/build-index.ts';
import { type ListMember, type ListSpec, memberImage, memberName } from '../oci/image-list.ts';
import type { ImageReference, Tag } from '../oci/reference.ts';
import { type Registry, type RequestOptions, turnOf } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { MembersRead } from './documents/members.ts';
import { readAside } from './documents/reading.ts';
import { fetchImageConfig } from './entry-demands.ts';

/** A member that was found. */
export interface ResolvedMembers {
  readonly member: AssembledMember;
  readonly image: ImageReference;
  /** How long its tag may be reused, in milliseconds. */
  readonly maxAgeMs: number;
  /** The `Warning` header of its answer, set when its registry could not confirm it. */
  readonly warning: string | undefined;
}

/** A member that was left out. */
export interface Missing {
  readonly image: string;
  readonly reason: string;
  /** True when it does not exist. Otherwise the request failed, and the member may be there next time. */
  readonly isUnknown: boolean;
}

export interface ResolveOptions {
  readonly found: readonly ResolvedMembers[];
  readonly missing: readonly Missing[];
}

/** An image whose platform only its configuration states. */
async function placedByConfig(
  { image, config }: NonNullable<MembersRead['unplaced']>,
  { repository }: ImageReference,
  registry: Registry,
  options: RequestOptions,
): Promise<readonly AssembledMember[]> {
  const source = await fetchImageConfig(registry, repository, config, options);
  const stated =
    source && (await readAside('stated platform', source, undefined, turnOf(repository, options)));
  return stated ? [{ ...image, platform: { ...stated, features: [], osFeatures: [] } }] : [];
}

async function resolveMember(
  member: ListMember,
  image: ImageReference,
  registry: Registry,
  options: RequestOptions,
): Promise<readonly ResolvedMembers[]> {
  const { repository } = image;
  const manifest = await registry.manifest(repository, image.reference, options);
  const { platform, annotations } = member;
  const { digest, maxAgeMs, notices } = manifest;
  const details = { platform, annotations, digest };
  const { members, unplaced } = await readAside('members', manifest, details, turnOf(repository, options));
  const found = unplaced ? await placedByConfig(unplaced, image, registry, options) : members;
  if (found.length === 0) {
    const wanted =
      platform === undefined ? 'that says what it runs on' : `for ${platform.os}/${platform.architecture}`;
    throw new RegistryError('MANIFEST_UNKNOWN', `it has no image ${wanted}`);
  }
  return found.map((one) => ({ member: one, image, maxAgeMs, warning: notices?.['warning'] }));
}

/**
 * Requests all members of a list concurrently. Members that cannot be fetched are left out and reported, in the
 * list's order.
 */
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
      if (image === undefined) return [{ image: name, reason: 'is not an image name', isUnknown: true }];
      try {
        return await resolveMember(member, image, registry, options);
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
