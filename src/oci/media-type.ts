/**
 * Media types of the documents below `/manifests/`.
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/media-types.md
 * @see https://distribution.github.io/distribution/spec/manifest-v2-2/
 */
export const MEDIA_TYPE = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerSchema1: 'application/vnd.docker.distribution.manifest.v1+json',
  dockerSchema1Signed: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
  octets: 'application/octet-stream',
} as const;

const KNOWN: ReadonlySet<string> = new Set(Object.values(MEDIA_TYPE));

/**
 * The `Accept` header for upstream: all types of manifests, indexes first, so that no registry downgrades its
 * answer.
 */
export const MANIFEST_ACCEPT = [
  MEDIA_TYPE.ociIndex,
  MEDIA_TYPE.dockerList,
  MEDIA_TYPE.ociManifest,
  MEDIA_TYPE.dockerManifest,
  MEDIA_TYPE.dockerSchema1Signed,
  '*/*;q=0.1',
].join(', ');

/** The media type in a Content-Type: in lower case, without parameters. */
export function essenceOf(contentType: string): string {
  if (KNOWN.has(contentType)) return contentType;
  return (contentType.split(';', 1)[0] ?? '').trim().toLowerCase();
}

/** @see https://www.rfc-editor.org/rfc/rfc6838#section-4.2 */
const RESTRICTED_NAME = '[a-zA-Z0-9][a-zA-Z0-9!#$&^_.+-]{0,126}';
const FORM = new RegExp(`^${RESTRICTED_NAME}/${RESTRICTED_NAME}$`);

/** True for a valid media type without parameters. */
export function isMediaType(text: string): boolean {
  return FORM.test(text);
}

/** True for an OCI image index or a Docker manifest list. */
export function isIndexType(mediaType: string): boolean {
  return mediaType === MEDIA_TYPE.ociIndex || mediaType === MEDIA_TYPE.dockerList;
}

/** True for an OCI image manifest or a Docker image manifest, schema 2. */
export function isImageManifestType(mediaType: string): boolean {
  return mediaType === MEDIA_TYPE.ociManifest || mediaType === MEDIA_TYPE.dockerManifest;
}
