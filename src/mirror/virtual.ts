import { LRUCache } from 'lru-cache';
import { SingleFlight } from '../lib/single-flight.ts';
import { assembleIndex } from '../oci/build-index.ts';
import type { Digest } from '../oci/digest.ts';
import { answersTo, type ListSpec } from '../oci/image-list.ts';
import {
  formatReference,
  formatRepository,
  isSameRepository,
  parseTag,
  type Repository,
  type Tag,
} from '../oci/reference.ts';
import type {
  Manifest,
  ManifestInfo,
  Registry,
  RequestOptions,
  TagOptions,
  TagPage,
} from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { ListReach, type Reached } from './list-reach.ts';
import { type Missing, type ResolveOptions, resolveMembers } from './resolve-members.ts';

/** The tags of a repository that this mirror has served, restarts included. */
export interface TagHistory {
  tagsOf(repository: Repository): Promise<readonly Tag[]>;
  keepTag(repository: Repository, tag: Tag, info: ManifestInfo): Promise<void>;
}

export interface VirtualOptions {
  readonly next: Registry;
  /** The lists, strongest first; read again for every request, so that a reload shows at once. */
  readonly catalog: () => readonly ListSpec[];
  readonly history?: TagHistory | undefined;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Told of members that a list had to do without. */
  readonly onMissing: (list: string, missing: Missing) => void;
}

interface Assembled {
  /** As it was then: a reload puts another in its place. */
  readonly spec: ListSpec;
  readonly manifest: Manifest;
  readonly members: readonly Reached[];
  readonly expiresMs: number;
}

const LISTS_MAX = 1000;
/** Members whose absence is remembered as reported. */
const REPORTED_MAX = 10_000;
/** Tags of a pattern that a search for a digest goes through. */
const TAGS_MAX = 32;

const isUnknown = (error: unknown): boolean => error instanceof RegistryError && error.status === 404;

/** @throws {RegistryError} when there is no member at all. */
function toManifest({ found, missing }: ResolveOptions, list: string): Manifest {
  if (found.length === 0) {
    const hasFailed = missing.some((one) => !one.isUnknown);
    const reasons = missing.map(({ image, reason }) => `${image}: ${reason}`).join('; ');
    throw new RegistryError(
      hasFailed ? 'UNAVAILABLE' : 'MANIFEST_UNKNOWN',
      `no member of ${list} could be had (${reasons})`,
    );
  }
  const index = assembleIndex(found.map(({ member }) => member));
  // A list that lacks what could not be asked for is of the moment only.
  const isWhole = missing.every((one) => one.isUnknown);
  const maxAgeMs = isWhole ? Math.min(...found.map((one) => one.maxAgeMs)) : 0;
  // A list is no fresher than its members.
  const warning = found.find((one) => one.warning !== undefined)?.warning;
  return {
    ...index,
    maxAgeMs: Number.isFinite(maxAgeMs) ? maxAgeMs : 0,
    ...(warning === undefined ? {} : { notices: { warning } }),
  };
}

/** Assembles lists from their members, and remembers them for as long as the members' tags may be believed. */
class ListAssembler {
  readonly #options: VirtualOptions;
  readonly #assembled = new LRUCache<string, Assembled>({ max: LISTS_MAX });
  readonly #reported = new LRUCache<string, true>({ max: REPORTED_MAX });
  /** By list as it is now: what a reload put in its place is not answered with an assembly of before. */
  readonly #assemblies = new WeakMap<ListSpec, SingleFlight<Assembled>>();

  constructor(options: VirtualOptions) {
    this.#options = options;
  }

  /** The list as of now; those who ask meanwhile share one assembly. */
  assemble(spec: ListSpec, tag: Tag, options: RequestOptions): Promise<Assembled> {
    const { now } = this.#options;
    const key = JSON.stringify([options.access?.partition, formatRepository(spec.repository), tag]);
    const known = options.revalidate ? undefined : this.#assembled.get(key);
    if (known?.spec === spec && known.expiresMs > now()) return Promise.resolve(known);
    const flight = options.revalidate ? `${key} revalidated` : key;
    return this.#assembliesOf(spec).share(flight, options.signal, async (signal) => {
      const list = await this.#assembleNow(spec, tag, { ...options, signal });
      this.#assembled.set(key, list);
      return list;
    });
  }

  /** Each member once, until it is there again: a list is assembled every few minutes. */
  #reportMissing(spec: ListSpec, name: string, { found, missing }: ResolveOptions): void {
    const keyOf = (image: string) => `${formatRepository(spec.repository)} ${image}`;
    for (const { image } of found) {
      this.#reported.delete(keyOf(formatReference(image.repository, image.reference)));
    }
    for (const one of missing) {
      if (this.#reported.has(keyOf(one.image))) continue;
      this.#reported.set(keyOf(one.image), true);
      this.#options.onMissing(name, one);
    }
  }

  #assembliesOf(spec: ListSpec): SingleFlight<Assembled> {
    const known = this.#assemblies.get(spec);
    if (known) return known;
    const created = new SingleFlight<Assembled>();
    this.#assemblies.set(spec, created);
    return created;
  }

  async #assembleNow(spec: ListSpec, tag: Tag, options: RequestOptions): Promise<Assembled> {
    const { next, now, history } = this.#options;
    const name = formatReference(spec.repository, { kind: 'tag', tag });
    const resolved = await resolveMembers(spec, tag, next, options);
    // Members that were not asked for to the end are not missing.
    options.signal?.throwIfAborted();
    this.#reportMissing(spec, name, resolved);
    const manifest = toManifest(resolved, name);
    const { digest, mediaType, bytes } = manifest;
    await history?.keepTag(spec.repository, tag, { digest, mediaType, sizeBytes: bytes.length });
    const members = resolved.found.map(({ member, image }) => ({
      digest: member.digest,
      mediaType: member.mediaType,
      home: image.repository,
    }));
    return { spec, manifest, members, expiresMs: now() + manifest.maxAgeMs };
  }
}

