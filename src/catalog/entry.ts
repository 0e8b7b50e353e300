import * as v from 'valibot';
import { type ListSpec, parseListSpec, readTagPatterns } from '../oci/image-list.ts';
import { parseTag, type Tag } from '../oci/reference.ts';
import type { TagPattern } from '../oci/tag-pattern.ts';
import { parseBaseline } from '../selection/baseline.ts';

/** A list of the catalogue, and a tag that it answers to, for tables and checks. */
export interface CatalogList {
  readonly spec: ListSpec;
  readonly example: Tag;
}

/** An index that the publisher has marked itself: nothing to enable, but worth knowing. */
export interface NativeImage {
  /** `quay.io/almalinuxorg/almalinux:10`. */
  readonly image: string;
  /** `linux/amd64/v2`. */
  readonly platforms: readonly string[];
}

/** What the images of some repositories need although nothing in them says so. */
export interface BaselineRule {
  /** A pattern of repositories. */
  readonly pattern: string;
  /** Undefined: every tag. */
  readonly tags: readonly TagPattern[] | undefined;
  /** Features: a level, CPU flags, a microarchitecture. */
  readonly baseline: readonly string[];
}

/** One file of the catalogue: what a publisher names by tags or leaves unsaid, and who says so. */
export interface CatalogEntry {
  readonly name: string;
  readonly title: string;
  /** Where the facts were read. */
  readonly source: string;
  /** The day on which they were, `2026-11-26`. */
  readonly checked: string;
  /** What the publisher promises, in words. */
  readonly promise: string;
  /** Do the baselines apply without being enabled? */
  readonly isDefault: boolean;
  readonly lists: readonly CatalogList[];
  readonly native: readonly NativeImage[];
  readonly baselines: readonly BaselineRule[];
}

const Text = v.pipe(v.string(), v.trim(), v.minLength(1));
const Texts = v.union([Text, v.pipe(v.array(Text), v.minLength(1))]);
const Baseline = v.strictObject({ tags: v.optional(Texts), baseline: Texts });

/** The shape of a file; lists are read on by {@link parseListSpec}. */
export const CatalogFile = v.strictObject({
  title: Text,
  source: v.pipe(v.string(), v.url()),
  checked: v.pipe(v.string(), v.isoDate()),
  promise: Text,
  default: v.optional(v.picklist(['on', 'off']), 'on'),
  images: v.optional(v.array(v.looseObject({ example: Text })), []),
  native: v.optional(v.array(v.strictObject({ image: Text, platforms: v.array(Text) })), []),
  repositories: v.optional(v.record(Text, v.union([Baseline, v.array(Baseline)])), {}),
});

function toTexts(value: string | readonly string[]): readonly string[] {
  return typeof value === 'string' ? [value] : value;
}

function readList({ example, ...list }: { readonly example: string }): CatalogList {
  const spec = parseListSpec(list);
  const tag = parseTag(example);
  if (tag === undefined) throw new Error(`example: “${example}” is no tag`);
  return { spec, example: tag };
}

function readBaselines(pattern: string, written: v.InferOutput<typeof Baseline>): BaselineRule {
  const { tags, baseline } = written;
  return {
    pattern,
    tags: tags === undefined ? undefined : readTagPatterns(toTexts(tags)),
    baseline: parseBaseline(baseline),
  };
}

/**
 * Reads one file of the catalogue.
 * @throws {Error} that says which part is wrong and what is expected.
 */
export function parseCatalogEntry(name: string, content: unknown): CatalogEntry {
  const read = v.safeParse(CatalogFile, content);
  if (!read.success) {
    const [issue] = read.issues;
    throw new Error(`${v.getDotPath(issue) ?? 'the file'}: ${issue.message}`);
  }
  const { title, source, checked, promise, default: byDefault, images, native, repositories } = read.output;
  return {
    name,
    title,
    source,
    checked,
    promise,
    isDefault: byDefault === 'on',
    lists: images.map(readList),
    native,
    baselines: Object.entries(repositories).flatMap(([pattern, rules]) =>
      (Array.isArray(rules) ? rules : [rules]).map((rule) => readBaselines(pattern, rule)),
    ),
  };
}
