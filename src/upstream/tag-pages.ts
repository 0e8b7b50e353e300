import { type JsonBounds, objectOf, parseJson } from '../lib/json.ts';
import { parseTag } from '../oci/reference.ts';
import type { TagOptions, TagPage } from '../oci/registry.ts';

/** Limit of tags that are read from one repository. Some have a hundred thousand. */
export const TAGS_MAX = 500_000;
const BOUNDS: JsonBounds = { depth: 16, values: TAGS_MAX + 1000 };

export type TagBounds = Pick<TagOptions, 'limit' | 'after' | 'first' | 'last'>;

/** Bodies of `/tags/list` in the registry's order, and the requested part. Plain data that can be sent to a thread. */
export interface TagsRequest {
  readonly bodies: readonly Uint8Array[];
  readonly bounds: TagBounds;
}

export type TagsReply =
  | {
      readonly kind: 'read';
      /** The page that the specification requires. */
      readonly page: TagPage;
      /** The number of tags in the bodies, and the last one in the registry's order. */
      readonly count: number;
      readonly end: string | undefined;
      /** True when the tags are in lexical order, all after `after`. */
      readonly isAscending: boolean;
    }
  | { readonly kind: 'no-list'; readonly body: number }
  | { readonly kind: 'too-many' };

/** The tags of one body in the registry's order. Invalid tags are dropped. Undefined: it is no list of tags. */
function tagsIn(body: Uint8Array): readonly string[] | undefined {
  let document: unknown;
  try {
    document = parseJson(body, BOUNDS);
  } catch {
    return undefined;
  }
  const { tags } = objectOf(document);
  // distribution writes null for a repository that has lost its last tag.
  if (tags === null) return [];
  if (!Array.isArray(tags)) return undefined;
  return tags.filter((tag): tag is string => typeof tag === 'string' && parseTag(tag) !== undefined);
}

/** How many tags to return at most. */
export function mostOf({ limit, first }: TagBounds): number | undefined {
  return limit ?? first;
}

function cut(all: readonly string[], bounds: TagBounds): TagPage {
  const { after = '', last } = bounds;
  const most = mostOf(bounds);
  const fresh = [...new Set(all)].filter((tag) => tag > after).toSorted((a, b) => (a < b ? -1 : 1));
  if (last !== undefined) return { tags: fresh.slice(-last) };
  const tags = most === undefined ? fresh : fresh.slice(0, most);
  return { tags, next: tags.length < fresh.length ? tags.at(-1) : undefined };
}

/** Parses the bodies of a list and selects the requested part. */
export function readTagPages({ bodies, bounds }: TagsRequest): TagsReply {
  const all: string[] = [];
  for (const [position, body] of bodies.entries()) {
    const tags = tagsIn(body);
    if (tags === undefined) return { kind: 'no-list', body: position };
    if (all.length + tags.length > TAGS_MAX) return { kind: 'too-many' };
    for (const tag of tags) all.push(tag);
  }
  const isAscending = all.every((tag, at) => tag > ((at === 0 ? bounds.after : all[at - 1]) ?? ''));
  return { kind: 'read', page: cut(all, bounds), count: all.length, end: all.at(-1), isAscending };
}
