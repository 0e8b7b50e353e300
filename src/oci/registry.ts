import type { IncomingHttpHeaders } from 'node:http';
import type { Writable } from 'node:stream';
import type { Turn } from '../lib/background-thread.ts';
import type { Share } from '../lib/fair-budget.ts';
import type { LentBytes } from '../lib/writable.ts';
import type { Digest } from './digest.ts';
import type { ByteRange, RangeRequest } from './range.ts';
import type { ManifestReference, Repository, SourceHost, Tag } from './reference.ts';
import type { RegistryError } from './registry-error.ts';

/** A client's own `Authorization` header. Secret; used only for the registry that the client sent it for. */
export class ClientCredential {
  readonly #host: SourceHost;
  readonly #authorization: string;

  constructor(host: SourceHost, authorization: string) {
    this.#host = host;
    this.#authorization = authorization;
  }

  /** The header for `host`; undefined when it was meant for another registry. */
  authorizationFor(host: SourceHost): string | undefined {
    return host === this.#host ? this.#authorization : undefined;
  }
}

/**
 * The client that an answer is for, when not every client gets the same answers. Requests with the same `partition`
 * may share content.
 */
export interface Access {
  readonly partition: string;
  readonly credential?: ClientCredential;
  /**
   * A file of logins that are used upstream in place of the mirror's. What they fetch is visible to this access
   * only.
   */
  readonly logins?: string;
}

export interface RequestOptions {
  readonly access?: Access | undefined;
  /**
   * True when the client accepts an image index: its Accept header names an index type, or is absent. Default:
   * true.
   */
  readonly acceptsIndex?: boolean | undefined;
  /** Ask upstream where a tag points, however recently it was asked. */
  readonly revalidate?: boolean | undefined;
  /**
   * The client may push, and asks what exists. Its registry must answer for this repository, whatever the store has
   * from others. For `resolve` and `statBlob`.
   */
  readonly beforePush?: boolean | undefined;
  /** True when a program checks what a runtime would get. The answer is no pull, so that it counts as no demand. */
  readonly isCheck?: boolean | undefined;
  /** The `Via` header of the request, so that two mirrors in front of each other detect the loop (see lib/http.ts). */
  readonly via?: string | undefined;
  /** Who memory and time are charged to: a login or an address. */
  readonly client?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The client and the source that the memory and time of a large document are charged to. */
export function shareOf({ host }: Repository, { client = '' }: RequestOptions): Share {
  return { client, source: host };
}

/** Whose share of the thread a document takes, and the signal that ends the wait. */
export function turnOf(repository: Repository, options: RequestOptions): Turn {
  return { share: shareOf(repository, options), signal: options.signal };
}

/** Response headers to pass on, names in lower case: `warning`, `ratelimit-limit`, `ratelimit-remaining`. */
export type Notices = Readonly<Record<string, string>>;

/** What a HEAD of a manifest answers. */
export interface ManifestInfo {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
  readonly notices?: Notices;
}

/** A manifest: its exact bytes and their digest. It is in memory, at most {@link MANIFEST_MAX_BYTES}. */
export interface Manifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
  /** How long it may answer the same request without asking upstream, in milliseconds; Infinity by digest. */
  readonly maxAgeMs: number;
  /**
   * How long it has been stored unconfirmed, in milliseconds. Absent when its registry has just sent or confirmed
   * it.
   */
  readonly ageMs?: number;
  readonly notices?: Notices;
  /** Set when this mirror assembled it, so that no registry has its digest. */
  readonly isAssembled?: true;
}

/** What HEAD answers where GET answers `manifest`. */
export function infoOf({ digest, mediaType, bytes, notices }: Manifest): ManifestInfo {
  return { digest, mediaType, sizeBytes: bytes.length, ...(notices && { notices }) };
}

/** The size of a manifest that registries must accept by the specification, in bytes. */
export const MANIFEST_MAX_BYTES = 4 * 1024 * 1024;

/** What a HEAD of a blob answers. A registry may omit the size. */
export interface BlobInfo {
  readonly digest: Digest;
  readonly sizeBytes: number | undefined;
  /** As for a {@link Manifest}. */
  readonly ageMs?: number | undefined;
}

/**
 * An open blob. Call `writeTo` or `cancel`, once.
 *
 * It writes to a sink instead of being a Readable, because each source has its own fastest way: positional reads
 * into recycled buffers, an upstream socket's buffers, a growing file. So no caller has to know who owns a chunk.
 */
export interface BlobContent extends BlobInfo {
  readonly kind: 'content';
  /** The range that will be written, when a range was requested; undefined: everything. */
  readonly range: ByteRange | undefined;
  /**
   * Writes the bytes with backpressure, and resolves when the sink has accepted the last one. It does not end the
   * sink. Rejects when the source fails, when the bytes do not have the digest, or when the sink is destroyed; the
   * caller must then destroy the sink, not end it. The last bytes of a wrong body are withheld, so that no client
   * takes it for complete. The memory of a chunk belongs to the source again once its write has called back: a sink
   * that needs the bytes for longer must copy them.
   */
  writeTo(sink: Writable): Promise<void>;
  /** Abandons the source unread. */
  cancel(): void;
  /**
   * For a caller that verifies the digest itself: reports wrong bytes, so that their sender is tried last for a
   * while.
   */
  distrust?(): void;
}

