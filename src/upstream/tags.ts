import {
  BackgroundThread,
  startWorker,
  ThreadBusyError,
  ThreadFailedError,
} from '../lib/background-thread.ts';
import { FairBudget, NO_SHARE, type Share } from '../lib/fair-budget.ts';
import { resolveReference } from '../lib/url.ts';
import type { TagPage } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { isWebPage, webPageError } from './errors.ts';
import { memoryExhausted } from './http/reply.ts';
import type { Reply } from './http/transport.ts';
import {
  mostOf,
  readTagPages,
  TAGS_MAX,
  type TagBounds,
  type TagsReply,
  type TagsRequest,
} from './tag-pages.ts';

/** One link of a `Link` header. Parameter names are in lower case. */
export interface Link {
  /** The reference as written, not resolved. */
  readonly target: string;
  readonly parameters: ReadonlyMap<string, string>;
}

const HEADER_MAX_CHARACTERS = 16 * 1024;

const TARGET = /[\s,;]*<([^<>]*)>/y;
/** A parameter: a name, and possibly a value that is a quoted string with escapes or a token. */
const PARAMETER = /\s*;\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,;"]*)))?/y;

/**
 * Parses the links of a `Link` value, in order. Stops at the first malformed one.
 * @see https://www.rfc-editor.org/rfc/rfc8288#section-3
 */
function parseLinks(header: string): readonly Link[] {
  const text = header.slice(0, HEADER_MAX_CHARACTERS);
  const links: Link[] = [];
  let position = 0;
  const take = (pattern: RegExp) => {
    pattern.lastIndex = position;
    const match = pattern.exec(text);
    if (match) position = pattern.lastIndex;
    return match;
  };
  for (let target = take(TARGET); target; target = take(TARGET)) {
    const parameters = new Map<string, string>();
    for (let parameter = take(PARAMETER); parameter; parameter = take(PARAMETER)) {
      const [, name = '', quoted, token = ''] = parameter;
      const value = quoted?.replaceAll(/\\(.)/g, '$1') ?? token;
      // A repeated parameter does not replace the first one; RFC 8288 says so for `rel`.
      if (!parameters.has(name.toLowerCase())) parameters.set(name.toLowerCase(), value);
    }
    links.push({ target: target[1] ?? '', parameters });
  }
  return links;
}

/** The target of the first link with this relation type. A link may have several types, separated by spaces. */
export function linkOf(header: string, relation: string): string | undefined {
  const link = parseLinks(header).find(({ parameters }) =>
    parameters.get('rel')?.toLowerCase().split(/\s+/).includes(relation),
  );
  return link?.target;
}

/** The part of a list to return, and whose share of the memory it is charged to. */
export interface ListOptions extends TagBounds {
  readonly share?: Share | undefined;
}

/** One unparsed answer of `/tags/list`, and its head. */
export interface RawTagPage {
  readonly body: Buffer;
  readonly reply: Pick<Reply, 'headers' | 'url' | 'target'>;
}

/** Requests one page with this query. */
export type FetchTagPage = (query: string) => Promise<RawTagPage>;

/** Limit of the pages of one list: with more, the registry's links form a circle. */
const PAGES_MAX = 500;
/** Limits of one list: the bytes of all pages, and the time in which further pages are requested, in milliseconds. */
const LIST_MAX_BYTES = 32 * 1024 * 1024;
const LIST_MAX_MS = 60_000;
/** Lists up to this size, in bytes, are parsed on the event loop; the number of requests limits them. */
const SMALL_BYTES = 64 * 1024;
/** Memory for the pages of all large lists, in bytes. */
const PAGE_MEMORY = new FairBudget(64 * 1024 * 1024);

/** Large lists are parsed on a thread: sorting half a million tags takes as long as many pulls. */
const THREAD = new BackgroundThread<TagsRequest, TagsReply>({
  start: (options) => startWorker('tags-worker', import.meta.filename, options),
  waitingMaxBytes: 64 * 1024 * 1024,
});

/**
 * The query of the link to the next page. Only the query is used: whatever host and path the link has, the
 * request goes to the same endpoint.
 */
function nextOf({ reply: { headers, url, target } }: RawTagPage): string | undefined {
  const link = linkOf(headers['link'] ?? '', 'next');
  const next = link === undefined ? undefined : resolveReference(link, { url, target });
  const query = next?.target.replace(/^[^?]*\??/, '');
  return query === '' ? undefined : query;
}

/** Sorts the parameters of a query, so that equal queries have equal texts. */
function normalizeQuery(query: string): string {
  const parameters = new URLSearchParams(query);
  parameters.sort();
  return parameters.toString();
}

function endless(why: string): RegistryError {
  return new RegistryError('UNAVAILABLE', `the list of tags does not end: MetaHub stopped after ${why}`);
}

