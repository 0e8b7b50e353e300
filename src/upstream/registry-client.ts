import { algorithmOf, type Digest, digestOf, parseDigest } from '../oci/digest.ts';
import { parseManifestDocument } from '../oci/manifest.ts';
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
  type Repository,
} from '../oci/reference.ts';
import {
  MANIFEST_MAX_BYTES,
  type Manifest,
  type ManifestInfo,
  type Registry,
  type RequestOptions,
} from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { type BlobClientOptions, createBlobClient } from './blob-client.ts';
import { type ChainRequest, createChainClient } from './chain-client.ts';
import type { Endpoint } from './endpoint.ts';
import { noticesOf, type ResourceRef } from './errors.ts';
import type { Failover } from './failover.ts';
import { announcedSize, drain, readBody } from './http/response-reader.ts';
import type { Reply } from './http/transport.ts';
import type { RangeBudget } from './range-budget.ts';
import type { Timeouts } from './settings.ts';
import { type FetchTagPage, listTags, readTagPage } from './tags.ts';

/** Lists of tags may be longer than any manifest: some repositories have a hundred thousand. */
const TAGS_MAX_BYTES = 16 * 1024 * 1024;

export interface RegistryClientOptions {
  readonly chain: Failover<Endpoint>;
  readonly blobs: 'stream' | 'redirect';
  /** This mirror's name in `Via`. */
  readonly pseudonym: string;
  readonly timeouts: Timeouts;
  readonly askLocation: BlobClientOptions['askLocation'];
  readonly budget: RangeBudget;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly log: (event: string, message: string, fields: Readonly<Record<string, string | number>>) => void;
}

/** JSON, signed or not: nothing that a browser would show, let alone run, when somebody opens a manifest's address. */
const JSON_TYPE = /^application\/[\w.+-]*j(?:son|ws)$/;

/** What the bytes themselves say, where they are an index or an image. */
function typeInBytes(bytes: Buffer): string | undefined {
  try {
    const { mediaType } = parseManifestDocument(bytes);
    return isIndexType(mediaType) || isImageManifestType(mediaType) ? mediaType : undefined;
  } catch {
    // No JSON, or two things at once: then the registry's word is all there is.
    return undefined;
  }
}

/**
 * The media type of a manifest. What is held by its digest is everybody's, so one registry's word must not change what
 * another's image is taken for: it counts only where the bytes leave it open.
 */
function manifestTypeOf(reply: Reply, bytes: Buffer): string {
  const written = typeInBytes(bytes);
  if (written !== undefined) return written;
  const contentType = reply.headers['content-type'];
  const said = essenceOf(contentType ?? '');
  const isTelling = isMediaType(said) && JSON_TYPE.test(said) && said !== 'application/json';
  return isTelling ? said : parseManifestDocument(bytes, contentType).mediaType;
}

/** What a tag leads to is known by nothing but its form. @throws {RegistryError} MANIFEST_INVALID */
function refuseOtherThanJsonObject(bytes: Buffer, reply: Reply, name: string): void {
  try {
    const document: unknown = JSON.parse(bytes.toString('utf8'));
    if (typeof document === 'object' && document !== null && !Array.isArray(document)) return;
  } catch {
    // Said below: a syntax error's position in somebody else's document helps nobody.
  }
  throw new RegistryError('MANIFEST_INVALID', `${reply.url.host} sent no JSON object for ${name}`);
}

/** Have the bytes the digest that their own head says, where it says one? */
function isAsSaid({ bytes }: Manifest, { headers }: Reply): boolean {
  const said = parseDigest(headers['docker-content-digest'] ?? '');
  return said === undefined || digestOf(bytes, algorithmOf(said)) === said;
}

