import { algorithmOf, type Digest, digestOf, parseDigest } from '../oci/digest.ts';
import { type ManifestDocument, parseManifestDocument, parseManifestObject } from '../oci/manifest.ts';
import {
  essenceOf,
  isImageManifestType,
  isIndexType,
  isMediaType,
  MANIFEST_ACCEPT,
  MEDIA_TYPE,
} from '../oci/media-type.ts';
import {
  formatManifestReference,
  formatReference,
  formatRepository,
  type ManifestReference,
} from '../oci/reference.ts';
import { MANIFEST_MAX_BYTES, type Manifest, type ManifestInfo, type Registry } from '../oci/registry.ts';
import { DocumentBoundsError, RegistryError } from '../oci/registry-error.ts';
import { type BlobClientOptions, createBlobClient, WHOLE } from './blob-client.ts';
import type { Endpoint } from './endpoint.ts';
import { isWebPage, isWorthGet, noticesOf, type ResourceRef, webPageError } from './errors.ts';
import { type ChainMember, type ChainRequest, createChainClient, type Failover } from './failover.ts';
import { announcedSize, drain, readBody } from './http/reply.ts';
import type { Reply } from './http/transport.ts';
import type { RangeBudget } from './range-budget.ts';
import type { Timeouts } from './settings.ts';
import { type FetchTagPage, listTags } from './tags.ts';

/** Lists of tags may be longer than any manifest: some repositories have a hundred thousand. */
const TAGS_MAX_BYTES = 16 * 1024 * 1024;

export interface RegistryClientOptions {
  readonly chain: Failover<Endpoint>;
  readonly blobs: 'stream' | 'redirect';
  readonly mayFollow: BlobClientOptions['mayFollow'];
  /** This mirror's name in `Via`. */
  readonly pseudonym: string;
  readonly timeouts: Timeouts;
  readonly askLocation: BlobClientOptions['askLocation'];
  readonly budget: RangeBudget;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly log: (event: string, message: string, fields: Readonly<Record<string, string | number>>) => void;
}

/** A manifest with what it was read from. */
interface ReadManifest {
  readonly found: Manifest;
  readonly document: ManifestDocument | undefined;
  readonly reply: Reply;
}

const ARTIFACT_MANIFEST = 'application/vnd.oci.artifact.manifest.v1+json';

/** JSON, signed or not: nothing that a browser would show, let alone run, when somebody opens a manifest's address. */
const JSON_TYPE = /^application\/[\w.+-]*j(?:son|ws)$/;

/** The document that the bytes are; undefined when they are no JSON, or two things at once. */
function documentOf(bytes: Buffer): ManifestDocument | undefined {
  try {
    return parseManifestDocument(bytes);
  } catch {
    return undefined;
  }
}

/**
 * The media type of a manifest. What is stored by its digest is everybody's, so one registry's word must not change what
 * another's image is taken for: it counts only where the bytes leave it open.
 */
function manifestTypeOf(reply: Reply, bytes: Buffer, document: ManifestDocument | undefined): string {
  const written = document?.mediaType ?? '';
  if (isIndexType(written) || isImageManifestType(written)) return written;
  const contentType = reply.headers['content-type'];
  const said = essenceOf(contentType ?? '');
  const isTelling = isMediaType(said) && JSON_TYPE.test(said) && said !== 'application/json';
  return isTelling ? said : parseManifestDocument(bytes, contentType).mediaType;
}

/** The `schemaVersion` that every manifest has. @throws {DocumentBoundsError} */
function schemaVersionOf(bytes: Buffer): unknown {
  try {
    return parseManifestObject(bytes)['schemaVersion'];
  } catch (error) {
    if (error instanceof DocumentBoundsError) throw error;
    return undefined;
  }
}

/**
 * What a tag leads to is known by nothing but its form: an error document, a token or a page is no manifest.
 * @throws {RegistryError} UNAVAILABLE; MANIFEST_INVALID for what passes the bounds of document-shape.ts
 */
