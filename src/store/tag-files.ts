import { createHash } from 'node:crypto';
import { open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';
import type { TagRecord } from '../oci/content-store.ts';
import { parseDigest } from '../oci/digest.ts';
import { formatRepository, type Repository, type Tag } from '../oci/reference.ts';
import { writeAtomically } from './atomic-file.ts';
import type { Layout } from './layout.ts';
import { identityOf } from './verify.ts';

/** A repository's tags as they were when its registry last answered. */
export interface RepositoryTags {
  /** `docker.io/library/alpine`. */
  readonly repository: string;
  readonly tags: ReadonlyMap<string, TagRecord>;
}

/** Tags in memory, over all repositories, and what a repository itself counts as. */
const TAGS_IN_MEMORY_MAX = 100_000;
const REPOSITORY_COUNTS_AS = 20;
/**
 * Tags of one repository that are remembered, those that came or moved last: the file is written as a whole for each, while
 * every other repository's waits.
 */
const TAGS_MAX = 1000;

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

/** What a file said, which file that was, and what the disk has refused to take since. */
interface KnownTags extends RepositoryTags {
  /** Undefined: not known, so that it is read again. */
  readonly identity: string | undefined;
  readonly unwritten: ReadonlyMap<string, TagRecord | undefined>;
}

const ABSENT = 'absent';

function identityAt(path: string): Promise<string> {
  return stat(path, { bigint: true }).then(identityOf, () => ABSENT);
}

async function readTags(path: string): Promise<{ readonly text: string; readonly identity: string }> {
  const file = await open(path, 'r').catch(() => undefined);
  if (!file) return { text: '', identity: ABSENT };
  try {
    return { identity: identityOf(await file.stat({ bigint: true })), text: await file.readFile('utf8') };
  } catch {
    // As if it were not there: the tags are learnt again.
    return { text: '', identity: ABSENT };
  } finally {
    await file.close();
  }
}

/** With `tag` as the last that came; the first go when there are too many. */
function withLast<Value>(tags: ReadonlyMap<string, Value>, tag: string, value: Value): Map<string, Value> {
  const changed = withoutTag(tags, tag).set(tag, value);
  return changed.size <= TAGS_MAX ? changed : new Map([...changed].slice(-TAGS_MAX));
}

function withoutTag<Value>(tags: ReadonlyMap<string, Value>, tag: string): Map<string, Value> {
  const changed = new Map(tags);
  changed.delete(tag);
  return changed;
}

function withTag(tags: ReadonlyMap<string, TagRecord>, tag: string, record: TagRecord | undefined) {
  return record ? withLast(tags, tag, record) : withoutTag(tags, tag);
}

/** The index of tags on disk: one file per repository, so that two daemons on one store seldom write the same. */
export function createTagFiles(layout: Layout): TagFiles {
  const memory = new LRUCache<string, KnownTags>({
    maxSize: TAGS_IN_MEMORY_MAX,
    sizeCalculation: ({ tags }) => tags.size + REPOSITORY_COUNTS_AS,
  });
  let writing: Promise<unknown> = Promise.resolve();

  const pathOf = (repository: string) => {
    const name = createHash('sha256').update(repository).digest('hex').slice(0, 40);
    return join(layout.tags, `${name}.json`);
  };

  /** The tags as they are on disk now: another daemon may have written the file since it was read. */
  async function load(repository: string): Promise<KnownTags> {
    const path = pathOf(repository);
    const known = memory.get(repository);
    if (known && known.identity === (await identityAt(path))) return known;
    const { text, identity } = await readTags(path);
    const read = parseTags(text);
    const unwritten = memory.get(repository)?.unwritten ?? new Map();
    let tags = read?.repository === repository ? read.tags : new Map<string, TagRecord>();
    for (const [tag, record] of unwritten) tags = withTag(tags, tag, record);
    const loaded = { repository, tags, identity, unwritten };
    memory.set(repository, loaded);
    return loaded;
  }

  async function put(name: string, tag: Tag, record: TagRecord | undefined): Promise<boolean> {
    const remembered = memory.get(name)?.tags.get(tag);
    if (remembered && isSame(remembered, record)) return false;
    const known = await load(name);
    if (isSame(known.tags.get(tag), record)) return false;
    const tags = withTag(known.tags, tag, record);
    const document = { repository: name, tags: Object.fromEntries(tags) };
    try {
      await writeAtomically(layout, pathOf(name), Buffer.from(JSON.stringify(document)));
      memory.set(name, { repository: name, tags, identity: undefined, unwritten: new Map() });
    } catch (error) {
      const unwritten = withLast(known.unwritten, tag, record);
      memory.set(name, { repository: name, tags, identity: known.identity, unwritten });
      throw error;
    }
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
