import type { Turn } from '../lib/background-thread.ts';
import { algorithmOf, type Digest, digestOf, parseDigest } from '../oci/digest.ts';
import {
  essenceOf,
  isImageManifestType,
  isIndexType,
  MANIFEST_ACCEPT,
  MEDIA_TYPE,
} from '../oci/media-type.ts';
import {
  formatManifestReference,
  formatReference,
  formatRepository,
  type ManifestReference,
  type Repository,
} from '../oci/reference.ts';
import {
  type BlobInfo,
  infoOf,
  MANIFEST_MAX_BYTES,
  type Manifest,
  type ManifestInfo,
  type ReferrersOptions,
  type Registry,
  type RequestOptions,
  shareOf,
  type TagOptions,
  type TagPage,
  turnOf,
} from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { type DocumentReading, readDocumentAside, valueIn } from './document.ts';
import { isWebPage, isWorthGet, type ResourceRef, webPageError } from './errors.ts';
import type { ChainClient, ChainMember, ChainRequest } from './failover.ts';
import { announcedSize, drain, noticesOf, readBody, receive, WHOLE } from './http/reply.ts';
import type { Reply } from './http/transport.ts';
import type { Timeouts } from './settings.ts';
import { type FetchTagPage, listTags } from './tags.ts';

/** Lists of tags may be larger than any manifest: some repositories have a hundred thousand tags. */
const TAGS_MAX_BYTES = 16 * 1024 * 1024;

export interface RegistryClientOptions {
  readonly chain: ChainClient;
  readonly timeouts: Timeouts;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/** A manifest, and the reply that contained it. */
interface ReadManifest {
  readonly found: Manifest;
  readonly reading: DocumentReading;
  readonly reply: Reply;
}

/**
 * @throws {RegistryError} UNAVAILABLE when it is no manifest; MANIFEST_INVALID when it exceeds a limit of JSON
 * documents.
 */
function assertManifest({ found, reading, reply }: ReadManifest, name: string): Manifest {
  if (valueIn(reading.isManifest)) return found;
  if (isWebPage(reply)) throw webPageError(reply, name);
  throw new RegistryError('UNAVAILABLE', `${reply.url.host} sent something else than a manifest for ${name}`);
}

function manifestRequest(reference: ManifestReference): Omit<ChainRequest, 'method'> {
  const path = `/manifests/${formatManifestReference(reference)}`;
  return { path, headers: { accept: MANIFEST_ACCEPT }, accepts: WHOLE };
}

/** What the head of a reply tells about a manifest. Undefined when it is incomplete or not trustworthy. */
function readManifestHead(reply: Reply, reference: ManifestReference): ManifestInfo | undefined {
  const sizeBytes = announcedSize(reply.headers);
  const mediaType = essenceOf(reply.headers['content-type'] ?? '');
  const digest = parseDigest(reply.headers['docker-content-digest'] ?? '');
  const isManifest = isIndexType(mediaType) || isImageManifestType(mediaType);
  // No manifest is empty: a length of 0 only means that HEAD has no body.
  if (digest === undefined || sizeBytes === undefined || sizeBytes === 0 || !isManifest) return undefined;
  if (reference.kind === 'digest' && reference.digest !== digest) return undefined;
  return { digest, mediaType, sizeBytes, notices: noticesOf(reply.headers) };
}

/** The reply to a HEAD. Undefined when GET must be used instead. */
async function headOf(
  { send }: ChainMember,
  request: Omit<ChainRequest, 'method'>,
): Promise<Reply | undefined> {
  try {
    const reply = await send({ ...request, method: 'HEAD' });
    drain(reply);
    return reply;
  } catch (error) {
    if (!isWorthGet(error)) throw error;
    return undefined;
  }
}

/** The size of a blob, from the reply to a request for its first byte. */
function sizeInPart({ status, headers }: Reply): number | undefined {
  if (status === 200) return announcedSize(headers);
  const total = /\/(\d{1,15})$/.exec(headers['content-range'] ?? '')?.[1];
  return total === undefined ? undefined : Number(total);
}

/** Drops a size of 0, unless this is the digest of the empty blob. */
function plausibleSize(sizeBytes: number | undefined, digest: Digest): number | undefined {
  const isEmpty = digestOf(Buffer.alloc(0), algorithmOf(digest)) === digest;
  return sizeBytes === 0 && !isEmpty ? undefined : sizeBytes;
}

/** Answers for one source host by its endpoints, except with the bytes of blobs. */
export class RegistryClient implements Omit<Registry, 'blob'> {
  readonly #options: RegistryClientOptions;
  readonly #chain: ChainClient;

  constructor(options: RegistryClientOptions) {
    this.#options = options;
    this.#chain = options.chain;
  }

  manifest(
    repository: Repository,
    reference: ManifestReference,
    options: RequestOptions = {},
  ): Promise<Manifest> {
    const name = formatReference(repository, reference);
    const subject: ResourceRef = { name, unknown: 'MANIFEST_UNKNOWN' };
    return this.#chain.askEach(repository, subject, options, (member) =>
      this.#getManifest(member, name, reference, turnOf(repository, options)),
    );
  }

