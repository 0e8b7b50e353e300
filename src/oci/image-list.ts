import * as v from 'valibot';
import { normalizePlatform } from '../lib/platform.ts';
import { checking, combining, fields, mapOf, oneOrMore, type Refuse, reading, Text } from '../lib/schema.ts';
import { matchTag, parseTagPattern, TAG_WILDCARDS, type TagPattern } from './pattern.ts';
import { type ImageReference, parseImageReference, type Repository, type Tag } from './reference.ts';

/** The platform of a list's member, with the fields of a descriptor's `platform`. */
export interface MemberPlatform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly features: readonly string[];
  readonly osFeatures: readonly string[];
}

/**
 * One image of a list. In `image`, `{tag}` stands for the requested tag, and `{1}` to `{9}` for what the first to
 * ninth `*` of the matching pattern stands for.
 */
export interface ListMember {
  readonly image: string;
  /** Undefined: the platform that the image itself states. */
  readonly platform: MemberPlatform | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

/** A virtual image: a list of other images, in the format of manifest-tool's YAML, extended by patterns of tags. */
export interface ListSpec {
  readonly repository: Repository;
  /** The tags that the list has. */
  readonly tags: readonly TagPattern[];
  readonly members: readonly ListMember[];
}

const PLACEHOLDER = /\{(tag|[1-9])\}/g;
/** A value for placeholders, with which the name of a member is checked. */
const SAMPLE = 'tag';

function withSample(image: string): string {
  return image.replaceAll(PLACEHOLDER, SAMPLE);
}

/** The schema of a feature. Lists do not define which features exist. */
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
  // The repository must not depend on the tag: a request by digest alone could not find it.
  const misplaced = /(\{(?:tag|[1-9])\}).*[/:]/.exec(image)?.[1];
  if (misplaced !== undefined) return `${misplaced} may stand in the tag of ${image} only`;
  return parseImageReference(withSample(image)) === undefined ? `“${image}” is not an image name` : undefined;
}

/** YAML reads an unquoted `1` or `true` as a number or boolean. */
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

/** A tag or a pattern of tags. The error explains the wildcards. */
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

/** Checks what involves several keys of a list. */
export function toListSpec({ image, tags = [], manifests }: WrittenList, refuse: Refuse): ListSpec {
  const own = parseTagPattern(image.tag);
  const patterns = tags.length > 0 || own === undefined ? tags : [own];
  const adding = patterns.filter(({ excludes }) => !excludes);
  if (adding.length === 0) refuse('tags only take tags away: name some first', 'tags');
  // A member may use `{3}` only if each pattern has three `*`.
  const captures = Math.min(...adding.map((pattern) => pattern.captures));
  manifests.forEach((member, at) => {
    const unbound = [...member.image.matchAll(PLACEHOLDER)].find(([, name]) => Number(name) > captures)?.[0];
    const why = `${unbound} of ${member.image} stands for a * that not every pattern of tags has`;
    if (unbound !== undefined) refuse(why, 'manifests', at, 'image');
  });
  return { repository: image.repository, tags: patterns, members: manifests };
}

/**
 * A list: `image`; `manifests`, each `{image, platform}` or `{image}`; and `tags` when the list has other tags than
 * that of `image`.
 * @see https://github.com/estesp/manifest-tool#createpush for the format; the docs on virtual images for `tags`,
 * `{tag}`
 */
export function listSchema(feature: FeatureSchema) {
  return v.pipe(fields(listEntries(feature)), combining(toListSpec));
}

/** True when the list has this tag. */
export function answersTo({ tags }: ListSpec, tag: Tag): boolean {
  return matchTag(tags, tag) !== undefined;
}

/** The image name of a member when the list is requested by `tag`. It may be invalid. */
export function memberName({ tags }: ListSpec, member: ListMember, tag: Tag): string {
  const captured = matchTag(tags, tag) ?? [];
  return member.image.replaceAll(PLACEHOLDER, (_, name: string) =>
    name === 'tag' ? tag : (captured[Number(name) - 1] ?? ''),
  );
}

/** The image of a member when the list is requested by `tag`. Undefined when the tag makes an invalid name. */
export function memberImage(spec: ListSpec, member: ListMember, tag: Tag): ImageReference | undefined {
  return parseImageReference(memberName(spec, member, tag));
}