function assertManifest({ found, document, reply }: ReadManifest, name: string): Manifest {
  const version =
    document === undefined || document.kind === 'opaque'
      ? schemaVersionOf(found.bytes)
      : document.raw['schemaVersion'];
  // The artifact manifest of OCI 1.1's candidates has no `schemaVersion`.
  if (version === 1 || version === 2 || document?.mediaType === ARTIFACT_MANIFEST) return found;
  if (isWebPage(reply)) throw webPageError(reply, name);
  throw new RegistryError('UNAVAILABLE', `${reply.url.host} sent something else than a manifest for ${name}`);
}

function manifestRequest(reference: ManifestReference): Omit<ChainRequest, 'method'> {
  const path = `/manifests/${formatManifestReference(reference)}`;
  return { path, headers: { accept: MANIFEST_ACCEPT }, accepts: WHOLE };
}

/** Have the bytes the digest that their own head says, where it says one? */
function isAsSaid({ found: { bytes, digest }, reply: { headers } }: ReadManifest): boolean {
  const said = parseDigest(headers['docker-content-digest'] ?? '');
  return said === undefined || said === digest || digestOf(bytes, algorithmOf(said)) === said;
}

/** What the head alone tells, or undefined when it leaves something out (or says what only the bytes can settle). */
function readManifestHead(reply: Reply, reference: ManifestReference): ManifestInfo | undefined {
  const sizeBytes = announcedSize(reply.headers);
  const mediaType = essenceOf(reply.headers['content-type'] ?? '');
  const digest = parseDigest(reply.headers['docker-content-digest'] ?? '');
  const isManifest = isIndexType(mediaType) || isImageManifestType(mediaType);
  // No manifest is empty: who says so means that a HEAD has no body.
  if (digest === undefined || sizeBytes === undefined || sizeBytes === 0 || !isManifest) return undefined;
  if (reference.kind === 'digest' && reference.digest !== digest) return undefined;
  return { digest, mediaType, sizeBytes, notices: noticesOf(reply.headers) };
}

/** The answer to a HEAD; undefined when GET should be asked instead. */
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

/** The whole blob's size as the answer to a request for its first byte says it. */
function sizeInPart({ status, headers }: Reply): number | undefined {
  if (status === 200) return announcedSize(headers);
  const total = /\/(\d{1,15})$/.exec(headers['content-range'] ?? '')?.[1];
  return total === undefined ? undefined : Number(total);
}

/** A size that can be true: only one blob is empty. */
function plausibleSize(sizeBytes: number | undefined, digest: Digest): number | undefined {
  const isEmpty = digestOf(Buffer.alloc(0), algorithmOf(digest)) === digest;
  return sizeBytes === 0 && !isEmpty ? undefined : sizeBytes;
}

