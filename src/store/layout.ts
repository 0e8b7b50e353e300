import { constants } from 'node:fs';
import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory, writeAtomically } from '../lib/atomic-file.ts';
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
  for (const directory of directories) await makeDirectory(directory, 0o700);
  const marker = join(layout.root, 'oci-layout');
  const written = await readFile(marker, 'utf8').catch(() => undefined);
  if (written !== IMAGE_LAYOUT) await writeAtomically(layout, marker, Buffer.from(IMAGE_LAYOUT));
  await access(layout.incoming, constants.W_OK);
}
