import type { HeaderList } from '../lib/http.ts';
import { parseManifestObject } from '../oci/manifest.ts';
import { MEDIA_TYPE } from '../oci/media-type.ts';
import type { TagPage } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import {
  cacheControl,
  forwardableHeaders,
  type HttpExchange,
  sendDocument,
  sendDocumentBytes,
} from './response.ts';
import type { ReferrersRoute, TagsRoute } from './routes.ts';

function nextPage({ written, namespace, limit }: TagsRoute, { next }: TagPage): HeaderList {
  if (next === undefined) return [];
  const query = [
    ...(limit === undefined ? [] : [`n=${limit}`]),
    `last=${encodeURIComponent(next)}`,
    ...(namespace === undefined ? [] : [`ns=${encodeURIComponent(namespace)}`]),
  ];
  return ['Link', `</v2/${written}/tags/list?${query.join('&')}>; rel="next"`];
}

/** A client that names no number gets its tags in pages, too: it cannot make us hold all of them. */
const PAGE_MAX = 10_000;

/** @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-tags */
export async function answerTags(
  { res, registry, options, isPrivate, hold }: HttpExchange,
  route: TagsRoute,
): Promise<void> {
  const { limit, after, repository, written } = route;
  const caching = cacheControl(isPrivate, false);
  // The client wants none, but an unknown repository must still be 404; a registry may read n=0 as "no limit".
  const page = await registry.tags(repository, {
    ...options,
    limit: limit === 0 ? 1 : limit,
    after,
    first: PAGE_MAX,
  });
  if (limit === 0) return sendDocument(res, 200, { name: written, tags: [] }, caching);
  const bytes = Buffer.from(JSON.stringify({ name: written, tags: page.tags }));
  hold(bytes);
  const headers = ['Content-Type', 'application/json', ...caching, ...nextPage(route, page)];
  sendDocumentBytes(res, 200, headers, bytes);
}

/** Only the entries of this type, in the document's own bytes when that is all of them; undefined: not a list of entries. */
function withArtifactType(bytes: Buffer, artifactType: string): Buffer | undefined {
  const document = objectIn(bytes);
  const manifests = document?.['manifests'];
  if (!Array.isArray(manifests)) return undefined;
  const kept = manifests.filter(
    (entry: { artifactType?: unknown } | null) => entry?.artifactType === artifactType,
  );
  if (kept.length === manifests.length) return bytes;
  return Buffer.from(JSON.stringify({ ...document, manifests: kept }));
}

/** MetaHub passes on what it cannot read, and does not call it filtered. */
function objectIn(bytes: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    return parseManifestObject(bytes);
  } catch (error) {
    if (error instanceof RegistryError) return undefined;
    throw error;
  }
}

/** @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-referrers */
export async function answerReferrers(
  { res, registry, options, isPrivate, hold }: HttpExchange,
  { repository, digest, artifactType }: ReferrersRoute,
): Promise<void> {
  const manifest = await registry.referrers(repository, digest, { ...options, artifactType });
  const filtered = artifactType === undefined ? undefined : withArtifactType(manifest.bytes, artifactType);
  const headers = [
    ...['Content-Type', MEDIA_TYPE.ociIndex],
    ...cacheControl(isPrivate, false),
    ...(filtered === undefined ? [] : ['OCI-Filters-Applied', 'artifactType']),
    ...forwardableHeaders(manifest.notices),
  ];
  const bytes = filtered ?? manifest.bytes;
  hold(bytes);
  sendDocumentBytes(res, 200, headers, bytes);
}
