import { LRUCache } from 'lru-cache';
import { assembleIndex } from '../oci/build-index.ts';
import type { Digest } from '../oci/digest.ts';
import { answersTo, type ListSpec, memberRepositories } from '../oci/image-list.ts';
import {
  formatReference,
  formatRepository,
  isSameRepository,
  type Repository,
  type Tag,
} from '../oci/reference.ts';
import type { Manifest, Registry, RequestOptions, TagOptions, TagPage } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { type Missing, type ResolveOptions, resolveMembers } from './resolve-members.ts';

export interface VirtualOptions {
  readonly next: Registry;
  /** The lists, strongest first; read again for every request, so that a reload shows at once. */
  readonly catalog: () => readonly ListSpec[];
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Told of members that a list had to do without. */
  readonly onMissing: (list: string, missing: Missing) => void;
}

interface Assembled {
  /** As it was then: a reload puts another in its place. */
  readonly spec: ListSpec;
  readonly manifest: Manifest;
  readonly expiresMs: number;
}

/** How many digests' homes, and how many assembled lists, are remembered. */
const HOMES_MAX = 10_000;
const LISTS_MAX = 1000;

const isUnknown = (error: unknown): boolean => error instanceof RegistryError && error.status === 404;

/**
 * Images that no registry holds: a tag of a list's repository is answered with an index of its members, wherever they
 * live; what the members consist of is then found by digest in their own repositories.
 */
export function virtual({ next, catalog, now, onMissing }: VirtualOptions): Registry {
  const assembled = new LRUCache<string, Assembled>({ max: LISTS_MAX });
  const running = new Map<string, { readonly spec: ListSpec; readonly manifest: Promise<Manifest> }>();
  const homes = new LRUCache<string, Repository>({ max: HOMES_MAX });

  function listsOf(repository: Repository): readonly ListSpec[] {
    return catalog().filter((list) => isSameRepository(list.repository, repository));
  }

  function listOf(repository: Repository, tag: Tag): ListSpec | undefined {
    return listsOf(repository).find((spec) => answersTo(spec, tag));
  }

  function toManifest({ found, missing }: ResolveOptions, list: string): Manifest {
    for (const one of missing) onMissing(list, one);
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
    return { ...index, maxAgeMs, ...(warning === undefined ? {} : { notices: { warning } }) };
  }

  async function assemble(spec: ListSpec, tag: Tag, key: string, options: RequestOptions): Promise<Manifest> {
    const list = formatReference(spec.repository, { kind: 'tag', tag });
    // Shared by all who ask meanwhile: one of them leaving must not end it.
    const { signal: _, ...shared } = options;
    const gathering = await resolveMembers(spec, tag, next, shared);
    for (const { member, image } of gathering.found) homes.set(member.digest, image.repository);
    const manifest = toManifest(gathering, list);
    const maxAgeMs = Number.isFinite(manifest.maxAgeMs) ? manifest.maxAgeMs : 0;
    assembled.set(key, { spec, manifest, expiresMs: now() + maxAgeMs });
    return { ...manifest, maxAgeMs };
  }

  function listManifest(spec: ListSpec, tag: Tag, options: RequestOptions): Promise<Manifest> {
    const key = JSON.stringify([options.access?.partition, formatRepository(spec.repository), tag]);
    const known = assembled.get(key);
    if (known?.spec === spec && known.expiresMs > now()) {
      return Promise.resolve({ ...known.manifest, maxAgeMs: known.expiresMs - now() });
    }
    const joined = running.get(key);
    if (joined?.spec === spec) return joined.manifest;
    const started = assemble(spec, tag, key, options).finally(() => {
      if (running.get(key)?.manifest === started) running.delete(key);
    });
    running.set(key, { spec, manifest: started });
    return started;
  }

  /** Where a digest may be found when it is asked for below a list's name: where it was seen, then everywhere it could be. */
  function homesOf(repository: Repository, digest: Digest): readonly Repository[] {
    const lists = listsOf(repository);
    if (lists.length === 0) return [repository];
    const possible = [...lists.flatMap(memberRepositories), repository];
    const seen = homes.get(digest);
    const isPossible = seen !== undefined && possible.some((one) => isSameRepository(one, seen));
    return isPossible ? [seen, ...possible] : possible;
  }

  async function atHome<Answer>(
    repository: Repository,
    digest: Digest,
    ask: (home: Repository) => Promise<Answer>,
  ): Promise<Answer> {
    let refusal: unknown;
    for (const home of homesOf(repository, digest)) {
      try {
        const answer = await ask(home);
        if (home !== repository) homes.set(digest, home);
        return answer;
      } catch (error) {
        if (!isUnknown(error)) throw error;
        refusal ??= error;
      }
    }
    throw refusal;
  }

  return {
    async manifest(repository, reference, options = {}) {
      if (reference.kind === 'digest') {
        return atHome(repository, reference.digest, (home) => next.manifest(home, reference, options));
      }
      const spec = listOf(repository, reference.tag);
      return spec
        ? listManifest(spec, reference.tag, options)
        : next.manifest(repository, reference, options);
    },
    async resolve(repository, reference, options = {}) {
      if (reference.kind === 'digest') {
        return atHome(repository, reference.digest, (home) => next.resolve(home, reference, options));
      }
      const spec = listOf(repository, reference.tag);
      if (spec === undefined) return next.resolve(repository, reference, options);
      const { digest, mediaType, bytes, notices } = await listManifest(spec, reference.tag, options);
      return { digest, mediaType, sizeBytes: bytes.length, ...(notices ? { notices } : {}) };
    },
    statBlob: (repository, digest, options) =>
      atHome(repository, digest, (home) => next.statBlob(home, digest, options)),
    blob: (repository, digest, options) =>
      atHome(repository, digest, (home) => next.blob(home, digest, options)),
    async tags(repository, options = {}) {
      const lists = listsOf(repository);
      const ask = () => next.tags(repository, options);
      return lists.length === 0 ? ask() : withListTags(lists, ask, options);
    },
    referrers: (repository, digest, options) =>
      atHome(repository, digest, (home) => next.referrers(home, digest, options)),
  };
}

/** Upstream's tags and those that lists name outright; of patterns nobody knows which tags they stand for. */
async function withListTags(
  lists: readonly ListSpec[],
  ask: () => Promise<TagPage>,
  { after = '', limit = Number.POSITIVE_INFINITY }: TagOptions,
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
  if (all.length <= limit) return { ...page, tags: all };
  const tags = all.slice(0, limit);
  return { tags, next: tags.at(-1) };
}
