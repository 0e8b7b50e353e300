import type { IncomingHttpHeaders } from 'node:http';
import type { Writable } from 'node:stream';
import type { LentBytes } from '../lib/writable.ts';
import type { Digest } from './digest.ts';
import type { ByteRange, RangeRequest } from './range.ts';
import type { ManifestReference, Repository, SourceHost, Tag } from './reference.ts';
import type { RegistryError } from './registry-error.ts';

/** A client's own `Authorization` header: a secret, used only for the registry that the client sent it for. */
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
 * The client that an answer is for, when answers are not the same for every client. `partition` keys what requests may
 * share.
 */
export interface Access {
  readonly partition: string;
  readonly credential?: ClientCredential;
  /**
   * A file of logins that are presented upstream instead of the mirror's own: only this login may see what they fetch.
   */
  readonly logins?: string;
}

export interface RequestOptions {
  readonly access?: Access | undefined;
  /** The client accepts an image index (its Accept names an index type or is absent). Default: true. */
  readonly acceptsIndex?: boolean | undefined;
  /** Asks upstream what a tag points to, however recently it was asked. */
  readonly revalidate?: boolean | undefined;
  /**
   * The client may push here and checks first what exists: its registry decides whether the repository has a digest,
   * whatever the store has from other repositories. For `resolve` and `statBlob`.
   */
  readonly beforePush?: boolean | undefined;
  /** The request's own `Via` header, so that two mirrors in front of each other detect the loop (see lib/http.ts). */
  readonly via?: string | undefined;
  /** Whose request it is, as far as clients share memory and time: a login, or an address. */
  readonly client?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Response headers to pass on, in lower case: `warning`, `ratelimit-limit`, `ratelimit-remaining`. */
export type Notices = Readonly<Record<string, string>>;

/** What a HEAD of a manifest answers. */
export interface ManifestInfo {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
  readonly notices?: Notices;
}

/** A manifest: the exact bytes and their digest. Bounded by {@link MANIFEST_MAX_BYTES}, so it is held in memory. */
export interface Manifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
  /**
   * For how long this may answer the same request again without asking upstream, in milliseconds; Infinity by digest.
   */
  readonly maxAgeMs: number;
  /**
   * For how long it has been stored unconfirmed, in milliseconds; absent when its registry has just sent or confirmed
   * it.
   */
  readonly ageMs?: number;
  readonly notices?: Notices;
  /** This mirror assembled it: no registry has its digest. */
  readonly isAssembled?: true;
}

/** What a HEAD answers where a GET answers `manifest`. */
export function infoOf({ digest, mediaType, bytes, notices }: Manifest): ManifestInfo {
  return { digest, mediaType, sizeBytes: bytes.length, ...(notices && { notices }) };
}

/** The size of manifest that a registry must accept by the specification, in bytes. */
export const MANIFEST_MAX_BYTES = 4 * 1024 * 1024;

/** What a HEAD of a blob answers; a registry may omit the size. */
export interface BlobInfo {
  readonly digest: Digest;
  readonly sizeBytes: number | undefined;
  /** As for a manifest. */
  readonly ageMs?: number | undefined;
}

/**
 * An opened blob. Call exactly one of `writeTo` and `cancel`, once.
 *
 * It pushes instead of being a Readable. Each source knows its fastest way into a Writable: positional reads into
 * recycled buffers, an upstream socket's own buffers, a file that is still growing. No caller has to know who owns a
 * chunk.
 */
export interface BlobContent extends BlobInfo {
  readonly kind: 'content';
  /** The bytes that will be written when a range was requested and granted; undefined: all of them. */
  readonly range: ByteRange | undefined;
  /**
   * Writes the bytes with backpressure and resolves when the sink has accepted the last; does not end `sink`. Rejects
   * when the source fails, when its bytes do not match the digest (the caller must then destroy the sink, never end
   * it), or when the sink is destroyed. The end of a wrong body is withheld, so that no client can take it for
   * complete. A chunk's memory belongs to the source again once the sink has called its write back: a sink that needs
   * bytes for longer copies them.
   */
  writeTo(sink: Writable): Promise<void>;
  /** Abandons the source unread. */
  cancel(): void;
  /**
   * For a caller that verifies the digest itself: reports wrong bytes, so that their sender is tried last for a while.
   */
  distrust?(): void;
}

