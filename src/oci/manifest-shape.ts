import { isJsonObject, type JsonObject, type JsonShape, shapeOf, USUAL_BOUNDS } from '../lib/json.ts';
import { essenceOf, isImageManifestType, isIndexType } from './media-type.ts';
import { RegistryError } from './registry-error.ts';

/** The manifest is too deep or too large to parse. */
export class DocumentBoundsError extends RegistryError {
  constructor(why: string) {
    super('MANIFEST_INVALID', `the manifest ${why}`);
  }
}

/**
 * Refuses a manifest before it is parsed, when it nests too deep or has too many names and values. A valid manifest
 * nests a few levels; an index of a thousand entries has about 30,000 names and values.
 * @throws {DocumentBoundsError}
 */
export function checkShape(bytes: Uint8Array): JsonShape {
  const shape = shapeOf(bytes, USUAL_BOUNDS);
  const { depth, values } = shape;
  if (depth > USUAL_BOUNDS.depth) {
    throw new DocumentBoundsError(`nests deeper than ${USUAL_BOUNDS.depth} levels`);
  }
  if (values > USUAL_BOUNDS.values) {
    throw new DocumentBoundsError(`has more than ${USUAL_BOUNDS.values} names and values`);
  }
  return shape;
}

/**
 * True for a manifest. Every manifest has a `schemaVersion`, except the artifact manifest of early OCI 1.1, which
 * has a media type of its own. Anything else is another document, such as a JSON error page or the answer of a
 * login form.
 */
export function saysSchemaVersion({ schemaVersion, mediaType }: JsonObject): boolean {
  return (
    schemaVersion === 1 ||
    schemaVersion === 2 ||
    mediaType === 'application/vnd.oci.artifact.manifest.v1+json'
  );
}

/** Absent and null are the same for clients in Go. */
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

/** True when the members of an index or image have the JSON types that the specifications require. */
function hasReadableMembers({ manifests, config, layers, fsLayers }: JsonObject): boolean {
  return (
    isAbsentOr(isListOfDescriptors, manifests) &&
    isAbsentOr(isDescriptorShaped, config) &&
    isAbsentOr(isListOfDescriptors, layers) &&
    isAbsentOr(Array.isArray, fsLayers)
  );
}

/**
 * True when clients can read this object as a manifest. Runtimes decode it into typed structures, so one member
 * with the wrong JSON type fails the pull. A manifest with an unknown media type has its own members.
 */
export function isManifestObject(raw: JsonObject): boolean {
  if (!saysSchemaVersion(raw)) return false;
  const own = raw['mediaType'];
  const mediaType = typeof own === 'string' ? essenceOf(own) : '';
  const isOthers = mediaType !== '' && !isIndexType(mediaType) && !isImageManifestType(mediaType);
  return (isOthers && raw['schemaVersion'] !== 1) || hasReadableMembers(raw);
}
