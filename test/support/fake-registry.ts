import type { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { type Digest, digestOf, parseDigest } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/media-type.ts';
import { resolveRange } from '../../src/oci/range.ts';
import { formatRepository, type ManifestReference, type Repository } from '../../src/oci/reference.ts';
import type { BlobOptions, Manifest, Registry, RequestOptions } from '../../src/oci/registry.ts';
import { RegistryError } from '../../src/oci/registry-error.ts';

/** One request to the fake. */
export interface FakeCall {
  readonly method: keyof Registry;
  /** `registry.test/team/app`. */
  readonly repository: string;
  /** The tag or digest; empty for a list of tags. */
  readonly reference: string;
  readonly options: BlobOptions;
}

interface Document {
  readonly bytes: Buffer;
  readonly mediaType: string;
  /** The only repository with this content; undefined: all repositories. */
  readonly repository: string | undefined;
}

interface PutOptions {
  readonly mediaType?: string;
  readonly tag?: string;
  /** The only repository that has it. Default: all. */
  readonly repository?: Repository;
}

/** A registry in memory that records its requests and has hooks to delay or fail its responses. */
export interface FakeRegistry extends Registry {
  readonly calls: readonly FakeCall[];
  /** The number of requests with this method. Default: all requests. */
  count(method?: keyof Registry): number;
  /** Bytes of blobs written so far, over all readers. */
  blobBytes(): number;
  forgetCalls(): void;
  putBlob(bytes: Uint8Array): Digest;
  /** Adds a JSON document, or bytes as they are. Default type: an OCI image index. */
  putManifest(document: object, options?: PutOptions): Digest;
  /** Moves a tag; undefined removes it. */
  tag(tag: string, digest: Digest | undefined, repository?: Repository): void;
  /** Runs before each response: throw to fail it, await to delay it. */
  before: (call: FakeCall) => void | Promise<void>;
  /** Runs before each chunk of a blob: throw to break off there, await to stall. */
  beforeChunk: (offset: number, digest: Digest) => void | Promise<void>;
  /** Bytes per write of a blob. */
  chunkBytes: number;
  /** False: blobs have no size, as from a registry that sends no Content-Length. */
  saysSize: boolean;
  /** Replaces the bytes that are sent, to send wrong ones. */
  tamper: ((bytes: Buffer) => Buffer) | undefined;
}

/** Fails like an unreachable registry; assign to `before`. */
export function unreachable(): never {
  throw new RegistryError('UNAVAILABLE', 'registry.test does not answer');
}

async function writeChunk(sink: Writable, chunk: Buffer): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    if (sink.destroyed) return reject(new Error('the reader has left'));
    const left = () => reject(new Error('the reader has left'));
    sink.once('close', left);
    sink.write(chunk, (error) => {
      sink.off('close', left);
      if (error) reject(error);
      else resolve();
    });
  });
}

