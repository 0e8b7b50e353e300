import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Digest } from './digest.ts';
import type { ManifestReference, Repository, SourceHost } from './reference.ts';
import type { Access } from './registry.ts';

interface WriteTarget {
  readonly repository: Repository;
  /** The repository as written in the request's path. */
  readonly written: string;
  /** The source host in `ns`. */
  readonly namespace: SourceHost | undefined;
}

/**
 * A parsed request of a push.
 * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#push
 */
export type WriteRoute =
  /**
   * `POST …/blobs/uploads/`. With `digest`, the body is the blob; with `mount`, the blob may come from another
   * repository.
   */
  | (WriteTarget & {
      readonly kind: 'begin-upload';
      readonly digest: Digest | undefined;
      readonly mount: { readonly digest: Digest; readonly from: Repository } | undefined;
    })
  /** `PATCH`, `PUT`, `GET` or `DELETE` of an upload that has begun. */
  | (WriteTarget & { readonly kind: 'upload'; readonly session: string; readonly digest: Digest | undefined })
  /** `PUT …/manifests/REFERENCE`. */
  | (WriteTarget & { readonly kind: 'manifest'; readonly reference: ManifestReference });

/** An admitted request of a push. */
export interface AdmittedWrite {
  readonly route: WriteRoute;
  readonly access: Access | undefined;
  /** The login that began the upload. Only this login may continue it. */
  readonly owner: string;
  /** Who the memory is charged to: a login or an address. */
  readonly client: string;
  readonly mayPull: (repository: Repository) => boolean;
  readonly signal: AbortSignal;
}

/** Forwards pushes to the registries. */
export interface PushForwarder {
  /** Sends the whole answer. @throws {RegistryError} only before any of it is sent */
  forward(req: IncomingMessage, res: ServerResponse, write: AdmittedWrite): Promise<void>;
}