/** One request for tags. Its pages are charged to a shared memory budget until it ends. */
class TagListing {
  readonly #fetch: FetchTagPage;
  readonly #bounds: TagBounds;
  readonly #share: Share;
  readonly #now: () => number;
  readonly #startedMs: number;
  readonly #held: (() => void)[] = [];
  #sizeBytes = 0;

  constructor(
    fetch: FetchTagPage,
    { share = NO_SHARE, limit, after, first, last }: ListOptions,
    now: () => number,
  ) {
    this.#fetch = fetch;
    this.#bounds = { limit, after, first, last };
    this.#share = share;
    this.#now = now;
    this.#startedMs = now();
  }

  async fetch(query: string): Promise<RawTagPage> {
    if (this.#now() - this.#startedMs > LIST_MAX_MS) throw endless(`${LIST_MAX_MS / 1000} s`);
    const page = await this.#fetch(query);
    this.#sizeBytes += page.body.length;
    if (this.#sizeBytes > LIST_MAX_BYTES) throw endless(`${LIST_MAX_BYTES} bytes`);
    if (this.#sizeBytes <= SMALL_BYTES) return page;
    const release = PAGE_MEMORY.tryTake(page.body.length, this.#share);
    if (release === undefined) throw memoryExhausted();
    this.#held.push(release);
    return page;
  }

  /** All pages from `first` on, the answer to `query`. */
  async fetchAll(first: RawTagPage, query: string): Promise<readonly RawTagPage[]> {
    const pages = [first];
    const asked = new Set([normalizeQuery(query)]);
    // The list ends at a link to a page that was read already, such as a page's link to itself.
    for (let next = nextOf(first); next !== undefined && !asked.has(normalizeQuery(next)); ) {
      if (pages.length === PAGES_MAX) throw endless(`${PAGES_MAX} pages`);
      asked.add(normalizeQuery(next));
      const page = await this.fetch(next);
      pages.push(page);
      next = nextOf(page);
    }
    return pages;
  }

  /** @throws {RegistryError} UNAVAILABLE when a page is no list of tags, or there are too many tags. */
  async read(pages: readonly RawTagPage[]): Promise<TagsReply & { kind: 'read' }> {
    const bodies = pages.map(({ body }) => body);
    const sizeBytes = bodies.reduce((sum, { length }) => sum + length, 0);
    const request = { bodies, bounds: this.#bounds };
    const result =
      sizeBytes <= SMALL_BYTES ? readTagPages(request) : await readOnThread(request, sizeBytes, this.#share);
    if (result.kind === 'read') return result;
    if (result.kind === 'too-many') throw endless(`more than ${TAGS_MAX} tags`);
    const { reply } = pages[result.body] as RawTagPage;
    if (isWebPage(reply)) throw webPageError(reply, 'a list of tags');
    throw new RegistryError('UNAVAILABLE', `${reply.url.host} did not answer with a list of tags`);
  }

  close(): void {
    for (const release of this.#held) release();
  }
}

async function readOnThread(request: TagsRequest, sizeBytes: number, share: Share): Promise<TagsReply> {
  try {
    return await THREAD.run(request, sizeBytes, { share });
  } catch (error) {
    if (error instanceof ThreadBusyError) throw memoryExhausted();
    if (!(error instanceof ThreadFailedError)) throw error;
    throw new RegistryError('UNAVAILABLE', `the list of tags cannot be read: ${error.message}`);
  }
}

/**
 * A page of tags as the specification requires, from a registry that may not follow it: sorted, only tags after
 * `after`, at most the requested number. From a registry whose pages are not in lexical order all pages are
 * requested.
 * @param now monotonic milliseconds
 * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-tags
 */
export async function listTags(
  fetch: FetchTagPage,
  options: ListOptions,
  now: () => number,
): Promise<TagPage> {
  const { limit, after } = options;
  const listing = new TagListing(fetch, options, now);
  const query = new URLSearchParams({
    ...(limit === undefined ? {} : { n: String(limit) }),
    ...(after === undefined ? {} : { last: after }),
  }).toString();
  try {
    const first = await listing.fetch(query);
    const { page, count, end, isAscending } = await listing.read([first]);
    const next = nextOf(first);
    if (next === undefined && (isAscending || after === undefined)) return page;
    const most = mostOf(options);
    // The registry's paging is trusted only if its next page begins after the last tag of this one.
    const isTelling = end !== undefined && new URLSearchParams(next).get('last') === end;
    if (isAscending && isTelling && most !== undefined && count <= most)
      return { tags: page.tags, next: end };
    const pages =
      isAscending || after === undefined
        ? await listing.fetchAll(first, query)
        : await listing.fetchAll(await listing.fetch(''), '');
    return (await listing.read(pages)).page;
  } finally {
    listing.close();
  }
}
