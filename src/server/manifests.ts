import type { IncomingMessage, ServerResponse } from 'node:http';
import type { HeaderList } from '../lib/http.ts';
import { algorithmOf, digestOf } from '../oci/digest.ts';
import { formatReference } from '../oci/reference.ts';
import type { Admitted, Manifest } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { etagOf, isKnownToClient } from './request-validation.ts';
import {
  COMMON_HEADERS,
  cacheControl,
  forwardableHeaders,
  type HttpExchange,
  isHeaderValue,
  sendEmpty,
  toRegistryError,
} from './response.ts';
import type { ManifestRoute } from './routes.ts';

/** A manifest with its response headers, which can be sent any number of times without further work. */
export interface PreparedManifest {
  readonly manifest: Manifest;
  readonly headers: HeaderList;
  readonly headersOf304: HeaderList;
  /** When the registry delivered or confirmed it, in monotonic milliseconds. */
  readonly storedMs: number;
}

const OCTETS = 'application/octet-stream';

/**
 * Builds the response headers of a manifest. `Docker-Content-Digest` is computed from the bytes that are sent.
 * @throws {RegistryError} UNAVAILABLE when the bytes have another digest than the manifest or the request says.
 */
function prepareManifest(
  { repository, reference }: Pick<ManifestRoute, 'repository' | 'reference'>,
  manifest: Manifest,
  isPrivate: boolean,
): PreparedManifest {
  const digest = digestOf(manifest.bytes, algorithmOf(manifest.digest));
  if (digest !== manifest.digest || (reference.kind === 'digest' && digest !== reference.digest)) {
    throw new RegistryError(
      'UNAVAILABLE',
      `the bytes for ${formatReference(repository, reference)} have another digest: ${digest}`,
    );
  }
  const identity = [
    ...['Docker-Content-Digest', digest, 'ETag', etagOf(digest), 'Vary', 'Accept'],
    ...cacheControl(isPrivate, reference.kind === 'digest'),
  ];
  const type = isHeaderValue(manifest.mediaType) ? manifest.mediaType : OCTETS;
  const size = String(manifest.bytes.length);
  const rest = ['Content-Type', type, 'Content-Length', size, ...forwardableHeaders(manifest.notices)];
  return {
    manifest,
    headers: [...COMMON_HEADERS, ...identity, ...rest],
    headersOf304: identity,
    storedMs: performance.now() - (manifest.ageMs ?? 0),
  };
}

const NO_HEADERS: HeaderList = [];

/** The `Age` header of a stored manifest. @see https://www.rfc-editor.org/rfc/rfc9111#section-5.1 */
export function ageHeader({ storedMs }: PreparedManifest): HeaderList {
  return ['Age', String(Math.floor((performance.now() - storedMs) / 1000))];
}

/** Sends a prepared manifest, or 304 when the client already has it. */
export function sendManifest(
  req: IncomingMessage,
  res: ServerResponse,
  prepared: PreparedManifest,
  age: HeaderList = NO_HEADERS,
): void {
  const ifNoneMatch = req.headers['if-none-match'];
  if (ifNoneMatch !== undefined && isKnownToClient(ifNoneMatch, prepared.manifest.digest)) {
    sendEmpty(res, 304, [...prepared.headersOf304, ...age]);
    return;
  }
  res.writeHead(200, [...prepared.headers, ...age]);
  // Node.js leaves out the body for HEAD.
  res.end(prepared.manifest.bytes);
}

/** Fetches a manifest, for HEAD as for GET, so that what HEAD announces exists and is stored. */
export async function fetchManifest(
  { registry, options, isPrivate }: HttpExchange,
  route: ManifestRoute,
): Promise<PreparedManifest> {
  const manifest = await registry.manifest(route.repository, route.reference, options);
  return prepareManifest(route, manifest, isPrivate);
}

/** Reports that a tag was answered. */
export function noteSent(
  { noteAnswer }: Admitted,
  { repository, reference }: ManifestRoute,
  { manifest }: PreparedManifest,
): void {
  if (reference.kind === 'tag')
    noteAnswer?.(repository, reference.tag, { kind: 'sent', digest: manifest.digest });
}

/** Reports that a tag was not answered. */
export function noteFailure(
  { noteAnswer }: Admitted,
  { repository, reference }: ManifestRoute,
  error: unknown,
): void {
  if (reference.kind !== 'tag') return;
  const { status, message: reason } = toRegistryError(error);
  noteAnswer?.(repository, reference.tag, { kind: 'failed', status, reason });
}
