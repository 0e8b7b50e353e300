import type { IncomingHttpHeaders } from 'node:http';
import type { Writable } from 'node:stream';
import type { Digest } from './digest.ts';
import type { ByteRange, RangeRequest } from './range.ts';
import type { ManifestReference, Repository, SourceHost } from './reference.ts';
import type { RegistryError } from './registry-error.ts';

/** A client's own `Authorization`: a secret, to be read only for the registry that the client sent it for. */
export class ClientCredential {
  readonly #host: SourceHost;
  readonly #authorization: string;

  constructor(host: SourceHost, authorization: string) {
    this.#host = host;
    this.#authorization = authorization;
  }

  /** The header to present to `host`; undefined when it was meant for another registry. */
  authorizationFor(host: SourceHost): string | undefined {
    return host === this.#host ? this.#authorization : undefined;
  }
}

/**
 * For whom an answer is, when it is not simply for this mirror's operator. `partition` keys what may be shared
 * between requests.
 */
export interface Access {
  readonly partition: string;
  readonly credential?: ClientCredential;
  /** A file of logins to be presented upstream instead of the mirror's own: what only this login may fetch. */
  readonly logins?: string;
}

export interface RequestOptions {
  readonly access?: Access | undefined;
  /** The client can take an image index (its Accept names an index type or is absent). True when not said. */
  readonly acceptsIndex?: boolean | undefined;
  /** What a tag points to is asked for now, however lately it was. */
  readonly revalidate?: boolean | undefined;
  /**
   * The client may push here, and asks before it does: whether the repository has a digest is the registry's to say, whatever
   * is stored of other repositories. Of `resolve` and `statBlob`.
   */
  readonly beforePush?: boolean | undefined;
  /** The request's own `Via` header: whom it has come through, so that two mirrors in front of each other end (see via.ts). */
  readonly via?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Response headers worth handing on, lower-case names: `warning`, `ratelimit-limit`, `ratelimit-remaining`. */
export type Notices = Readonly<Record<string, string>>;

/** What a HEAD of a manifest tells. */
export interface ManifestInfo {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
  readonly notices?: Notices;
}

/** A manifest: the exact bytes and their digest. Bounded by {@link MANIFEST_MAX_BYTES}, so held in memory. */
export interface Manifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
  /** For how long the same request may be answered with this again without asking, in milliseconds; by digest Infinity. */
  readonly maxAgeMs: number;
  /** For how long it has been held here unconfirmed, in milliseconds; absent when its registry has just given or confirmed it. */
  readonly ageMs?: number;
  readonly notices?: Notices;
}

/** The spec's ceiling for manifests that a registry must accept, in bytes. */
export const MANIFEST_MAX_BYTES = 4 * 1024 * 1024;

/** What a HEAD of a blob tells; a registry may not say the size. */
export interface BlobInfo {
  readonly digest: Digest;
  readonly sizeBytes: number | undefined;
  /** As of a manifest. */
  readonly ageMs?: number | undefined;
}

/**
 * An opened blob. Exactly one of `writeTo` and `cancel` is to be called, once.
 *
 * Push instead of a Readable: each source knows its own fastest way into a Writable (positional reads into recycled
 * buffers, an upstream socket's own buffers, a file that is still growing), and nobody has to know who owns a chunk.
 */
export interface BlobContent extends BlobInfo {
  readonly kind: 'content';
  /** The bytes that will be written when a range was asked for and granted; undefined: all of them. */
  readonly range: ByteRange | undefined;
  /**
   * Writes the bytes with backpressure and resolves when the last was accepted; does not end `sink`. Rejects when the
   * source fails or its bytes do not match the digest (the caller must then destroy the sink, never end it), or when
   * the sink is destroyed. What would complete a wrong body is held back: nobody could take it for whole. A chunk's memory
   * is the source's again once the sink has called its write back: a sink that keeps bytes for longer copies them.
   */
  writeTo(sink: Writable): Promise<void>;
  /** Gives the source up unread. */
  cancel(): void;
  /** For a caller that verifies by itself: reports wrong bytes, so that their sender is asked last for a while. */
  distrust?(): void;
}

