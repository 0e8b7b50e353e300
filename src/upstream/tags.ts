import { resolveReference } from '../lib/url.ts';
import { parseTag } from '../oci/reference.ts';
import type { TagOptions, TagPage } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { isWebPage, webPageError } from './errors.ts';
import { linkOf } from './http/link.ts';
import type { Reply } from './http/transport.ts';

/** Tags of one repository that are taken from a registry; some have a hundred thousand. */
export const TAGS_MAX = 500_000;

/** One answer of `/tags/list`, as the registry ordered it. */
export interface RawTagPage {
  readonly tags: readonly string[];
  /** The query of the page that `Link` names as the next one, as it was written: `last` of the spec, or a registry's own. */
  readonly next: string | undefined;
}

/** The query of the link to the next page. Only that: whatever host and path it names, the list is asked where it was. */
function nextOf({ headers, url, target }: Reply): RawTagPage['next'] {
  const link = linkOf(headers['link'] ?? '', 'next');
  const next = link === undefined ? undefined : resolveReference(link, { url, target });
  const query = next?.target.replace(/^[^?]*\??/, '');
  return query === '' ? undefined : query;
}

/** Reads one page; what is no tag is left out. @throws {RegistryError} UNAVAILABLE when the body is no list of tags. */
export function readTagPage(bytes: Buffer, reply: Reply): RawTagPage {
  let document: unknown;
  try {
    document = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    if (isWebPage(reply)) throw webPageError(reply, 'a list of tags');
    throw new RegistryError('UNAVAILABLE', `${reply.url.host} did not answer with a list of tags`, { cause });
  }
  const tags =
    typeof document === 'object' && document !== null ? (document as { tags?: unknown }).tags : undefined;
  // distribution writes null for a repository that has lost its last tag.
  if (tags !== null && !Array.isArray(tags)) {
    throw new RegistryError('UNAVAILABLE', `${reply.url.host} did not answer with a list of tags`);
  }
  if (tags !== null && tags.length > TAGS_MAX) {
    throw new RegistryError('UNAVAILABLE', `${reply.url.host} sent more than ${TAGS_MAX} tags at once`);
  }
  const written = (tags ?? []).filter((tag) => typeof tag === 'string' && parseTag(tag) !== undefined);
  return { tags: written, next: nextOf(reply) };
}

/** Asks for one page with this query. */
export type FetchTagPage = (query: string) => Promise<RawTagPage>;

type Bounds = Pick<TagOptions, 'limit' | 'after'>;

/** Pages of one list: beyond that the registry leads us round in circles. */
const PAGES_MAX = 500;

function isAscending(tags: readonly string[], after: string | undefined): boolean {
  return tags.every((tag, at) => tag > ((at === 0 ? after : tags[at - 1]) ?? ''));
}

/** What the spec answers with, cut from everything there is. */
function cut(all: readonly string[], { limit, after = '' }: Bounds): TagPage {
  const fresh = [...new Set(all)].filter((tag) => tag > after).toSorted((a, b) => (a < b ? -1 : 1));
  const tags = limit === undefined ? fresh : fresh.slice(0, limit);
  return { tags, next: tags.length < fresh.length ? tags.at(-1) : undefined };
}

/** A query in one spelling, so that two of the same meaning are equal. */
function normalizeQuery(query: string): string {
  const parameters = new URLSearchParams(query);
  parameters.sort();
  return parameters.toString();
}

/** Every page from `first` on, which answered `query`, whatever a registry understands by a page. */
async function fetchAllPages(
  fetchPage: FetchTagPage,
  first: RawTagPage,
  query: string,
): Promise<readonly string[]> {
  const pages = [first.tags];
  let count = first.tags.length;
  const asked = new Set([normalizeQuery(query)]);
  // A link to a page that has been read, such as a page's link to itself, ends the list.
  for (let page = first; page.next !== undefined && !asked.has(normalizeQuery(page.next)); ) {
    if (pages.length === PAGES_MAX || count > TAGS_MAX) {
      throw new RegistryError('UNAVAILABLE', `the list of tags has no end: given up after ${count} tags`);
    }
    asked.add(normalizeQuery(page.next));
    page = await fetchPage(page.next);
    pages.push(page.tags);
    count += page.tags.length;
  }
  return pages.flat();
}

/**
 * A page of tags as the spec has it, from a registry that may not: sorted, only what comes after `after`, at most `limit`.
 * A registry that does not page in lexical order is asked for everything.
 * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-tags
 */
export async function listTags(fetchPage: FetchTagPage, bounds: Bounds): Promise<TagPage> {
  const { limit, after } = bounds;
  const query = new URLSearchParams({
    ...(limit === undefined ? {} : { n: String(limit) }),
    ...(after === undefined ? {} : { last: after }),
  }).toString();
  const first = await fetchPage(query);
  const isSpecPage = isAscending(first.tags, after);
  if (first.next === undefined && (isSpecPage || after === undefined)) return cut(first.tags, bounds);
  const end = first.tags.at(-1);
  // Only a registry whose next page begins behind this one's last tag is taken at its word.
  const isTelling = end !== undefined && new URLSearchParams(first.next).get('last') === end;
  if (isSpecPage && isTelling && limit !== undefined && first.tags.length <= limit) {
    return { tags: first.tags, next: end };
  }
  if (isSpecPage || after === undefined) return cut(await fetchAllPages(fetchPage, first, query), bounds);
  return cut(await fetchAllPages(fetchPage, await fetchPage(''), ''), bounds);
}