/**
 * Images that no registry holds: a tag of a list's repository is answered with an index of its members, wherever they
 * live; what the members consist of is then found by digest in their own repositories.
 */
export function virtual(options: VirtualOptions): Registry {
  const { next, catalog, now, history } = options;
  const assembler = new ListAssembler(options);
  const reach = new ListReach({ next, now, membersOf });

  function listsOf(repository: Repository): readonly ListSpec[] {
    return catalog().filter((list) => isSameRepository(list.repository, repository));
  }

  async function listManifest(spec: ListSpec, tag: Tag, asked: RequestOptions): Promise<Manifest> {
    const { manifest, members, expiresMs } = await assembler.assemble(spec, tag, asked);
    reach.add(spec.repository, members);
    return { ...manifest, maxAgeMs: Math.max(0, expiresMs - now()) };
  }

  /** The tags that a list may be asked for by: those it names, and those it was asked for by. */
  async function tagsOf(spec: ListSpec, repository: Repository): Promise<readonly Tag[]> {
    const named = spec.tags.flatMap(({ isLiteral, excludes, text }) =>
      isLiteral && !excludes ? (parseTag(text) ?? []) : [],
    );
    const served = (await history?.tagsOf(repository)) ?? [];
    return [...new Set([...named, ...served])].filter((tag) => answersTo(spec, tag)).slice(0, TAGS_MAX);
  }

  async function membersOf(repository: Repository, asked: RequestOptions): Promise<readonly Reached[]> {
    const found: Reached[] = [];
    for (const spec of listsOf(repository)) {
      for (const tag of await tagsOf(spec, repository)) {
        const list = await assembler.assemble(spec, tag, asked).catch((error: unknown) => {
          if (isUnknown(error)) return undefined;
          throw error;
        });
        found.push(...(list?.members ?? []));
      }
    }
    return found;
  }

  /** Asks the repository that has the digest: a member's where a list reaches it, else the one that was named. */
  async function atHome<Answer>(
    repository: Repository,
    digest: Digest,
    asked: RequestOptions,
    ask: (home: Repository) => Promise<Answer>,
  ): Promise<readonly [answer: Answer, home: Repository]> {
    const isList = listsOf(repository).length > 0;
    const home = (isList ? await reach.find(repository, digest, asked) : undefined) ?? repository;
    return [await ask(home), home];
  }

  return {
    async manifest(repository, reference, asked = {}) {
      if (reference.kind === 'digest') {
        const get = (home: Repository) => next.manifest(home, reference, asked);
        const [manifest, home] = await atHome(repository, reference.digest, asked, get);
        if (home !== repository) reach.addChildren(repository, manifest, home);
        return manifest;
      }
      const spec = listsOf(repository).find((list) => answersTo(list, reference.tag));
      return spec ? listManifest(spec, reference.tag, asked) : next.manifest(repository, reference, asked);
    },
    async resolve(repository, reference, asked = {}) {
      if (reference.kind === 'digest') {
        const head = (home: Repository) => next.resolve(home, reference, asked);
        return (await atHome(repository, reference.digest, asked, head))[0];
      }
      const spec = listsOf(repository).find((list) => answersTo(list, reference.tag));
      if (spec === undefined) return next.resolve(repository, reference, asked);
      const { digest, mediaType, bytes, notices } = await listManifest(spec, reference.tag, asked);
      return { digest, mediaType, sizeBytes: bytes.length, ...(notices ? { notices } : {}) };
    },
    async statBlob(repository, digest, asked = {}) {
      return (await atHome(repository, digest, asked, (home) => next.statBlob(home, digest, asked)))[0];
    },
    async blob(repository, digest, asked = {}) {
      return (await atHome(repository, digest, asked, (home) => next.blob(home, digest, asked)))[0];
    },
    async tags(repository, asked = {}) {
      const lists = listsOf(repository);
      const ask = () => next.tags(repository, asked);
      return lists.length === 0 ? ask() : withListTags(lists, ask, asked);
    },
    async referrers(repository, digest, asked = {}) {
      const get = (home: Repository) => next.referrers(home, digest, asked);
      const [index, home] = await atHome(repository, digest, asked, get);
      if (home !== repository) reach.addChildren(repository, index, home);
      return index;
    },
  };
}

/** Upstream's tags and those that lists name outright; of patterns nobody knows which tags they stand for. */
async function withListTags(
  lists: readonly ListSpec[],
  ask: () => Promise<TagPage>,
  { after = '', first, limit = first ?? Number.POSITIVE_INFINITY, last }: TagOptions,
): Promise<TagPage> {
  const page = await ask().catch((error: unknown): TagPage => {
    if (isUnknown(error)) return { tags: [] };
    throw error;
  });
  const { next: upTo } = page;
  const named = lists
    .flatMap(({ tags }) => tags)
    .filter(({ isLiteral, excludes }) => isLiteral && !excludes)
    .map(({ text }) => text)
    .filter((tag) => tag > after);
  const fitting = named.filter((tag) => upTo === undefined || tag <= upTo);
  const all = [...new Set([...page.tags, ...fitting])].sort();
  if (last !== undefined) return { tags: all.slice(-last) };
  if (all.length <= limit) return { ...page, tags: all };
  const tags = all.slice(0, limit);
  return { tags, next: tags.at(-1) };
}
