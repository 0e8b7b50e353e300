import type { HeaderList } from '../lib/http.ts';
import { MEDIA_TYPE } from '../oci/media-type.ts';
import type { Repository } from '../oci/reference.ts';
import type { Manifest, RequestOptions, TagPage } from '../oci/registry.ts';
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

/** The largest page for a client that requests no number, so that it cannot make this process hold all tags. */
const PAGE_MAX = 10_000;

/** @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-tags */
export async function answerTags(
  { res, registry, options, isPrivate, hold }: HttpExchange,
  route: TagsRoute,
): Promise<void> {
  const { limit, after, repository, written } = route;
  const caching = cacheControl(isPrivate, false);
  // An unknown repository must be 404 even if no tags are wanted; and some registries read n=0 as "no limit".
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

/** Filters a list of referrers by artifact type. Undefined when the document is no such list. */
export type FilterReferrers = (
  list: Manifest,
  artifactType: string,
  repository: Repository,
  options: RequestOptions,
) => Promise<Buffer | undefined>;

/** @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-referrers */
export async function answerReferrers(
  { res, registry, options, isPrivate, hold }: HttpExchange,
  { repository, digest, artifactType }: ReferrersRoute,
  filter: FilterReferrers,
): Promise<void> {
  const manifest = await registry.referrers(repository, digest, { ...options, artifactType });
  const filtered =
    artifactType === undefined ? undefined : await filter(manifest, artifactType, repository, options);
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
