import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';
import type { TagRecord } from '../oci/content-store.ts';
import { parseDigest } from '../oci/digest.ts';
import { formatRepository, type Repository, type Tag } from '../oci/reference.ts';
import { writeAtomically } from './atomic-file.ts';
import type { Layout } from './layout.ts';

/** A repository's tags as they were when its registry last answered. */
export interface RepositoryTags {
  /** `docker.io/library/alpine`. */
  readonly repository: string;
  readonly tags: ReadonlyMap<string, TagRecord>;
}

const REPOSITORIES_IN_MEMORY_MAX = 2000;

function parseTagRecord(value: unknown): TagRecord | undefined {
  const { digest, mediaType, sizeBytes } = (value ?? {}) as Record<string, unknown>;
  const parsed = typeof digest === 'string' ? parseDigest(digest) : undefined;
  if (!parsed || typeof mediaType !== 'string' || typeof sizeBytes !== 'number') return undefined;
  return { digest: parsed, mediaType, sizeBytes };
}

function parseTags(text: string): RepositoryTags | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // Half written before a loss of power: the tags are learnt again.
    return undefined;
  }
  const { repository, tags } = (json ?? {}) as Record<string, unknown>;
  if (typeof repository !== 'string' || typeof tags !== 'object' || tags === null) return undefined;
  const known = new Map<string, TagRecord>();
  for (const [tag, value] of Object.entries(tags)) {
    const record = parseTagRecord(value);
    if (record) known.set(tag, record);
  }
  return { repository, tags: known };
}

export interface TagFiles {
  find(repository: Repository, tag: Tag): Promise<TagRecord | undefined>;
  /** True when that was news. Rejects when the disk refuses; the tag is then remembered by this process only. */
  put(repository: Repository, tag: Tag, record: TagRecord | undefined): Promise<boolean>;
  all(): Promise<readonly RepositoryTags[]>;
}

function isSame(a: TagRecord | undefined, b: TagRecord | undefined): boolean {
  return a?.digest === b?.digest && a?.mediaType === b?.mediaType;
}

/** The index of tags on disk: one file per repository, so that two daemons on one store seldom write the same. */
export function createTagFiles(layout: Layout): TagFiles {
  const memory = new LRUCache<string, RepositoryTags>({ max: REPOSITORIES_IN_MEMORY_MAX });
  let writing: Promise<unknown> = Promise.resolve();

  const pathOf = (repository: string) => {
    const name = createHash('sha256').update(repository).digest('hex').slice(0, 40);
    return join(layout.tags, `${name}.json`);
  };

  async function load(repository: string): Promise<RepositoryTags> {
    const known = memory.get(repository);
    if (known) return known;
    const text = await readFile(pathOf(repository), 'utf8').catch(() => '');
    const read = parseTags(text);
    const tags =
      memory.get(repository) ?? (read?.repository === repository ? read : { repository, tags: new Map() });
    memory.set(repository, tags);
    return tags;
  }

  async function put(name: string, tag: Tag, record: TagRecord | undefined): Promise<boolean> {
    const known = await load(name);
    if (isSame(known.tags.get(tag), record)) return false;
    const tags = new Map(known.tags);
    if (record) tags.set(tag, record);
    else tags.delete(tag);
    memory.set(name, { repository: name, tags });
    const document = { repository: name, tags: Object.fromEntries(tags) };
    await writeAtomically(layout, pathOf(name), Buffer.from(JSON.stringify(document)));
    return true;
  }

  return {
    find: async (repository, tag) => (await load(formatRepository(repository))).tags.get(tag),
    put: (repository, tag, record) => {
      // One after the other: two tags of one repository must not overwrite each other's file.
      const done = writing.then(() => put(formatRepository(repository), tag, record));
      writing = done.catch(() => {
        // The caller hears of it; the next write goes on.
      });
      return done;
    },
    all: async () => {
      const names = await readdir(layout.tags).catch(() => []);
      const files = await Promise.all(
        names.map((name) => readFile(join(layout.tags, name), 'utf8').catch(() => '')),
      );
      return files.map(parseTags).filter((tags) => tags !== undefined);
    },
  };
}
