import { resolveReference, type WebLocation, withQuery } from '../lib/address.ts';
import type { Sealer } from '../lib/seal.ts';
import type { AdmittedWrite, WriteRoute } from '../oci/push.ts';
import { formatManifestReference, formatRepository } from '../oci/reference.ts';
import { RegistryError } from '../oci/registry-error.ts';

/** An upload that nobody has gone on with for this long is the registry's to forget, in milliseconds. */
const SESSION_MS = 24 * 60 * 60 * 1000;
/** What a registry's answer may tell the client; `location` is written anew. */
const RESPONSE_HEADERS = new Set([
  ...[
    'content-type',
    'content-length',
    'content-encoding',
    'transfer-encoding',
    'range',
    'oci-chunk-min-length',
  ],
  ...['docker-content-digest', 'docker-upload-uuid', 'oci-subject', 'oci-tag', 'retry-after', 'warning'],
  ...['ratelimit-limit', 'ratelimit-remaining', 'ratelimit-reset'],
]);

type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

/** An answer that came from a registry, on its way to the client. */
export interface RelayedAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** What was asked, against which a relative location is read. */
  readonly asked: WebLocation;
}

/** A login that the registry does not let push is not the client's: it cannot meet the registry's challenge. */
export function statusFor(status: number): number {
  return status === 401 ? 403 : status;
}

export function filteredHeaders(
  headers: Headers,
  allowed: ReadonlySet<string>,
): Record<string, string | string[]> {
  const kept = Object.entries(headers).filter(([name, value]) => value !== undefined && allowed.has(name));
  return Object.fromEntries(kept) as Record<string, string | string[]>;
}

/** Path of the client's own view of the repository: `/v2/NAME/…`, with the `ns` that it gave. */
function ownPath({ written, namespace }: WriteRoute, rest: string): string {
  return withQuery(
    `/v2/${written}/${rest}`,
    namespace === undefined ? '' : `ns=${encodeURIComponent(namespace)}`,
  );
}

function contextOf({ route, owner }: AdmittedWrite): string {
  return JSON.stringify([formatRepository(route.repository), owner]);
}

/** What a client is told of a registry's answer: places of this mirror, in which where an upload goes on is sealed. */
export class PushAnswers {
  readonly #sealer: Sealer;
  readonly #wallClock: () => number;

  /** @param wallClock milliseconds */
  constructor(sealer: Sealer, wallClock: () => number) {
    this.#sealer = sealer;
    this.#wallClock = wallClock;
  }

  #sealSession(write: AdmittedWrite, { url, target }: WebLocation): string {
    return this.#sealer.seal(
      JSON.stringify([url.origin, target, this.#wallClock() + SESSION_MS]),
      contextOf(write),
    );
  }

  /** @throws {RegistryError} BLOB_UPLOAD_UNKNOWN for another repository's, another login's, an old or an invented session. */
  openSession(write: AdmittedWrite, session: string): WebLocation {
    const text = this.#sealer.open(session, contextOf(write));
    const [origin, target, untilMs] =
      text === undefined ? [] : (JSON.parse(text) as [string, string, number]);
    if (origin === undefined || target === undefined || !(this.#wallClock() < (untilMs ?? 0))) {
      throw new RegistryError('BLOB_UPLOAD_UNKNOWN', 'this mirror knows no such upload: begin it anew');
    }
    return { url: new URL(origin), target };
  }

  /** Where the client goes on: what is stored is asked for here, and an upload goes on here. */
  #locationFor(write: AdmittedWrite, { status, headers, asked }: RelayedAnswer): string | undefined {
    const { route } = write;
    const digest = headers['docker-content-digest'];
    if (status === 201 && route.kind === 'manifest') {
      const reference = typeof digest === 'string' ? digest : formatManifestReference(route.reference);
      return ownPath(route, `manifests/${reference}`);
    }
    if (status === 201 && route.kind !== 'manifest') {
      const stored = (route.kind === 'begin-upload' ? route.mount?.digest : undefined) ?? route.digest;
      return stored === undefined ? undefined : ownPath(route, `blobs/${stored}`);
    }
    const written = headers['location'];
    const said = typeof written === 'string' ? resolveReference(written, asked) : undefined;
    return said && ownPath(route, `blobs/uploads/${this.#sealSession(write, said)}`);
  }

  headersFor(write: AdmittedWrite, relayed: RelayedAnswer): Record<string, string | string[]> {
    const location = this.#locationFor(write, relayed);
    return {
      ...filteredHeaders(relayed.headers, RESPONSE_HEADERS),
      ...(location === undefined ? {} : { location }),
      'cache-control': 'no-store',
      'docker-distribution-api-version': 'registry/2.0',
    };
  }
}
