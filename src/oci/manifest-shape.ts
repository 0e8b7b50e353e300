import { isJsonObject, type JsonObject } from '../lib/bounded-json.ts';
import { essenceOf, isImageManifestType, isIndexType } from './media-type.ts';

/**
 * Every manifest has a `schemaVersion`, except the artifact manifest of early OCI 1.1, which has its own type. A
 * document with neither is something else: an error page in JSON, the answer of a login form.
 */
export function saysSchemaVersion({ schemaVersion, mediaType }: JsonObject): boolean {
  return (
    schemaVersion === 1 ||
    schemaVersion === 2 ||
    mediaType === 'application/vnd.oci.artifact.manifest.v1+json'
  );
}

/** Absent and null are the same for clients written in Go. */
function isAbsentOr(isKind: (value: unknown) => boolean, value: unknown): boolean {
  return value === undefined || value === null || isKind(value);
}

const isText = (value: unknown) => typeof value === 'string';

function isDescriptorShaped(value: unknown): boolean {
  if (!isJsonObject(value)) return false;
  const { mediaType, digest, size } = value;
  return isAbsentOr(isText, mediaType) && isAbsentOr(isText, digest) && isAbsentOr(Number.isInteger, size);
}

function isListOfDescriptors(value: unknown): boolean {
  return Array.isArray(value) && value.every((entry) => isAbsentOr(isDescriptorShaped, entry));
}

/** Do the members with which an index or an image begins have the JSON types that the specifications give them? */
function hasReadableMembers({ manifests, config, layers, fsLayers }: JsonObject): boolean {
  return (
    isAbsentOr(isListOfDescriptors, manifests) &&
    isAbsentOr(isDescriptorShaped, config) &&
    isAbsentOr(isListOfDescriptors, layers) &&
    isAbsentOr(Array.isArray, fsLayers)
  );
}

/**
 * Can a client take this object for a manifest? Runtimes decode it into typed structures: one member of another JSON type fails
 * the pull. A type of somebody else's defines its own members.
 */
export function isManifestObject(raw: JsonObject): boolean {
  if (!saysSchemaVersion(raw)) return false;
  const own = raw['mediaType'];
  const mediaType = typeof own === 'string' ? essenceOf(own) : '';
  const isOthers = mediaType !== '' && !isIndexType(mediaType) && !isImageManifestType(mediaType);
  return (isOthers && raw['schemaVersion'] !== 1) || hasReadableMembers(raw);
}