/** The client must fetch the blob from `location`: answer 307. */
export interface BlobRedirect {
  readonly kind: 'redirect';
  readonly location: string;
}

export type Blob = BlobContent | BlobRedirect;

/** A blob, or the requested range of it, that is in memory because it is small. */
export interface SmallBlob extends BlobInfo {
  readonly range: ByteRange | undefined;
  readonly lent: LentBytes;
}

export interface BlobOptions extends RequestOptions {
  readonly range?: RangeRequest | undefined;
  /** False when the caller verifies the digest itself, off the event loop. Default: true. */
  readonly verify?: boolean | undefined;
  /**
   * True when this program reads the bytes itself: redirects are followed whatever the settings say. Default:
   * false.
   */
  readonly follow?: boolean | undefined;
}

/** A page of tags in lexical order. `next` is the parameter `last` of the next page, if there is one. */
export interface TagPage {
  readonly tags: readonly string[];
  readonly next?: string | undefined;
}

export interface TagOptions extends RequestOptions {
  /** The maximum number of tags (the parameter `n`). */
  readonly limit?: number | undefined;
  /** Only tags after this one (the parameter `last`). */
  readonly after?: string | undefined;
  /** Only the first or the last tags of a longer list, as many as this. Not sent to the registry. */
  readonly first?: number | undefined;
  readonly last?: number | undefined;
}

export interface ReferrersOptions extends RequestOptions {
  readonly artifactType?: string | undefined;
}

/**
 * The interface that everything implements which answers for content: the upstream client, the cache, virtual
 * images, tailoring and the tests' doubles. A mirror is a stack of them. Every method rejects with a RegistryError.
 * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#endpoints
 */
export interface Registry {
  /** Digest, media type and size without the bytes (HEAD): the cheap request that revalidates a tag. */
  resolve(
    repository: Repository,
    reference: ManifestReference,
    options?: RequestOptions,
  ): Promise<ManifestInfo>;
  /** A manifest. Its bytes are verified when the reference is a digest. */
  manifest(repository: Repository, reference: ManifestReference, options?: RequestOptions): Promise<Manifest>;
  statBlob(repository: Repository, digest: Digest, options?: RequestOptions): Promise<BlobInfo>;
  blob(repository: Repository, digest: Digest, options?: BlobOptions): Promise<Blob>;
  /**
   * The fast path to a small blob that is stored, open, and visible to this access. Undefined, at once or later:
   * use `blob`.
   */
  smallBlob?(
    repository: Repository,
    digest: Digest,
    options: Pick<BlobOptions, 'access' | 'range'>,
  ): Promise<SmallBlob | undefined> | undefined;
  tags(repository: Repository, options?: TagOptions): Promise<TagPage>;
  /** The image index of the manifests that refer to `digest`. */
  referrers(repository: Repository, digest: Digest, options?: ReferrersOptions): Promise<Manifest>;
}

/** True when the access uses its own login, which its registry can revoke at any time. */
export function hasOwnLogin(access: Access | undefined): boolean {
  return access?.credential !== undefined || access?.logins !== undefined;
}

/** What the admission controller knows about a request. */
export interface RequestContext {
  readonly headers: IncomingHttpHeaders;
  /** The client's address, for limits on failed logins. */
  readonly remoteAddress: string;
  /** The same object for all requests of a connection. */
  readonly connection?: object;
  /** The requested repository; undefined for the API root. */
  readonly repository?: Repository | undefined;
  /** `push` for a request of a push. Default: a pull. */
  readonly action?: 'push';
  /** Aborts when the client leaves before it has its answer. */
  readonly signal?: AbortSignal;
}

/** The result of a request by tag. */
export type TagOutcome =
  | { readonly kind: 'sent'; readonly digest: Digest }
  | { readonly kind: 'failed'; readonly status: number; readonly reason: string };

/** The registry that the request may use, tailored to its profile. */
export interface Admitted {
  readonly kind: 'admitted';
  readonly registry: Registry;
  readonly access?: Access;
  /** Requests with equal keys get equal answers, so the response cache may share them. */
  readonly key: string;
  /** The login of the request: `qnib-type1`. */
  readonly login?: string;
  /** True when this login may pull from the repository. Default: always. */
  readonly mayPull?: (repository: Repository) => boolean;
  /** True when this login may push to the repository, if pushes are enabled. Default: always. */
  readonly mayPush?: (repository: Repository) => boolean;
  /** Called with the result of each request by tag. */
  readonly noteAnswer?: (repository: Repository, tag: Tag, outcome: TagOutcome) => void;
}

/** The request is answered with an error: 401 with `www-authenticate`, 403, 429. */
interface Refused {
  readonly kind: 'refused';
  readonly error: RegistryError;
}

export type Admission = Admitted | Refused;

/** Decides for each request which registry it may use. In node mode every client gets the same one. */
export interface AdmissionController {
  admit(context: RequestContext): Admission | Promise<Admission>;
}