  resolve(
    repository: Repository,
    reference: ManifestReference,
    options: RequestOptions = {},
  ): Promise<ManifestInfo> {
    const name = formatReference(repository, reference);
    const subject: ResourceRef = { name, unknown: 'MANIFEST_UNKNOWN' };
    return this.#chain.askEach(repository, subject, options, async (member) => {
      const head = await headOf(member, manifestRequest(reference));
      const info = head && readManifestHead(head, reference);
      if (info) return info;
      const turn = turnOf(repository, options);
      return infoOf(await this.#getManifest(member, name, reference, turn));
    });
  }

  statBlob(repository: Repository, digest: Digest, options: RequestOptions = {}): Promise<BlobInfo> {
    const name = `${formatRepository(repository)}@${digest}`;
    const subject: ResourceRef = { name, unknown: 'BLOB_UNKNOWN' };
    return this.#chain.askEach(repository, subject, options, async (member) => {
      const path = `/blobs/${digest}`;
      const head = await headOf(member, { path });
      if (head && !isWebPage(head)) {
        return { digest, sizeBytes: plausibleSize(announcedSize(head.headers), digest) };
      }
      const first = { method: 'GET', path, headers: { range: 'bytes=0-0' } } as const;
      const part = await member.send({ ...first, accepts: [200, 206, 416], isForBlob: true });
      part.body.cancel();
      if (part.status === 200 && isWebPage(part)) throw webPageError(part, name);
      return { digest, sizeBytes: plausibleSize(sizeInPart(part), digest) };
    });
  }

  tags(repository: Repository, options: TagOptions = {}): Promise<TagPage> {
    const { timeouts, now } = this.#options;
    const subject: ResourceRef = { name: formatRepository(repository), unknown: 'NAME_UNKNOWN' };
    const share = shareOf(repository, options);
    const fetchPage: FetchTagPage = (query) => {
      const request: ChainRequest = { method: 'GET', path: '/tags/list', query };
      return this.#chain.ask(repository, subject, request, options, async (reply) => ({
        body: await readBody(reply, TAGS_MAX_BYTES, timeouts.documentMs, share),
        reply,
      }));
    };
    return listTags(fetchPage, { ...options, share }, now);
  }

  referrers(repository: Repository, digest: Digest, options: ReferrersOptions = {}): Promise<Manifest> {
    const name = `${formatRepository(repository)}@${digest}`;
    const { artifactType } = options;
    const request: ChainRequest = {
      method: 'GET',
      path: `/referrers/${digest}`,
      query: artifactType === undefined ? '' : new URLSearchParams({ artifactType }).toString(),
      headers: { accept: MEDIA_TYPE.ociIndex },
    };
    // A registry without the referrers API answers 404, and clients then look for the referrers tag, so they
    // get that 404. With NAME_UNKNOWN they would not look, because the repository does not exist; so only the
    // registry may say that.
    const subject: ResourceRef = { name, unknown: 'MANIFEST_UNKNOWN', readsCode: true };
    return this.#chain.ask(repository, subject, request, options, async (reply) =>
      assertManifest(await this.#readManifest(reply, name, turnOf(repository, options)), name),
    );
  }

  async #getManifest(
    { send }: ChainMember,
    name: string,
    reference: ManifestReference,
    turn: Turn,
  ): Promise<Manifest> {
    const wanted = reference.kind === 'digest' ? reference.digest : undefined;
    // An unrequested 206 mostly contains everything. If not, the digest or the JSON will be wrong.
    const request = { ...manifestRequest(reference), method: 'GET', accepts: [...WHOLE, 206] } as const;
    const first = await this.#readManifest(await send(request), name, turn, wanted);
    if (wanted !== undefined) return first.found;
    if (first.reading.isAsSaid) return assertManifest(first, name);
    // Either the bytes were damaged on their way, or the registry names a wrong digest. A second request shows
    // which.
    const second = await this.#readManifest(await send(request), name, turn);
    if (second.reading.isAsSaid || second.found.digest === first.found.digest) {
      return assertManifest(second, name);
    }
    throw new RegistryError(
      'UNAVAILABLE',
      `${name} arrives with other bytes each time, none of which have the stated digest`,
    );
  }

  async #readManifest(reply: Reply, name: string, turn: Turn, wanted?: Digest): Promise<ReadManifest> {
    const { headers } = reply;
    const raw = {
      contentType: headers['content-type'],
      algorithm: wanted === undefined ? 'sha256' : algorithmOf(wanted),
      said: parseDigest(headers['docker-content-digest'] ?? ''),
    } as const;
    const { documentMs: timeoutMs } = this.#options.timeouts;
    const limits = { maxBytes: MANIFEST_MAX_BYTES, timeoutMs, share: turn.share };
    const { bytes, reading } = await receive(reply, limits, (arrived) =>
      readDocumentAside({ ...raw, bytes: arrived }, turn),
    );
    const { digest } = reading;
    if (wanted !== undefined && digest !== wanted) {
      if (isWebPage(reply)) throw webPageError(reply, name);
      const message = `${reply.url.host} sent bytes for ${name} that have the digest ${digest}`;
      throw new RegistryError('UNAVAILABLE', message);
    }
    if (!reading.isReadable && isWebPage(reply)) throw webPageError(reply, name);
    const found = {
      digest,
      mediaType: valueIn(reading.mediaType),
      bytes,
      maxAgeMs: wanted === undefined ? 0 : Number.POSITIVE_INFINITY,
      notices: noticesOf(headers),
    };
    return { found, reading, reply };
  }
}
