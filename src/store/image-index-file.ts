import { readdir, stat } from 'node:fs/promises';
import type { Digest } from '../oci/digest.ts';
import { writeAtomically } from './atomic-file.ts';
import { digestOfRecordFile, type Layout } from './layout.ts';
import type { ContentRecord, Records } from './record.ts';
import type { TagFiles } from './tag-files.ts';

/** `docker.io/library/alpine:latest` in an image layout's index, by which tools find an image in it. */
const REF_NAME = 'org.opencontainers.image.ref.name';
/** A burst of new manifests is written down once. */
const WRITE_DELAY_MS = 500;

interface Entry {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly annotations: Readonly<Record<string, string>>;
}

async function entriesOf(layout: Layout, records: Records, tags: TagFiles): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  const sizes = new Map<Digest, number>();
  for (const file of await readdir(layout.records)) {
    const digest = digestOfRecordFile(file);
    const record = digest && (await records.find(digest));
    if (!digest || !record?.mediaType || record.kind === 'blob') continue;
    const held = await stat(layout.blob(digest)).catch(() => undefined);
    if (!held) continue;
    sizes.set(digest, held.size);
    entries.push(entry(record as ContentRecord & { mediaType: string }, digest, held.size));
  }
  for (const repository of await tags.all()) {
    for (const [tag, { digest, mediaType }] of repository.tags) {
      const size = sizes.get(digest);
      if (size === undefined) continue;
      const annotations = { [REF_NAME]: `${repository.repository}:${tag}` };
      entries.push({ mediaType, digest, size, annotations });
    }
  }
  return entries;
}

function entry(record: { mediaType: string; repository: string }, digest: Digest, size: number): Entry {
  const annotations = { [REF_NAME]: `${record.repository}@${digest}` };
  return { mediaType: record.mediaType, digest, size, annotations };
}

/**
 * Keeps `index.json` of the image layout: every manifest that is held, under its repository and digest and under the
 * tags that point to it. Made from the records on disk, so that two daemons on one store write the same.
 */
export function createImageIndexFile(options: {
  readonly layout: Layout;
  readonly records: Records;
  readonly tags: TagFiles;
  readonly onError: (error: Error) => void;
}) {
  const { layout, records, tags, onError } = options;
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> = Promise.resolve();

  async function write(): Promise<void> {
    const manifests = await entriesOf(layout, records, tags);
    const document = {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests,
    };
    await writeAtomically(layout, layout.index, Buffer.from(JSON.stringify(document)));
  }

  const writeNow = () => {
    clearTimeout(timer);
    timer = undefined;
    writing = writing.then(write).catch(onError);
    return writing;
  };

  return {
    /** Something was added or removed: write soon. */
    touch: () => {
      timer ??= setTimeout(writeNow, WRITE_DELAY_MS).unref();
    },
    /** Writes what is outstanding. */
    flush: () => (timer === undefined ? writing : writeNow()),
    writeNow,
  };
}

export type ImageIndexFile = ReturnType<typeof createImageIndexFile>;