/** A {@link Registry} over one source host's chain of endpoints. */
export function createRegistryClient(client: RegistryClientOptions): Registry {
  const { pseudonym, log } = client;
  const { documentMs, resumeMs } = client.timeouts;
  const chain = createChainClient(client.chain, pseudonym);
  const blob = createBlobClient({
    ask: chain.ask,
    askLocation: client.askLocation,
    budget: client.budget,
    now: client.now,
    mode: client.blobs,
    mayFollow: client.mayFollow,
    resumeMs,
    onResume: (name, offset, reason) => log('blob-resumed', 'blob resumed', { blob: name, offset, reason }),
  });

  async function readManifest(reply: Reply, name: string, wanted?: Digest): Promise<ReadManifest> {
    const bytes = await readBody(reply, MANIFEST_MAX_BYTES, documentMs);
    const digest = digestOf(bytes, wanted && algorithmOf(wanted));
    if (wanted !== undefined && digest !== wanted) {
      if (isWebPage(reply)) throw webPageError(reply, name);
      const message = `${reply.url.host} sent bytes for ${name} that have the digest ${digest}`;
      throw new RegistryError('UNAVAILABLE', message);
    }
    const document = documentOf(bytes);
    if (document === undefined && isWebPage(reply)) throw webPageError(reply, name);
    const found = {
      digest,
      mediaType: manifestTypeOf(reply, bytes, document),
      bytes,
      maxAgeMs: wanted === undefined ? 0 : Number.POSITIVE_INFINITY,
      notices: noticesOf(reply.headers),
    };
    return { found, document, reply };
  }

  async function getManifest(
    { send }: ChainMember,
    name: string,
    reference: ManifestReference,
  ): Promise<Manifest> {
    const wanted = reference.kind === 'digest' ? reference.digest : undefined;
    const get = async () =>
      // A part that nobody asked for is mostly all of it; of less neither the digest nor the JSON would be right.
      readManifest(
        await send({ ...manifestRequest(reference), method: 'GET', accepts: [...WHOLE, 206] }),
        name,
        wanted,
      );
    const first = await get();
    if (wanted !== undefined) return first.found;
    if (isAsSaid(first)) return assertManifest(first, name);
    // Either the bytes were spoilt on their way, or the registry does not know its own digests: then it sends them again.
    const second = await get();
    if (isAsSaid(second) || second.found.digest === first.found.digest) return assertManifest(second, name);
    throw new RegistryError(
      'UNAVAILABLE',
      `${name} comes with other bytes each time, none of the digest it says`,
    );
  }

  return {
    blob,
    manifest: (repository, reference, options = {}) => {
      const name = formatReference(repository, reference);
      const subject: ResourceRef = { name, unknown: 'MANIFEST_UNKNOWN' };
      return chain.askEach(repository, subject, options, (member) => getManifest(member, name, reference));
    },
    resolve: (repository, reference, options = {}) => {
      const name = formatReference(repository, reference);
      const subject: ResourceRef = { name, unknown: 'MANIFEST_UNKNOWN' };
      return chain.askEach(repository, subject, options, async (member) => {
        const head = await headOf(member, manifestRequest(reference));
        const info = head && readManifestHead(head, reference);
        if (info) return info;
        const { digest, mediaType, bytes, notices } = await getManifest(member, name, reference);
        return { digest, mediaType, sizeBytes: bytes.length, ...(notices ? { notices } : {}) };
      });
    },
    statBlob: (repository, digest, options = {}) => {
      const name = `${formatRepository(repository)}@${digest}`;
      const subject: ResourceRef = { name, unknown: 'BLOB_UNKNOWN' };
      return chain.askEach(repository, subject, options, async (member) => {
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
    },
    tags: (repository, options = {}) => {
      const subject: ResourceRef = { name: formatRepository(repository), unknown: 'NAME_UNKNOWN' };
      const fetchPage: FetchTagPage = (query) =>
        chain.ask(
          repository,
          subject,
          { method: 'GET', path: '/tags/list', query },
          options,
          async (reply) => ({
            body: await readBody(reply, TAGS_MAX_BYTES, documentMs),
            reply,
          }),
        );
      return listTags(fetchPage, options, client.now);
    },
    referrers: (repository, digest, options = {}) => {
      const name = `${formatRepository(repository)}@${digest}`;
      const { artifactType } = options;
      const request: ChainRequest = {
        method: 'GET',
        path: `/referrers/${digest}`,
        query: artifactType === undefined ? '' : new URLSearchParams({ artifactType }).toString(),
        headers: { accept: MEDIA_TYPE.ociIndex },
      };
      // A registry without this API says 404, and clients then look for the referrers tag: so it is handed on. They take
      // NAME_UNKNOWN for "there is no such repository" and do not look: only the registry may say that.
      const subject: ResourceRef = { name, unknown: 'MANIFEST_UNKNOWN', readsCode: true };
      return chain.ask(repository, subject, request, options, async (reply) =>
        assertManifest(await readManifest(reply, name), name),
      );
    },
  };
}
