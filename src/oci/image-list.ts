import {
  expectObject,
  optionalString,
  optionalStrings,
  type PlainObject,
  refuseUnknownKeys,
  requiredString,
} from '../lib/object-reader.ts';
import { normalizePlatform } from '../lib/platform.ts';
import {
  formatRepository,
  type ImageReference,
  parseImageReference,
  type Repository,
  type Tag,
} from './reference.ts';
import { matchTag, parseTagPattern, TAG_WILDCARDS, type TagPattern } from './tag-pattern.ts';

/** What a member of a list runs on, in the words of a descriptor's `platform`. */
export interface MemberPlatform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly features: readonly string[];
  readonly osFeatures: readonly string[];
}

/**
 * One image of a list. `{tag}` in `image` stands for the requested tag, `{1}` to `{9}` for what the first to ninth `*` of the pattern
 * that matched it stand for.
 */
export interface ListMember {
  readonly image: string;
  /** Undefined: as the image says itself. */
  readonly platform: MemberPlatform | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

/** An image that is a list of other images: the form of manifest-tool's YAML, with tag patterns. */
export interface ListSpec {
  readonly repository: Repository;
  /** The tags it answers to. */
  readonly tags: readonly TagPattern[];
  readonly members: readonly ListMember[];
}

const PLACEHOLDER = /\{(tag|[1-9])\}/g;
/** What a placeholder is tried with to see whether a member's name is one. */
const SAMPLE = 'tag';

function withSample(image: string): string {
  return image.replaceAll(PLACEHOLDER, SAMPLE);
}

/** Why a feature is none; undefined when it is one. What features there are is not a matter of lists. */
export type FeatureCheck = (feature: string) => string | undefined;

function checkFeatures(features: readonly string[], check: FeatureCheck, what: string): readonly string[] {
  for (const feature of features) {
    const problem = check(feature);
    if (problem !== undefined) throw new Error(`${what}: ${problem}`);
  }
  return features;
}

function readPlatform(value: unknown, what: string, check: FeatureCheck): MemberPlatform {
  const map = expectObject(value, `${what}: platform`);
  refuseUnknownKeys(map, ['os', 'architecture', 'variant', 'features', 'os.features'], `${what}: platform`);
  const { os, architecture, variant } = normalizePlatform({
    os: requiredString(map, 'os', what),
    architecture: requiredString(map, 'architecture', what),
    variant: optionalString(map, 'variant', what),
  });
  return {
    os,
    architecture,
    ...(variant === undefined ? {} : { variant }),
    features: checkFeatures(optionalStrings(map, 'features', what) ?? [], check, what),
    osFeatures: optionalStrings(map, 'os.features', what) ?? [],
  };
}

/** Texts by name; YAML reads an unquoted `1` or `true` as something else. */
function readAnnotations(value: unknown, what: string): Readonly<Record<string, string>> {
  const entries = Object.entries(expectObject(value, what));
  const wrong = entries.find(([, text]) => !['string', 'number', 'boolean'].includes(typeof text));
  if (wrong) throw new Error(`${what}: ${wrong[0]} must be a text`);
  return Object.fromEntries(entries.map(([key, text]) => [key, String(text)]));
}

function readMember(value: unknown, position: number, check: FeatureCheck): ListMember {
  const what = `manifests, number ${position + 1}`;
  const map = expectObject(value, what);
  refuseUnknownKeys(map, ['image', 'platform', 'annotations'], what);
  const image = requiredString(map, 'image', what);
  // A repository that depended on the tag could not be found again by a digest alone.
  const misplaced = /(\{(?:tag|[1-9])\}).*[/:]/.exec(image)?.[1];
  if (misplaced !== undefined) throw new Error(`${what}: ${misplaced} may stand in the tag of ${image} only`);
  if (parseImageReference(withSample(image)) === undefined)
    throw new Error(`${what}: “${image}” is no image name`);
  return {
    image,
    platform: map['platform'] === undefined ? undefined : readPlatform(map['platform'], what, check),
    annotations: readAnnotations(map['annotations'] ?? {}, `${what}: annotations`),
  };
}

function readTags(map: PlainObject, image: ImageReference): readonly TagPattern[] {
  if (image.reference.kind === 'digest') throw new Error('a list cannot be named by a digest');
  const written = optionalStrings(map, 'tags', 'the list') ?? [];
  const patterns = readTagPatterns(written.length > 0 ? written : [image.reference.tag]);
  if (patterns.every(({ excludes }) => excludes))
    throw new Error('tags only take tags away: name some first');
  return patterns;
}

/** @throws {Error} that says which wildcards there are. */
export function readTagPatterns(written: readonly string[]): readonly TagPattern[] {
  return written.map((text) => {
    const pattern = parseTagPattern(text);
    if (pattern === undefined) throw new Error(`“${text}” is no tag, nor a pattern of one: ${TAG_WILDCARDS}`);
    return pattern;
  });
}

/** A member's `{3}` needs a pattern with three `*`. */
function refuseUnboundPlaceholders(members: readonly ListMember[], tags: readonly TagPattern[]): void {
  const captures = Math.min(...tags.filter(({ excludes }) => !excludes).map((pattern) => pattern.captures));
  for (const { image } of members) {
    const unbound = [...image.matchAll(PLACEHOLDER)].find(([, name]) => Number(name) > captures)?.[0];
    if (unbound !== undefined)
      throw new Error(`${unbound} of ${image} stands for a * that not every pattern of tags has`);
  }
}

/**
 * Reads one list from parsed YAML: `image`, `manifests` of `{image, platform}` or `{image}`, and `tags` where it answers to more than
 * the image's own tag.
 * @throws {Error} whose message says where and what is expected.
 * @see https://github.com/estesp/manifest-tool#createpush (the form), and docs on virtual images (`tags`, `{tag}`)
 */
export function parseListSpec(value: unknown, check: FeatureCheck = () => undefined): ListSpec {
  const map = expectObject(value, 'the list');
  refuseUnknownKeys(map, ['image', 'tags', 'manifests'], 'the list');
  const written = requiredString(map, 'image', 'the list');
  const image = parseImageReference(written);
  if (image === undefined) throw new Error(`“${written}” is no image name`);
  const manifests = map['manifests'];
  if (!Array.isArray(manifests) || manifests.length === 0) throw new Error('the list needs manifests');
  const tags = readTags(map, image);
  const members = manifests.map((member, position) => readMember(member, position, check));
  refuseUnboundPlaceholders(members, tags);
  return { repository: image.repository, tags, members };
}

/** Does the list answer to this tag of its repository? */
export function answersTo({ tags }: ListSpec, tag: Tag): boolean {
  return matchTag(tags, tag) !== undefined;
}

/** The name that `member` stands for when `tag` of the list is requested; it need not be a valid one. */
export function memberName({ tags }: ListSpec, member: ListMember, tag: Tag): string {
  const captured = matchTag(tags, tag) ?? [];
  return member.image.replaceAll(PLACEHOLDER, (_, name: string) =>
    name === 'tag' ? tag : (captured[Number(name) - 1] ?? ''),
  );
}

/** The image that `member` stands for when `tag` is requested; undefined when the tag makes no valid name. */
export function memberImage(spec: ListSpec, member: ListMember, tag: Tag): ImageReference | undefined {
  return parseImageReference(memberName(spec, member, tag));
}

/** The repositories a list's members live in, each once, whatever the tag. */
export function memberRepositories(spec: ListSpec): readonly Repository[] {
  const found = spec.members.flatMap(
    (member) => parseImageReference(withSample(member.image))?.repository ?? [],
  );
  return [...new Map(found.map((repository) => [formatRepository(repository), repository])).values()];
}
