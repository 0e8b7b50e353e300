import type { IncomingMessage, ServerResponse } from 'node:http';
import { algorithmOf, digestOf } from '../oci/digest.ts';
import { formatReference } from '../oci/reference.ts';
import type { Manifest } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { HttpExchange } from './exchange.ts';
import { etagOf, isKnownToClient } from './preconditions.ts';
import {
  COMMON_FIELDS,
  forwardableHeaders,
  isFieldValue,
  type ResponseHeaders,
  sendEmpty,
} from './response.ts';
import type { ManifestRoute } from './routes.ts';

/** A manifest with its response head built: sent any number of times without another look at it. */
export interface PreparedManifest {
  readonly manifest: Manifest;
  readonly fields: string[];
  readonly fieldsWhenKnown: ResponseHeaders;
}

const OCTETS = 'application/octet-stream';

/**
 * Builds the response head of a manifest. `Docker-Content-Digest` is computed from the very bytes that will be sent.
 * @throws {RegistryError} UNAVAILABLE when the bytes are not those of the digest they came with or were asked for by.
 */
function prepareManifest(
  { repository, reference }: Pick<ManifestRoute, 'repository' | 'reference'>,
  manifest: Manifest,
): PreparedManifest {
  const digest = digestOf(manifest.bytes, algorithmOf(manifest.digest));
  if (digest !== manifest.digest || (reference.kind === 'digest' && digest !== reference.digest)) {
    throw new RegistryError(
      'UNAVAILABLE',
      `the bytes for ${formatReference(repository, reference)} have another digest: ${digest}`,
    );
  }
  const identity = ['Docker-Content-Digest', digest, 'ETag', etagOf(digest), 'Vary', 'Accept'];
  const type = isFieldValue(manifest.mediaType) ? manifest.mediaType : OCTETS;
  const size = String(manifest.bytes.length);
  const rest = ['Content-Type', type, 'Content-Length', size, ...forwardableHeaders(manifest.notices)];
  return { manifest, fields: [...COMMON_FIELDS, ...identity, ...rest], fieldsWhenKnown: identity };
}

/** Sends a prepared manifest, or 304 when the client says that it has it. */
export function sendManifest(req: IncomingMessage, res: ServerResponse, prepared: PreparedManifest): void {
  const ifNoneMatch = req.headers['if-none-match'];
  if (ifNoneMatch !== undefined && isKnownToClient(ifNoneMatch, prepared.manifest.digest)) {
    sendEmpty(res, 304, prepared.fieldsWhenKnown);
    return;
  }
  res.writeHead(200, prepared.fields);
  // For HEAD, Node leaves the bytes out.
  res.end(prepared.manifest.bytes);
}

/** Asks for a manifest, for HEAD as for GET: what HEAD announces has been made and kept before it is announced. */
export async function askManifest(
  { registry, options }: HttpExchange,
  route: ManifestRoute,
): Promise<PreparedManifest> {
  const manifest = await registry.manifest(route.repository, route.reference, options);
  return prepareManifest(route, manifest);
}
