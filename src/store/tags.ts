import { createHash } from 'node:crypto';
import { open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';
import { writeAtomically } from '../lib/atomic-file.ts';
import { entriesAtMost } from '../lib/lru.ts';
import type { TagRecord } from '../oci/content-store.ts';
import { parseDigest } from '../oci/digest.ts';
import { formatRepository, type Repository, type Tag } from '../oci/reference.ts';
import { identityOf } from './file-io.ts';
import type { Layout } from './layout.ts';
import { TagNames } from './tag-names.ts';

/** A tag as its registry last answered it. */
interface NamedTag extends TagRecord {
  /** `docker.io/library/alpine:latest`. */
  readonly name: string;
}

/**
 * Limit of tags on disk: those that were new or moved most recently. A removed one is stored again when it is
 * fetched. The memory holds as many: those used most recently, of which some exist only there, because the disk
 * failed.
 */
const TAGS_MAX = 20_000;
/** Removal goes down to this share at once, because finding the oldest reads the time of every file. */
const ON_DISK_KEPT = 0.9;

function parseTagFile(text: string): NamedTag | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // A power loss may leave half a file. The tag is stored again with its registry's next answer.
    return undefined;
  }
  const { name, digest, mediaType, sizeBytes } = (json ?? {}) as Record<string, unknown>;
  const parsed = typeof digest === 'string' ? parseDigest(digest) : undefined;
  if (!parsed || typeof name !== 'string') return undefined;
  if (typeof mediaType !== 'string' || typeof sizeBytes !== 'number') return undefined;
  return { name, digest: parsed, mediaType, sizeBytes };
}

export interface TagFiles {
  find(repository: Repository, tag: Tag): Promise<TagRecord | undefined>;
  /**
   * Resolves with true when the record changed. Rejects when the write fails; then only this process knows the
   * tag.
   */
  put(repository: Repository, tag: Tag, record: TagRecord | undefined): Promise<boolean>;
  all(): Promise<readonly NamedTag[]>;
  /** The tags of a repository, the most recently stored first, those of earlier processes included. */
  tagsOf(repository: Repository): Promise<readonly Tag[]>;
}

function isSame(a: TagRecord | undefined, b: TagRecord | undefined): boolean {
  return a?.digest === b?.digest && a?.mediaType === b?.mediaType;
}

/** The content of a tag's file, and the file's identity; `UNWRITTEN` when it could not be written. */
interface KnownTag {
  readonly record: TagRecord | undefined;
  readonly identity: string | typeof UNWRITTEN;
}

const ABSENT = 'absent';
const UNWRITTEN = Symbol('unwritten');

function identityAt(path: string): Promise<string> {
  return stat(path, { bigint: true }).then(identityOf, () => ABSENT);
}

async function readTag(path: string, name: string): Promise<KnownTag> {
  const file = await open(path, 'r').catch(() => undefined);
  if (!file) return { record: undefined, identity: ABSENT };
  try {
    const identity = identityOf(await file.stat({ bigint: true }));
    const tag = parseTagFile(await file.readFile('utf8'));
    return { record: tag?.name === name ? tag : undefined, identity };
  } catch {
    // Treated as missing: the tag is stored again with its registry's next answer.
    return { record: undefined, identity: ABSENT };
  } finally {
    await file.close();
  }
}

/** Limits the number of files in a directory: the oldest are removed. */
function createThinner(directory: string, max: number) {
  /** Undefined until counted. The next count includes the files of other processes. */
  let count: number | undefined;
  return async function added(): Promise<void> {
    count = count === undefined ? (await readdir(directory)).length : count + 1;
    if (count <= max) return;
    const files: { readonly path: string; readonly writtenMs: number }[] = [];
    for (const name of await readdir(directory)) {
      const path = join(directory, name);
      const writtenMs = await stat(path).then(
        ({ mtimeMs }) => mtimeMs,
        () => 0,
      );
      files.push({ path, writtenMs });
    }
    files.sort((a, b) => b.writtenMs - a.writtenMs);
    const surplus = files.splice(Math.floor(max * ON_DISK_KEPT));
    for (const { path } of surplus) await rm(path, { force: true });
    count = files.length;
  };
}

/** The tags on disk, one file each, so that two processes on one store never overwrite each other's records. */
export function createTagFiles(layout: Layout, { tagsMax = TAGS_MAX } = {}): TagFiles {
  const memory = new LRUCache<string, KnownTag>(entriesAtMost(tagsMax));
  /** Undefined until first needed: reading all files takes a while. */
  let names: Promise<TagNames> | undefined;
  const added = createThinner(layout.tags, tagsMax);

  const nameOf = (repository: Repository, tag: Tag) => `${formatRepository(repository)}:${tag}`;
  const pathOf = (name: string) =>
    join(layout.tags, `${createHash('sha256').update(name).digest('hex')}.json`);

  /** The tag as it is on disk now: another process may have written the file since it was read. */
  async function load(name: string): Promise<KnownTag> {
    const path = pathOf(name);
    const known = memory.get(name);
    if (known?.identity === UNWRITTEN) return known;
    if (known && known.identity === (await identityAt(path))) return known;
    const read = await readTag(path, name);
    memory.set(name, read);
    return read;
  }

  async function write(name: string, record: TagRecord | undefined, isNew: boolean): Promise<void> {
    const path = pathOf(name);
    if (!record) return rm(path, { force: true });
    const { digest, mediaType, sizeBytes } = record;
    const document = { name, digest, mediaType, sizeBytes };
    await writeAtomically(layout, path, Buffer.from(JSON.stringify(document)));
    if (isNew) await added();
  }

  async function all(): Promise<readonly NamedTag[]> {
    const tags: NamedTag[] = [];
    // Sequential: thousands of open files would use up the file descriptors.
    for (const file of await readdir(layout.tags).catch(() => [])) {
      const tag = parseTagFile(await readFile(join(layout.tags, file), 'utf8').catch(() => ''));
      if (tag) tags.push(tag);
    }
    return tags;
  }

  return {
    find: async (repository, tag) => (await load(nameOf(repository, tag))).record,
    put: async (repository, tag, record) => {
      const name = nameOf(repository, tag);
      const served = await names;
      if (record) served?.add(formatRepository(repository), tag);
      else served?.remove(formatRepository(repository), tag);
      const known = await load(name);
      if (known.identity !== UNWRITTEN && isSame(known.record, record)) return false;
      try {
        await write(name, record, known.identity === ABSENT);
        memory.delete(name);
      } catch (error) {
        memory.set(name, { record, identity: UNWRITTEN });
        throw error;
      }
      return true;
    },
    all,
    tagsOf: async (repository) => {
      names ??= all().then((tags) => new TagNames(tags));
      return (await names).of(formatRepository(repository));
    },
  };
}