/** A registry without a network. Its content is in every repository unless added to one. */
export function createFakeRegistry(): FakeRegistry {
  const calls: FakeCall[] = [];
  const blobs = new Map<Digest, Buffer>();
  const manifests = new Map<Digest, Document>();
  const tags = new Map<string, Digest>();
  let written = 0;

  const keyOf = (tag: string, repository: string | undefined) => `${repository ?? '*'}:${tag}`;

  async function asked(
    method: keyof Registry,
    repository: Repository,
    reference: string,
    options: RequestOptions = {},
  ) {
    const call: FakeCall = { method, repository: formatRepository(repository), reference, options };
    calls.push(call);
    options.signal?.throwIfAborted();
    await fake.before(call);
  }

  function find(repository: Repository, reference: ManifestReference): Manifest {
    const name = formatRepository(repository);
    const digest =
      reference.kind === 'digest'
        ? reference.digest
        : (tags.get(keyOf(reference.tag, name)) ?? tags.get(keyOf(reference.tag, undefined)));
    const document = digest && manifests.get(digest);
    if (!digest || !document || (document.repository ?? name) !== name) {
      const what = reference.kind === 'tag' ? reference.tag : reference.digest;
      throw new RegistryError('MANIFEST_UNKNOWN', `${name} has no manifest ${what}`);
    }
    const maxAgeMs = reference.kind === 'digest' ? Number.POSITIVE_INFINITY : 0;
    return { digest, mediaType: document.mediaType, bytes: document.bytes, maxAgeMs };
  }

  function findBlob(repository: Repository, digest: Digest): Buffer {
    const bytes = blobs.get(digest);
    if (bytes) return bytes;
    throw new RegistryError('BLOB_UNKNOWN', `${formatRepository(repository)} has no blob ${digest}`);
  }

  const fake: FakeRegistry = {
    calls,
    chunkBytes: 64 * 1024,
    saysSize: true,
    tamper: undefined,
    before: () => {},
    beforeChunk: () => {},
    count: (method) => calls.filter((call) => method === undefined || call.method === method).length,
    blobBytes: () => written,
    forgetCalls: () => {
      calls.length = 0;
      written = 0;
    },
    putBlob: (bytes) => {
      const digest = digestOf(bytes);
      blobs.set(digest, Buffer.from(bytes));
      return digest;
    },
    putManifest: (document, { mediaType = MEDIA_TYPE.ociIndex, tag, repository } = {}) => {
      const bytes = Buffer.isBuffer(document) ? document : Buffer.from(JSON.stringify(document));
      const digest = digestOf(bytes);
      const only = repository && formatRepository(repository);
      manifests.set(digest, { bytes, mediaType, repository: only });
      if (tag !== undefined) tags.set(keyOf(tag, only), digest);
      return digest;
    },
    tag: (tag, digest, repository) => {
      const key = keyOf(tag, repository && formatRepository(repository));
      if (digest) tags.set(key, digest);
      else tags.delete(key);
    },
    resolve: async (repository, reference, options) => {
      const what = reference.kind === 'tag' ? reference.tag : reference.digest;
      await asked('resolve', repository, what, options);
      const { digest, mediaType, bytes } = find(repository, reference);
      return { digest, mediaType, sizeBytes: bytes.length };
    },
    manifest: async (repository, reference, options) => {
      const what = reference.kind === 'tag' ? reference.tag : reference.digest;
      await asked('manifest', repository, what, options);
      return find(repository, reference);
    },
    statBlob: async (repository, digest, options) => {
      await asked('statBlob', repository, digest, options);
      const { length } = findBlob(repository, digest);
      return { digest, sizeBytes: fake.saysSize ? length : undefined };
    },
    blob: async (repository, digest, options = {}) => {
      await asked('blob', repository, digest, options);
      const right = findBlob(repository, digest);
      const bytes = fake.tamper?.(right) ?? right;
      const range = options.range && resolveRange(options.range, right.length);
      if (range === 'unsatisfiable') {
        throw new RegistryError('RANGE_INVALID', `${digest} has ${right.length} bytes`);
      }
      return {
        kind: 'content',
        digest,
        sizeBytes: fake.saysSize ? right.length : undefined,
        range,
        cancel: () => {},
        writeTo: async (sink) => {
          const end = range?.end ?? bytes.length;
          const isWrong = options.verify !== false && range === undefined && digestOf(bytes) !== digest;
          for (let offset = range?.start ?? 0; offset < end; ) {
            await fake.beforeChunk(offset, digest);
            // A copy that is overwritten after the write: this detects a reader that keeps a chunk too long.
            const chunk = Buffer.from(bytes.subarray(offset, Math.min(end, offset + fake.chunkBytes)));
            const { length } = chunk;
            // A source must withhold the last bytes: a wrong blob must never look complete.
            if (isWrong && offset + length >= Math.min(end, right.length)) break;
            await writeChunk(sink, chunk);
            chunk.fill(0xdb);
            offset += length;
            written += length;
          }
          if (isWrong) throw new RegistryError('UNAVAILABLE', `the bytes are not those of ${digest}`);
          if (sink.destroyed) await finished(sink);
        },
      };
    },
    tags: async (repository, options = {}) => {
      await asked('tags', repository, '', options);
      const name = formatRepository(repository);
      const all = [...tags.keys()]
        .filter((key) => key.startsWith('*:') || key.startsWith(`${name}:`))
        .map((key) => key.slice(key.lastIndexOf(':') + 1))
        .sort();
      const { after = '', limit = all.length } = options;
      const rest = all.filter((tag) => tag > after);
      const page = rest.slice(0, limit);
      return { tags: page, next: page.length < rest.length ? page.at(-1) : undefined };
    },
    referrers: async (repository, digest, options) => {
      await asked('referrers', repository, digest, options);
      const name = formatRepository(repository);
      const isReferrer = ({ bytes, repository: home = name }: Document) => {
        if (home !== name) return false;
        const { subject } = JSON.parse(bytes.toString()) as { subject?: { digest?: string } };
        return parseDigest(subject?.digest ?? '') === digest;
      };
      const entries = [...manifests]
        .filter(([, document]) => isReferrer(document))
        .map(([own, { mediaType, bytes }]) => {
          const { artifactType, config, annotations } = JSON.parse(bytes.toString());
          const type = artifactType ?? config?.mediaType;
          return { mediaType, digest: own, size: bytes.length, artifactType: type, annotations };
        });
      const document = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: entries };
      const bytes = Buffer.from(JSON.stringify(document));
      return { digest: digestOf(bytes), mediaType: MEDIA_TYPE.ociIndex, bytes, maxAgeMs: 0 };
    },
  };
  return fake;
}
