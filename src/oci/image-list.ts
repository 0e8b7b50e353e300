import {
  expectObject,
  optionalString,
  optionalStrings,
  type PlainObject,
  refuseUnknownKeys,
  requiredString,
} from '../lib/object-reader.ts';
import {
  formatRepository,
  type ImageReference,
  parseImageReference,
  parseTag,
  type Repository,
  type Tag,
} from './reference.ts';

/** What a member of a list runs on, in the words of a descriptor's `platform`. */
export interface MemberPlatform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly features: readonly string[];
  readonly osFeatures: readonly string[];
}

/** One image of a list; `image` may hold `{tag}`, which stands for the tag that was asked for. */
export interface ListMember {
  readonly image: string;
  /** Undefined: as the image says itself. */
  readonly platform: MemberPlatform | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

/** An image that is a list of other images: the form of manifest-tool's YAML, with tag patterns. */
export interface ListSpec {
  readonly repository: Repository;
  /** Patterns of the tags it answers to; `*` stands for anything. */
  readonly tags: readonly string[];
  readonly members: readonly ListMember[];
}

/** What `{tag}` is tried with to see whether a member's name is one. */
const SAMPLE_TAG = 'tag';

function readPlatform(value: unknown, what: string): MemberPlatform {
  const map = expectObject(value, `${what}: platform`);
  refuseUnknownKeys(map, ['os', 'architecture', 'variant', 'features', 'os.features'], `${what}: platform`);
  const variant = optionalString(map, 'variant', what);
  return {
    os: requiredString(map, 'os', what),
    architecture: requiredString(map, 'architecture', what),
    ...(variant === undefined ? {} : { variant }),
    features: optionalStrings(map, 'features', what) ?? [],
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

function readMember(value: unknown, position: number): ListMember {
  const what = `manifests, number ${position + 1}`;
  const map = expectObject(value, what);
  refuseUnknownKeys(map, ['image', 'platform', 'annotations'], what);
  const image = requiredString(map, 'image', what);
  // A repository that depended on the tag could not be found again by a digest alone.
  if (/\{tag\}.*[/:]/.test(image)) throw new Error(`${what}: {tag} may stand in the tag of ${image} only`);
  if (parseImageReference(image.replaceAll('{tag}', SAMPLE_TAG)) === undefined)
    throw new Error(`${what}: “${image}” is no image name`);
  return {
    image,
    platform: map['platform'] === undefined ? undefined : readPlatform(map['platform'], what),
    annotations: readAnnotations(map['annotations'] ?? {}, `${what}: annotations`),
  };
}

function readTags(map: PlainObject, image: ImageReference): readonly string[] {
  const tags = optionalStrings(map, 'tags', 'the list') ?? [];
  const wrong = tags.find((pattern) => parseTag(pattern.replaceAll('*', 'x')) === undefined);
  if (wrong !== undefined) throw new Error(`“${wrong}” is no tag, nor a pattern of one`);
  if (image.reference.kind === 'digest') throw new Error('a list cannot be named by a digest');
  return tags.length > 0 ? tags : [image.reference.tag];
}

/**
 * Reads one list from parsed YAML: `image`, `manifests` of `{image, platform}` or `{image}`, and `tags` where it answers to more than
 * the image's own tag.
 * @throws {Error} whose message says where and what is expected.
 * @see https://github.com/estesp/manifest-tool#createpush (the form), and docs on virtual images (`tags`, `{tag}`)
 */
export function parseListSpec(value: unknown): ListSpec {
  const map = expectObject(value, 'the list');
  refuseUnknownKeys(map, ['image', 'tags', 'manifests'], 'the list');
  const written = requiredString(map, 'image', 'the list');
  const image = parseImageReference(written);
  if (image === undefined) throw new Error(`“${written}” is no image name`);
  const manifests = map['manifests'];
  if (!Array.isArray(manifests) || manifests.length === 0) throw new Error('the list needs manifests');
  return {
    repository: image.repository,
    tags: readTags(map, image),
    members: manifests.map(readMember),
  };
}

/** Does the list answer to this tag of its repository? */
export function answersTo(spec: ListSpec, tag: Tag): boolean {
  return spec.tags.some((pattern) => matches(pattern, tag));
}

/** `*` is anything; done by hand because a pattern comes from a file and a tag from anyone: no backtracking. */
function matches(pattern: string, tag: string): boolean {
  const [head = '', ...rest] = pattern.split('*');
  const tail = rest.pop();
  if (tail === undefined) return pattern === tag;
  if (!tag.startsWith(head) || !tag.endsWith(tail) || tag.length < head.length + tail.length) return false;
  const end = tag.length - tail.length;
  let at = head.length;
  return rest.every((part) => {
    const found = tag.indexOf(part, at);
    at = found + part.length;
    return found >= 0 && at <= end;
  });
}

/** The image that `member` stands for when `tag` was asked for; undefined when the tag makes no valid name. */
export function memberImage(member: ListMember, tag: Tag): ImageReference | undefined {
  return parseImageReference(member.image.replaceAll('{tag}', tag));
}

/** The repositories a list's members live in, each once, whatever the tag. */
export function memberRepositories(spec: ListSpec): readonly Repository[] {
  const found = spec.members.flatMap(
    (member) => parseImageReference(member.image.replaceAll('{tag}', SAMPLE_TAG))?.repository ?? [],
  );
  return [...new Map(found.map((repository) => [formatRepository(repository), repository])).values()];
}
