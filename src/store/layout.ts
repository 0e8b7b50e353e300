import { constants } from 'node:fs';
import { access, readdir, readFile, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { incomingPath, makeDirectory, replaceFile, writeAtomically } from '../lib/atomic-file.ts';
import { algorithmOf, type Digest, encodedOf, parseDigest } from '../oci/digest.ts';

/**
 * The files of the store. The version names the format of everything below it. Another format gets another
 * directory, so that an older program never misreads what a newer one wrote.
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md
 */
const STORE_VERSION = 'v1';

const ALGORITHMS = ['sha256', 'sha512'] as const;
const IMAGE_LAYOUT = '{"imageLayoutVersion":"1.0.0"}';

export interface Layout {
  /** The directory of the image layout, `<data>/v1`. */
  readonly root: string;
  /**
   * Files that are being written. On the same file system as their final place, so that they can be renamed.
   */
  readonly incoming: string;
  readonly index: string;
  /** One file for each digest, with what the bytes do not contain: media type, origins, partitions. */
  readonly records: string;
  /** One file for each tag, with the digest that it points to. */
  readonly tags: string;
  readonly blobDirectories: readonly string[];
  /** One file for each large content, with checksums of its blocks. */
  readonly checksums: string;
  blob(digest: Digest): string;
  sums(digest: Digest): string;
  record(digest: Digest): string;
}

/** The paths below a data directory. Creates nothing. */
export function layoutOf(directory: string): Layout {
  const root = join(directory, STORE_VERSION);
  const records = join(root, 'records');
  const checksums = join(root, 'checksums');
  return {
    root,
    incoming: join(root, 'incoming'),
    index: join(root, 'index.json'),
    records,
    checksums,
    tags: join(root, 'tags'),
    blobDirectories: ALGORITHMS.map((algorithm) => join(root, 'blobs', algorithm)),
    blob: (digest) => join(root, 'blobs', algorithmOf(digest), encodedOf(digest)),
    sums: (digest) => join(checksums, `${algorithmOf(digest)}-${encodedOf(digest)}`),
    record: (digest) => join(records, `${algorithmOf(digest)}-${encodedOf(digest)}.json`),
  };
}

/** The digest that a file in a blob directory is named for; undefined when the name is no digest. */
export function digestOfFile(algorithm: string, name: string): Digest | undefined {
  return parseDigest(`${algorithm}:${name}`);
}

/** The digest that a record file is named for. */
export function digestOfRecordFile(name: string): Digest | undefined {
  const [algorithm = '', encoded = ''] = name.replace(/\.json$/, '').split('-');
  return digestOfFile(algorithm, encoded);
}

/** Creates the directories and the `oci-layout` file. Rejects when that fails. */
export async function prepareLayout(layout: Layout): Promise<void> {
  const directories = [
    ...layout.blobDirectories,
    layout.incoming,
    layout.records,
    layout.checksums,
    layout.tags,
  ];
  await Promise.all(directories.map((directory) => makeDirectory(directory, 0o700)));
  const marker = join(layout.root, 'oci-layout');
  const written = await readFile(marker, 'utf8').catch(() => undefined);
  if (written !== IMAGE_LAYOUT) await writeAtomically(layout, marker, Buffer.from(IMAGE_LAYOUT));
  await access(layout.incoming, constants.W_OK);
}

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

/** What the index lists. */
interface Listed {
  readonly records: {
    find(
      digest: Digest,
    ): Promise<{ kind: string; mediaType: string | undefined; origins: readonly string[] } | undefined>;
  };
  readonly tags: {
    all(): Promise<readonly { readonly name: string; readonly digest: Digest; readonly mediaType: string }[]>;
  };
}

async function entriesOf(layout: Layout, { records, tags }: Listed): Promise<readonly string[]> {
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
export function createImageIndexFile(
  options: Listed & { readonly layout: Layout; readonly onError: (error: Error) => void },
) {
  const { layout, onError } = options;
  let timer: NodeJS.Timeout | undefined;
  let delayMs = WRITE_DELAY_MS;
  let writing: Promise<void> = Promise.resolve();

  async function write(): Promise<void> {
    const startedMs = performance.now();
    const readAt = new Date(Date.now() - FILE_TIME_STEP_MS);
    const temporary = incomingPath(layout);
    await replaceFile(layout.index, documentOf(await entriesOf(layout, options)), {
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