/** The client is to fetch the blob elsewhere: a 307 to `location`. */
export interface BlobRedirect {
  readonly kind: 'redirect';
  readonly location: string;
}

export type Blob = BlobContent | BlobRedirect;

export interface BlobOptions extends RequestOptions {
  readonly range?: RangeRequest | undefined;
  /** False when the caller checks the digest itself, off the event loop's thread; true when not said. */
  readonly verify?: boolean | undefined;
  /** True: this program itself reads the bytes, so no redirect is handed on, whatever is configured; false when not said. */
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
  /** Of a longer list, only so many of the first tags, or only of the last. The registry is not told. */
  readonly first?: number | undefined;
  readonly last?: number | undefined;
}

interface ReferrersOptions extends RequestOptions {
  readonly artifactType?: string | undefined;
}

/**
 * THE seam. The upstream client, the cache, virtual images, tailoring and the tests' fakes are all a Registry; the
 * mirror is a stack of decorators over it. Every method rejects with a RegistryError (see registry-error.ts).
 * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#endpoints
 */
export interface Registry {
  /** Digest, type and size without the bytes (HEAD): the cheap question by which a tag is revalidated. */
  resolve(
    repository: Repository,
    reference: ManifestReference,
    options?: RequestOptions,
  ): Promise<ManifestInfo>;
  /** The manifest's bytes, verified against the reference when that is a digest. */
  manifest(repository: Repository, reference: ManifestReference, options?: RequestOptions): Promise<Manifest>;
  statBlob(repository: Repository, digest: Digest, options?: RequestOptions): Promise<BlobInfo>;
  blob(repository: Repository, digest: Digest, options?: BlobOptions): Promise<Blob>;
  tags(repository: Repository, options?: TagOptions): Promise<TagPage>;
  /** The image index of what refers to `digest`. */
  referrers(repository: Repository, digest: Digest, options?: ReferrersOptions): Promise<Manifest>;
}

/** Does the access present a login of its own, which its registry can revoke at any time? */
export function hasOwnLogin(access: Access | undefined): boolean {
  return access?.credential !== undefined || access?.logins !== undefined;
}

/** What is known of a request when it is decided who may see what. */
export interface RequestContext {
  readonly headers: IncomingHttpHeaders;
  /** The client's address, for limits on failed logins. */
  readonly remoteAddress: string;
  /** The repository asked for; undefined for the API's root. */
  readonly repository?: Repository | undefined;
  /** `push`: it wants to write; to pull when not said. */
  readonly action?: 'push';
  /** Aborts when the client leaves before it has its answer. */
  readonly signal?: AbortSignal;
}

/** The registry that this request sees, tailored to its profile. */
export interface Admitted {
  readonly kind: 'admitted';
  readonly registry: Registry;
  readonly access?: Access;
  /** Keys answers that may be sent again without asking: equal keys see equal answers. */
  readonly key: string;
  /** The login that the answer is for: `qnib-type1`. */
  readonly login?: string;
  /** May this login pull from there? Everyone may everywhere when not said. */
  readonly mayPull?: (repository: Repository) => boolean;
  /** May it push there, where pushes are taken? Everyone may everywhere when not said. */
  readonly mayPush?: (repository: Repository) => boolean;
}

/** The request is answered with an error: 401 with its `www-authenticate`, 403, 429. */
interface Refused {
  readonly kind: 'refused';
  readonly error: RegistryError;
}

export type Admission = Admitted | Refused;

/** Decides, once per request, whose registry it sees. A node-local mirror admits everyone to one registry. */
export interface AdmissionController {
  admit(context: RequestContext): Admission | Promise<Admission>;
}
