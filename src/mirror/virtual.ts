import type { Digest } from '../oci/digest.ts';
import { answersTo, type ListSpec } from '../oci/image-list.ts';
import { isSameRepository, parseTag, type Repository, type Tag } from '../oci/reference.ts';
import {
  infoOf,
  type Manifest,
  type Registry,
  type RequestOptions,
  type TagOptions,
  type TagPage,
} from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { ListAssembler, type ListAssemblerOptions } from './list-assembler.ts';
import { ListReach, type Reached } from './list-reach.ts';

export interface VirtualOptions extends ListAssemblerOptions {
  /** The lists, the most preferred first. Read for each request, so that a reload takes effect at once. */
  readonly catalog: () => readonly ListSpec[];
}

/** How many tags of a pattern are searched for a digest. */
const TAGS_MAX = 32;

const isUnknown = (error: unknown): boolean => error instanceof RegistryError && error.status === 404;

/** Lists as images: their indexes, their members, and the repositories that have their content. */
class ListImages {
  readonly #options: VirtualOptions;
  readonly #assembler: ListAssembler;
  readonly #reach: ListReach;

  constructor(options: VirtualOptions) {
    const { next, now } = options;
    this.#options = options;
    this.#assembler = new ListAssembler(options);
    this.#reach = new ListReach({
      next,
      now,
      membersOf: (repository, asked) => this.#membersOf(repository, asked),
    });
  }

  listsOf(repository: Repository): readonly ListSpec[] {
    return this.#options.catalog().filter((list) => isSameRepository(list.repository, repository));
  }

  /** The index of the list that has this tag; undefined when there is none. */
  async byTag(repository: Repository, tag: Tag, asked: RequestOptions): Promise<Manifest | undefined> {
    const spec = this.listsOf(repository).find((list) => answersTo(list, tag));
    if (spec === undefined) return undefined;
    const { manifest, members, expiresMs } = await this.#assembler.assemble(spec, tag, asked);
    this.#reach.add(spec.repository, members);
    return { ...manifest, maxAgeMs: Math.max(0, expiresMs - this.#options.now()) };
  }

  /** The index of a list with this digest, which no registry has; otherwise what `ask` returns. */
  async orIndex<Answer>(
    repository: Repository,
    digest: Digest,
    asked: RequestOptions,
    ask: () => Promise<Answer>,
  ): Promise<Manifest | Answer> {
    if (this.listsOf(repository).length === 0) return ask();
    const index = () => this.#assembler.index(repository, digest, asked);
    const known = index();
    if (known) return known;
    try {
      return await ask();
    } catch (error) {
      // The search for the digest has assembled the lists, so the index may be known now.
      const assembled = isUnknown(error) ? index() : undefined;
      if (!assembled) throw error;
      return assembled;
    }
  }

  /**
   * Calls `ask` with the repository that has the digest: a member's if a list refers to the digest, else the named
   * one.
   */
  async atHome<Answer>(
    repository: Repository,
    digest: Digest,
    asked: RequestOptions,
    ask: (home: Repository) => Promise<Answer>,
  ): Promise<Answer> {
    return (await this.#askHome(repository, digest, asked, ask))[0];
  }

  /** As {@link atHome}, for a manifest: its repository then has what the manifest refers to. */
  async manifestAtHome(
    repository: Repository,
    digest: Digest,
    asked: RequestOptions,
    ask: (home: Repository) => Promise<Manifest>,
  ): Promise<Manifest> {
    const [manifest, home] = await this.#askHome(repository, digest, asked, ask);
    if (home !== repository) await this.#reach.addChildren(repository, manifest, home, asked);
    return manifest;
  }

  async #askHome<Answer>(
    repository: Repository,
    digest: Digest,
    asked: RequestOptions,
    ask: (home: Repository) => Promise<Answer>,
  ): Promise<readonly [answer: Answer, home: Repository]> {
    const isList = this.listsOf(repository).length > 0;
    const home = (isList ? await this.#reach.find(repository, digest, asked) : undefined) ?? repository;
    return [await ask(home), home];
  }

  async #membersOf(repository: Repository, asked: RequestOptions): Promise<readonly Reached[]> {
    const found: Reached[] = [];
    for (const spec of this.listsOf(repository)) {
      for (const tag of await this.#tagsOf(spec, repository)) {
        const list = await this.#assembler.assemble(spec, tag, asked).catch((error: unknown) => {
          if (isUnknown(error)) return undefined;
          throw error;
        });
        found.push(...(list?.members ?? []));
      }
    }
    return found;
  }

  /** The tags by which a list may be requested: those that it names, and those that were requested before. */
  async #tagsOf(spec: ListSpec, repository: Repository): Promise<readonly Tag[]> {
    const named = spec.tags.flatMap(({ isLiteral, excludes, text }) =>
      isLiteral && !excludes ? (parseTag(text) ?? []) : [],
    );
    const served = (await this.#options.history?.tagsOf(repository)) ?? [];
    return [...new Set([...named, ...served])].filter((tag) => answersTo(spec, tag)).slice(0, TAGS_MAX);
  }
}

/**
 * Virtual images, which no registry has. A tag of a list's repository gets an index of the list's members, in
 * whatever repositories they are; requests for their content by digest go to those repositories.
 */
export function virtual(options: VirtualOptions): Registry {
  const { next } = options;
  const images = new ListImages(options);
  return {
    async manifest(repository, reference, asked = {}) {
      if (reference.kind === 'digest') {
        const { digest } = reference;
        const get = (home: Repository) => next.manifest(home, reference, asked);
        return images.orIndex(repository, digest, asked, () =>
          images.manifestAtHome(repository, digest, asked, get),
        );
      }
      const list = await images.byTag(repository, reference.tag, asked);
      return list ?? next.manifest(repository, reference, asked);
    },
    async resolve(repository, reference, asked = {}) {
      if (reference.kind === 'digest') {
        const { digest } = reference;
        const head = (home: Repository) => next.resolve(home, reference, asked);
        const ask = () => images.atHome(repository, digest, asked, head);
        const found = await (asked.beforePush ? ask() : images.orIndex(repository, digest, asked, ask));
        return 'bytes' in found ? infoOf(found) : found;
      }
      const list = await images.byTag(repository, reference.tag, asked);
      return list ? infoOf(list) : next.resolve(repository, reference, asked);
    },
    async statBlob(repository, digest, asked = {}) {
      return images.atHome(repository, digest, asked, (home) => next.statBlob(home, digest, asked));
    },
    async blob(repository, digest, asked = {}) {
      return images.atHome(repository, digest, asked, (home) => next.blob(home, digest, asked));
    },
    smallBlob: (repository, ...asked) =>
      // A list's blobs are in its members' repositories.
      images.listsOf(repository).length > 0 ? undefined : next.smallBlob?.(repository, ...asked),
    async tags(repository, asked = {}) {
      const lists = images.listsOf(repository);
      const ask = () => next.tags(repository, asked);
      return lists.length === 0 ? ask() : withListTags(lists, ask, asked);
    },
    async referrers(repository, digest, asked = {}) {
      const get = (home: Repository) => next.referrers(home, digest, asked);
      return images.manifestAtHome(repository, digest, asked, get);
    },
  };
}

/** Upstream's tags and those that lists name literally; the tags that match a pattern are unknown. */
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
