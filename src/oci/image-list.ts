import * as v from 'valibot';
import { normalizePlatform } from '../lib/platform.ts';
import { checking, combining, fields, mapOf, oneOrMore, type Refuse, reading, Text } from '../lib/schema.ts';
import { matchTag, parseTagPattern, TAG_WILDCARDS, type TagPattern } from './pattern.ts';
import { type ImageReference, parseImageReference, type Repository, type Tag } from './reference.ts';

/** The platform of a list's member, in the terms of a descriptor's `platform`. */
export interface MemberPlatform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly features: readonly string[];
  readonly osFeatures: readonly string[];
}

/**
 * One image of a list. `{tag}` in `image` stands for the requested tag, `{1}` to `{9}` for the text that the first to
 * ninth `*` of the matching pattern stands for.
 */
export interface ListMember {
  readonly image: string;
  /** Undefined: as the image itself states. */
  readonly platform: MemberPlatform | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

/** An image that is a list of other images, in the format of manifest-tool's YAML, with tag patterns. */
export interface ListSpec {
  readonly repository: Repository;
  /** The tags it answers to. */
  readonly tags: readonly TagPattern[];
  readonly members: readonly ListMember[];
}

const PLACEHOLDER = /\{(tag|[1-9])\}/g;
/** A sample value for a placeholder, to check that a member's name is valid. */
const SAMPLE = 'tag';

function withSample(image: string): string {
  return image.replaceAll(PLACEHOLDER, SAMPLE);
}

/** The schema of a feature: lists do not decide which features exist. */
export type FeatureSchema = v.GenericSchema<string, string>;

function platformSchema(feature: FeatureSchema) {
  return v.pipe(
    fields({
      os: Text,
      architecture: Text,
      variant: v.optional(Text),
      features: v.optional(oneOrMore(feature)),
      'os.features': v.optional(oneOrMore(v.string())),
    }),
    v.transform(({ features = [], 'os.features': osFeatures = [], ...platform }): MemberPlatform => {
      const { os, architecture, variant } = normalizePlatform(platform);
      return { os, architecture, ...(variant === undefined ? {} : { variant }), features, osFeatures };
    }),
  );
}

function problemWithMemberImage(image: string): string | undefined {
  // A repository that depended on the tag could not be found again by a digest alone.
  const misplaced = /(\{(?:tag|[1-9])\}).*[/:]/.exec(image)?.[1];
  if (misplaced !== undefined) return `${misplaced} may stand in the tag of ${image} only`;
  return parseImageReference(withSample(image)) === undefined ? `“${image}” is not an image name` : undefined;
}

/** YAML reads an unquoted `1` or `true` as another type. */
const Annotation = v.pipe(v.union([v.string(), v.number(), v.boolean()]), v.transform(String));

function memberSchema(feature: FeatureSchema) {
  return v.pipe(
    fields({
      image: v.pipe(Text, checking(problemWithMemberImage)),
      platform: v.optional(platformSchema(feature)),
      annotations: v.optional(mapOf(v.string(), Annotation)),
    }),
    v.transform(
      ({ image, platform, annotations = new Map() }): ListMember => ({
        image,
        platform,
        annotations: Object.fromEntries(annotations),
      }),
    ),
  );
}

/** A tag, or a pattern of tags; the error explains the wildcards. */
export const TagPatternText = v.pipe(
  v.string(),
  reading(parseTagPattern, (text) => `“${text}” is neither a tag nor a pattern of tags: ${TAG_WILDCARDS}`),
);

const ListImage = v.pipe(
  Text,
  reading(parseImageReference, (text) => `“${text}” is not an image name`),
  reading(
    ({ repository, reference }: ImageReference) =>
      reference.kind === 'tag' ? { repository, tag: reference.tag } : undefined,
    () => 'a list cannot be named by a digest',
  ),
);

/** The keys of a list. */
export function listEntries(feature: FeatureSchema) {
  return {
    image: ListImage,
    tags: v.optional(oneOrMore(TagPatternText)),
    manifests: v.pipe(v.array(memberSchema(feature)), v.nonEmpty('the list needs manifests')),
  };
}

interface WrittenList {
  image: v.InferOutput<typeof ListImage>;
  tags?: readonly TagPattern[] | undefined;
  manifests: ListMember[];
}

/** Checks that involve several keys of a list. */
export function toListSpec({ image, tags = [], manifests }: WrittenList, refuse: Refuse): ListSpec {
  const own = parseTagPattern(image.tag);
  const patterns = tags.length > 0 || own === undefined ? tags : [own];
  const adding = patterns.filter(({ excludes }) => !excludes);
  if (adding.length === 0) refuse('tags only take tags away: name some first', 'tags');
  // A member's `{3}` needs a pattern with three `*`.
  const captures = Math.min(...adding.map((pattern) => pattern.captures));
  manifests.forEach((member, at) => {
    const unbound = [...member.image.matchAll(PLACEHOLDER)].find(([, name]) => Number(name) > captures)?.[0];
    const why = `${unbound} of ${member.image} stands for a * that not every pattern of tags has`;
    if (unbound !== undefined) refuse(why, 'manifests', at, 'image');
  });
  return { repository: image.repository, tags: patterns, members: manifests };
}

/**
 * One list: `image`, `manifests` of `{image, platform}` or `{image}`, and `tags` where it answers to more than the image's own
 * tag.
 * @see https://github.com/estesp/manifest-tool#createpush (the form), and docs on virtual images (`tags`, `{tag}`)
 */
export function listSchema(feature: FeatureSchema) {
  return v.pipe(fields(listEntries(feature)), combining(toListSpec));
}

/** True when the list answers to this tag of its repository. */
export function answersTo({ tags }: ListSpec, tag: Tag): boolean {
  return matchTag(tags, tag) !== undefined;
}

/** The image name of `member` when `tag` of the list is requested; it may be invalid. */
export function memberName({ tags }: ListSpec, member: ListMember, tag: Tag): string {
  const captured = matchTag(tags, tag) ?? [];
  return member.image.replaceAll(PLACEHOLDER, (_, name: string) =>
    name === 'tag' ? tag : (captured[Number(name) - 1] ?? ''),
  );
}

/** The image of `member` when `tag` is requested; undefined when the tag makes no valid name. */
export function memberImage(spec: ListSpec, member: ListMember, tag: Tag): ImageReference | undefined {
  return parseImageReference(memberName(spec, member, tag));
}