/** A {@link Registry} over one source host's chain of endpoints. */
export function createRegistryClient(client: RegistryClientOptions): Registry {
  const { chain, pseudonym, log } = client;
  const { documentMs, resumeMs } = client.timeouts;
  const ask = createChainClient(chain, pseudonym);
  const blob = createBlobClient({
    ask,
    askLocation: client.askLocation,
    budget: client.budget,
    now: client.now,
    mode: client.blobs,
    resumeMs,
    onResume: (name, offset, reason) => log('blob-resumed', 'blob resumed', { blob: name, offset, reason }),
  });

  async function readManifest(reply: Reply, name: string, wanted?: Digest): Promise<Manifest> {
    const bytes = await readBody(reply, MANIFEST_MAX_BYTES, documentMs);
    const digest = digestOf(bytes, wanted && algorithmOf(wanted));
    if (wanted !== undefined && digest !== wanted) {
      const message = `${reply.url.host} sent bytes for ${name} that have the digest ${digest}`;
      throw new RegistryError('UNAVAILABLE', message);
    }
    if (wanted === undefined) refuseOtherThanJsonObject(bytes, reply, name);
    return {
      digest,
      bytes,
      mediaType: manifestTypeOf(reply, bytes),
      maxAgeMs: wanted === undefined ? 0 : Number.POSITIVE_INFINITY,
      notices: noticesOf(reply.headers),
    };
  }

  async function manifest(
    repository: Repository,
    reference: ManifestReference,
    options: RequestOptions = {},
  ): Promise<Manifest> {
    const name = formatReference(repository, reference);
    const path = `/manifests/${formatManifestReference(reference)}`;
    const asking: ChainRequest = { method: 'GET', path, headers: { accept: MANIFEST_ACCEPT } };
    const wanted = reference.kind === 'digest' ? reference.digest : undefined;
    const get = () =>
      ask(repository, { name, unknown: 'MANIFEST_UNKNOWN' }, asking, options, async (reply) => {
        const found = await readManifest(reply, name, wanted);
        return { found, isAsSaid: wanted !== undefined || isAsSaid(found, reply) };
      });
    const first = await get();
    if (first.isAsSaid) return first.found;
    // Either the bytes were spoilt on their way, or the registry does not know its own digests: then it sends them again.
    const second = await get();
    if (second.isAsSaid || second.found.digest === first.found.digest) return second.found;
    throw new RegistryError(
      'UNAVAILABLE',
      `${name} comes with other bytes each time, none of the digest it says`,
    );
  }

  /** What the head alone tells, or undefined when it leaves something out (or says what only the bytes can settle). */
  function readManifestHead(reply: Reply, reference: ManifestReference): ManifestInfo | undefined {
    drain(reply);
    const sizeBytes = announcedSize(reply.headers);
    const mediaType = essenceOf(reply.headers['content-type'] ?? '');
    const digest = parseDigest(reply.headers['docker-content-digest'] ?? '');
    const isManifest = isIndexType(mediaType) || isImageManifestType(mediaType);
    if (digest === undefined || sizeBytes === undefined || !isManifest) return undefined;
    if (reference.kind === 'digest' && reference.digest !== digest) return undefined;
    return { digest, mediaType, sizeBytes, notices: noticesOf(reply.headers) };
  }

  return {
    manifest,
    blob,
    resolve: async (repository, reference, options = {}) => {
      const name = formatReference(repository, reference);
      const path = `/manifests/${formatManifestReference(reference)}`;
      const asking: ChainRequest = { method: 'HEAD', path, headers: { accept: MANIFEST_ACCEPT } };
      const subject: ResourceRef = { name, unknown: 'MANIFEST_UNKNOWN' };
      const info = await ask(repository, subject, asking, options, (reply) =>
        readManifestHead(reply, reference),
      );
      if (info) return info;
      const { digest, mediaType, bytes, notices } = await manifest(repository, reference, options);
      return { digest, mediaType, sizeBytes: bytes.length, ...(notices ? { notices } : {}) };
    },
    statBlob: (repository, digest, options = {}) => {
      const subject: ResourceRef = {
        name: `${formatRepository(repository)}@${digest}`,
        unknown: 'BLOB_UNKNOWN',
      };
      return ask(repository, subject, { method: 'HEAD', path: `/blobs/${digest}` }, options, (reply) => {
        drain(reply);
        return { digest, sizeBytes: announcedSize(reply.headers) };
      });
    },
    tags: (repository, options = {}) => {
      const subject: ResourceRef = { name: formatRepository(repository), unknown: 'NAME_UNKNOWN' };
      const fetchPage: FetchTagPage = (query) =>
        ask(repository, subject, { method: 'GET', path: '/tags/list', query }, options, async (reply) =>
          readTagPage(await readBody(reply, TAGS_MAX_BYTES, documentMs), reply),
        );
      return listTags(fetchPage, options);
    },
    referrers: (repository, digest, options = {}) => {
      const name = `${formatRepository(repository)}@${digest}`;
      const asking: ChainRequest = {
        method: 'GET',
        path: `/referrers/${digest}`,
        query: { artifactType: options.artifactType },
        headers: { accept: MEDIA_TYPE.ociIndex },
      };
      // A registry without this API says 404, and clients then look for the referrers tag: so it is handed on.
      return ask(repository, { name, unknown: 'NAME_UNKNOWN' }, asking, options, (reply) =>
        readManifest(reply, name),
      );
    },
  };
}