/** The client must fetch the blob elsewhere: a 307 to `location`. */
export interface BlobRedirect {
  readonly kind: 'redirect';
  readonly location: string;
}

export type Blob = BlobContent | BlobRedirect;

/** A blob, or the requested range of it, that is small enough to be in memory. */
export interface SmallBlob extends BlobInfo {
  readonly range: ByteRange | undefined;
  readonly lent: LentBytes;
}

export interface BlobOptions extends RequestOptions {
  readonly range?: RangeRequest | undefined;
  /** False when the caller checks the digest itself, off the event loop. Default: true. */
  readonly verify?: boolean | undefined;
  /** True: this program reads the bytes itself, so it follows redirects whatever the configuration. Default: false. */
  readonly follow?: boolean | undefined;
}

/** A page of tags, in lexical order; `next` is the `last` parameter of the following page when there is one. */
export interface TagPage {
  readonly tags: readonly string[];
  readonly next?: string | undefined;
}

export interface TagOptions extends RequestOptions {
  /** At most this many tags (`n`). */
  readonly limit?: number | undefined;
  /** Only tags after this one (`last`). */
  readonly after?: string | undefined;
  /** Of a longer list, only the first so many tags, or only the last. The registry does not learn of it. */
  readonly first?: number | undefined;
  readonly last?: number | undefined;
}

export interface ReferrersOptions extends RequestOptions {
  readonly artifactType?: string | undefined;
}

/**
 * THE seam. The upstream client, the cache, virtual images, tailoring and the tests' fakes are all a Registry; the
 * mirror is a stack of decorators over it. Every method rejects with a RegistryError (see registry-error.ts).
 * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#endpoints
 */
export interface Registry {
  /** Digest, type and size without the bytes (HEAD): the cheap request that revalidates a tag. */
  resolve(
    repository: Repository,
    reference: ManifestReference,
    options?: RequestOptions,
  ): Promise<ManifestInfo>;
  /** The manifest's bytes, verified when the reference is a digest. */
  manifest(repository: Repository, reference: ManifestReference, options?: RequestOptions): Promise<Manifest>;
  statBlob(repository: Repository, digest: Digest, options?: RequestOptions): Promise<BlobInfo>;
  blob(repository: Repository, digest: Digest, options?: BlobOptions): Promise<Blob>;
  /**
   * The short way to what is small, stored and open, and may be shown without asking anybody. Undefined, at once or later:
   * `blob` answers.
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

/** True when the access presents its own login, which its registry can revoke at any time. */
export function hasOwnLogin(access: Access | undefined): boolean {
  return access?.credential !== undefined || access?.logins !== undefined;
}

/** What admission knows of a request when it decides who may see what. */
export interface RequestContext {
  readonly headers: IncomingHttpHeaders;
  /** The client's address, for limits on failed logins. */
  readonly remoteAddress: string;
  /** The requested repository; undefined for the API's root. */
  readonly repository?: Repository | undefined;
  /** `push`: a write request. Default: a pull. */
  readonly action?: 'push';
  /** Aborts when the client leaves before it has its answer. */
  readonly signal?: AbortSignal;
}

/** What came of a request for a tag. */
export type TagOutcome =
  | { readonly kind: 'sent'; readonly digest: Digest }
  | { readonly kind: 'failed'; readonly status: number; readonly reason: string };

/** The registry that this request sees, tailored to its profile. */
export interface Admitted {
  readonly kind: 'admitted';
  readonly registry: Registry;
  readonly access?: Access;
  /** Keys the response cache: requests with equal keys see equal answers. */
  readonly key: string;
  /** The login of the request: `qnib-type1`. */
  readonly login?: string;
  /** True when this login may pull from the repository. Default: every login may pull everything. */
  readonly mayPull?: (repository: Repository) => boolean;
  /** True when this login may push to the repository, where pushes are enabled. Default: every login may. */
  readonly mayPush?: (repository: Repository) => boolean;
  /** Receives the result of each request for a tag. */
  readonly noteAnswer?: (repository: Repository, tag: Tag, outcome: TagOutcome) => void;
}

/** The request is answered with an error: 401 with its `www-authenticate`, 403, 429. */
interface Refused {
  readonly kind: 'refused';
  readonly error: RegistryError;
}

export type Admission = Admitted | Refused;

/** Decides once per request which registry it sees. A mirror in node mode admits every client to one registry. */
export interface AdmissionController {
  admit(context: RequestContext): Admission | Promise<Admission>;
}
