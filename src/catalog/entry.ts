import * as v from 'valibot';
import { choice, combining, fields, mapOf, oneOrMore, reading, Text } from '../lib/schema.ts';
import { type ListSpec, listEntries, TagPatternText, toListSpec } from '../oci/image-list.ts';
import type { TagPattern } from '../oci/pattern.ts';
import { parseTag, type Tag } from '../oci/reference.ts';
import { Baseline } from '../selection/policy-schema.ts';

/** A list of the catalogue, and a tag that it covers, for tables and checks. */
export interface CatalogList {
  readonly spec: ListSpec;
  readonly example: Tag;
}

/** An index that its publisher has marked. There is nothing to enable. */
export interface NativeImage {
  /** `quay.io/almalinuxorg/almalinux:10`. */
  readonly image: string;
  /** `linux/amd64/v2`. */
  readonly platforms: readonly string[];
}

/** What the images of some repositories need although their index does not state it. */
export interface BaselineRule {
  /** A pattern of repositories. */
  readonly pattern: string;
  /** Undefined: every tag. */
  readonly tags: readonly TagPattern[] | undefined;
  /** Features: a level, CPU flags, a microarchitecture. */
  readonly baseline: readonly string[];
}

/**
 * One file of the catalogue: facts that a publisher expresses in tags or not at all, and the source of the
 * facts.
 */
export interface CatalogEntry {
  readonly name: string;
  readonly title: string;
  /** URL at which the facts were read. */
  readonly source: string;
  /** The day on which the facts were last checked: `2026-11-26`. They may have changed since. */
  readonly checked: string;
  /** What the publisher promises, in words. */
  readonly promise: string;
  /** True when the baselines apply without being enabled. */
  readonly isDefault: boolean;
  readonly lists: readonly CatalogList[];
  readonly native: readonly NativeImage[];
  readonly baselines: readonly BaselineRule[];
}

const Url = v.pipe(Text, v.url('a URL is expected'));
const Day = v.pipe(Text, v.isoDate('a day is expected, such as 2026-11-26'));

const List = v.pipe(
  fields({
    ...listEntries(v.string()),
    example: v.pipe(
      Text,
      reading(parseTag, (text) => `“${text}” is not a tag`),
    ),
  }),
  combining(({ example, ...list }, refuse): CatalogList => ({ spec: toListSpec(list, refuse), example })),
);

const Rule = fields({ tags: v.optional(oneOrMore(TagPatternText)), baseline: Baseline });

/** The schema of one file of the catalogue. The file does not contain its own name. */
export const CatalogFile = v.pipe(
  fields({
    title: Text,
    source: Url,
    checked: Day,
    promise: Text,
    default: v.optional(choice('on', 'off'), 'on'),
    images: v.optional(v.array(List), []),
    native: v.optional(v.array(fields({ image: Text, platforms: v.array(Text) })), []),
    repositories: v.optional(mapOf(Text, oneOrMore(Rule)), {}),
  }),
  v.transform(
    ({ default: byDefault, images, repositories, ...file }): Omit<CatalogEntry, 'name'> => ({
      ...file,
      isDefault: byDefault === 'on',
      lists: images,
      baselines: [...repositories].flatMap(([pattern, rules]) =>
        rules.map(({ tags, baseline }) => ({ pattern, tags, baseline })),
      ),
    }),
  ),
);
