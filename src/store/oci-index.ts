import { readdir, stat, utimes } from 'node:fs/promises';
import { incomingPath, replaceFile } from '../lib/atomic-file.ts';
import type { Digest } from '../oci/digest.ts';
import { digestOfRecordFile, type Layout } from './layout.ts';
import type { Records } from './metadata.ts';
import type { TagFiles } from './tags.ts';

/** The annotation by which tools find an image in an image layout: `docker.io/library/alpine:latest`. */
const REF_NAME = 'org.opencontainers.image.ref.name';
/** A burst of new manifests causes one write of the index. */
const WRITE_DELAY_MS = 500;
/**
 * Writing takes at most this share of the time: each write is of the whole index, however many manifests it
 * has.
 */
const WRITING_SHARE = 1 / 20;

/** File times are those of the kernel's last clock tick, which is up to 10 ms ago. */
const FILE_TIME_STEP_MS = 20;

/** One descriptor of the index, as JSON text. */
function entryOf(mediaType: string, digest: Digest, size: number, name: string): string {
  return JSON.stringify({ mediaType, digest, size, annotations: { [REF_NAME]: name } });
}

async function entriesOf(layout: Layout, records: Records, tags: TagFiles): Promise<readonly string[]> {
  const entries: string[] = [];
  const sizes = new Map<Digest, number>();
  for (const file of await readdir(layout.records)) {
    const digest = digestOfRecordFile(file);
    const record = digest && (await records.find(digest));
    if (!digest || !record?.mediaType || record.kind === 'blob') continue;
    const held = await stat(layout.blob(digest)).catch(() => undefined);
    if (!held) continue;
    sizes.set(digest, held.size);
    entries.push(entryOf(record.mediaType, digest, held.size, `${record.origins[0]}@${digest}`));
  }
  for (const { name, digest, mediaType } of await tags.all()) {
    const size = sizes.get(digest);
    if (size !== undefined) entries.push(entryOf(mediaType, digest, size, name));
  }
  return entries;
}

/**
 * Joins descriptors that are JSON text already: one `JSON.stringify` of a hundred thousand would block the
 * event loop.
 */
function documentOf(entries: readonly string[]): Buffer {
  const head = '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[';
  return Buffer.from(`${head}${entries.join(',')}]}`);
}

/**
 * When a file was last written or a directory last changed, in wall-clock milliseconds; 0 when it does not
 * exist.
 */
function modifiedMs(path: string): Promise<number> {
  return stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
}

/**
 * Maintains `index.json` of the image layout: every stored manifest by repository and digest, and by the tags
 * that point to it. It is made from the records on disk, so that two processes on one store write the same.
 */
export function createImageIndexFile(options: {
  readonly layout: Layout;
  readonly records: Records;
  readonly tags: TagFiles;
  readonly onError: (error: Error) => void;
}) {
  const { layout, records, tags, onError } = options;
  let timer: NodeJS.Timeout | undefined;
  let delayMs = WRITE_DELAY_MS;
  let writing: Promise<void> = Promise.resolve();

  async function write(): Promise<void> {
    const startedMs = performance.now();
    const readAt = new Date(Date.now() - FILE_TIME_STEP_MS);
    const temporary = incomingPath(layout);
    await replaceFile(layout.index, documentOf(await entriesOf(layout, records, tags)), {
      temporary,
      // The file gets the time at which the records were read, so that catchUp() notices changes since then.
      beforeMove: () => utimes(temporary, readAt, readAt),
    });
    const tookMs = performance.now() - startedMs;
    delayMs = Math.max(WRITE_DELAY_MS, tookMs / WRITING_SHARE);
  }

  const writeNow = () => {
    clearTimeout(timer);
    timer = undefined;
    writing = writing.then(write).catch(onError);
    return writing;
  };

  const touch = () => {
    timer ??= setTimeout(writeNow, delayMs).unref();
  };

  return {
    /** Content was added or removed: write the index soon. */
    touch,
    /**
     * Writes the index soon if the records or tags changed after it, as when a process was killed before its
     * write.
     */
    catchUp: async () => {
      const writtenMs = await modifiedMs(layout.index);
      const changedMs = await Promise.all([layout.records, layout.tags].map(modifiedMs));
      if (Math.max(...changedMs) > writtenMs) touch();
    },
    /** Writes outstanding changes. */
    flush: () => (timer === undefined ? writing : writeNow()),
    writeNow,
  };
}

export type ImageIndexFile = ReturnType<typeof createImageIndexFile>;
