import { isJsonObject, type JsonObject, type JsonShape, keepExactNumbers } from '../lib/json.ts';

import { normalizePlatform } from '../lib/platform.ts';
import { type Digest, parseDigest } from './digest.ts';
import { checkShape, saysSchemaVersion } from './manifest-shape.ts';
import { essenceOf, isImageManifestType, isIndexType, isMediaType, MEDIA_TYPE } from './media-type.ts';
import { RegistryError } from './registry-error.ts';

/**
 * The platform of a descriptor, normalized: `linux`, `amd64`, `v3`.
 *
 * `features` is defined for Docker's manifest list and RESERVED in an OCI image index. Authors write it in both, so
 * it is read in both.
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/image-index.md#image-index-property-descriptions
 */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly osVersion?: string;
  readonly osFeatures: readonly string[];
  readonly features: readonly string[];
}

/** Formats a platform: `linux/amd64/v3`. */
export function formatPlatform({
  os,
  architecture,
  variant,
}: Pick<Platform, 'os' | 'architecture' | 'variant'>): string {
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join('/');
}

/**
 * A typed view of a content descriptor. `raw` is the parsed JSON object, unknown fields included, so that nothing
 * is lost when it is written again.
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md
 */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly platform?: Platform;
  readonly artifactType?: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly raw: Readonly<Record<string, unknown>>;
}

/**
 * An image index or manifest list, with its entries in order. `raw` is the parsed JSON object, unknown fields
 * included.
 */
export interface ImageIndex {
  readonly kind: 'index';
  readonly mediaType: string;
  readonly entries: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly raw: Readonly<Record<string, unknown>>;
}

/** A Docker (schema 2) or OCI image manifest. */
export interface ImageManifest {
  readonly kind: 'image';
  readonly mediaType: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly raw: Readonly<Record<string, unknown>>;
}

/**
 * Neither an image nor an index (schema 1, an artifact, an index with an unreadable entry). It is passed on
 * unchanged.
 */
interface OpaqueDocument {
  readonly kind: 'opaque';
  readonly mediaType: string;
  readonly reason: string;
}

export type ManifestDocument = ImageIndex | ImageManifest | OpaqueDocument;

/** For objects under construction. An index has up to a thousand entries, and spreading is slower than assigning. */
type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

const NO_STRINGS: readonly string[] = [];

function stringsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : NO_STRINGS;
}

const NO_ANNOTATIONS: Readonly<Record<string, string>> = {};

/** Returns the same object when all values are strings, as nearly always: copying is slower than checking. */
function stringMapOf(value: unknown): Readonly<Record<string, string>> {
  if (!isJsonObject(value)) return NO_ANNOTATIONS;
  for (const name in value) {
    if (typeof value[name] === 'string') continue;
    const strings = Object.entries(value).filter(
      (pair): pair is [string, string] => typeof pair[1] === 'string',
    );
    return Object.fromEntries(strings);
  }
  return value as Readonly<Record<string, string>>;
}

function readPlatform(value: unknown): Platform | undefined {
  if (!isJsonObject(value)) return undefined;
  const { os, architecture, variant } = value;
  if (typeof os !== 'string' || typeof architecture !== 'string') return undefined;
  const osVersion = value['os.version'];
  const named = normalizePlatform({
    os,
    architecture,
    variant: typeof variant === 'string' ? variant : undefined,
  });
  const platform: Mutable<Platform> = {
    os: named.os,
    architecture: named.architecture,
    osFeatures: stringsOf(value['os.features']),
    features: stringsOf(value['features']),
  };
  if (named.variant !== undefined) platform.variant = named.variant;
  if (typeof osVersion === 'string' && osVersion !== '') platform.osVersion = osVersion;
  return platform;
}

/** Reads a descriptor. Undefined when its media type, digest or size is missing or invalid. */
export function readDescriptor(value: unknown): Descriptor | undefined {
  if (!isJsonObject(value)) return undefined;
  const { mediaType, size, artifactType } = value;
  const digest = typeof value['digest'] === 'string' ? parseDigest(value['digest']) : undefined;
  if (typeof mediaType !== 'string' || digest === undefined) return undefined;
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return undefined;
  const platform = readPlatform(value['platform']);
  const descriptor: Mutable<Descriptor> = {
    mediaType: essenceOf(mediaType),
    digest,
    sizeBytes: size,
    annotations: stringMapOf(value['annotations']),
    raw: value,
  };
  if (platform !== undefined) descriptor.platform = platform;
  if (typeof artifactType === 'string') descriptor.artifactType = artifactType;
  return descriptor;
}

/** Artifact types of images: none, or the media types of image configurations. */
const IMAGE_CONFIG_TYPES = new Set([
  '',
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
]);

/** True when this media type may be that of an image's configuration. */
export function isImageConfigType(mediaType: string): boolean {
  return IMAGE_CONFIG_TYPES.has(mediaType);
}

/**
 * True when an entry of an index is an image. An artifact (a SOCI index, a signature) also has the media type of a
 * manifest, and often the platform of its image.
 */
export function isImageEntry({ mediaType, artifactType = '' }: Descriptor): boolean {
  return isImageManifestType(mediaType) && IMAGE_CONFIG_TYPES.has(artifactType);
}

function readDescriptors(value: unknown): readonly Descriptor[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const read = value.map(readDescriptor);
  return read.every((entry) => entry !== undefined) ? read : undefined;
}

/** The media type by the shape of the document, when neither `mediaType` nor the Content-Type tells. */
function typeByShape(raw: JsonObject): string {
  if (Array.isArray(raw['manifests'])) return MEDIA_TYPE.ociIndex;
  if (isJsonObject(raw['config']) && Array.isArray(raw['layers'])) return MEDIA_TYPE.ociManifest;
  if (raw['schemaVersion'] === 1) return MEDIA_TYPE.dockerSchema1;
  return MEDIA_TYPE.octets;
}

/** The media type: the document's own, else the registry's, else by shape. */
function mediaTypeOf(raw: JsonObject, contentType: string | undefined): string {
  const own = raw['mediaType'];
  if (typeof own === 'string' && own !== '') {
    // Checked, because it is sent in a header and stored with the manifest.
    const essence = essenceOf(own);
    return isMediaType(essence) ? essence : MEDIA_TYPE.octets;
  }
  const said = contentType === undefined ? '' : essenceOf(contentType);
  return isIndexType(said) || isImageManifestType(said) ? said : typeByShape(raw);
}

/**
 * The last document that was parsed, because its receiver reads it several times: to check it and to select from
 * it.
 */
let lastParsed: { readonly bytes: Uint8Array; readonly raw: JsonObject | RegistryError } | undefined;

/**
 * @throws {RegistryError} MANIFEST_INVALID when it is not a JSON object, or exceeds the limits of {@link
 * checkShape}
 */
export function parseManifestObject(bytes: Uint8Array): JsonObject {
  if (lastParsed?.bytes !== bytes) lastParsed = { bytes, raw: readObject(bytes) };
  const { raw } = lastParsed;
  if (raw instanceof RegistryError) throw raw;
  return raw;
}

function readObject(bytes: Uint8Array): JsonObject | RegistryError {
  try {
    return parseJsonObject(bytes, checkShape(bytes));
  } catch (error) {
    if (error instanceof RegistryError) return error;
    throw error;
  }
}

function parseJsonObject(bytes: Uint8Array, { hasLongNumber }: JsonShape): JsonObject {
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    value = JSON.parse(text);
  } catch (cause) {
    throw new RegistryError('MANIFEST_INVALID', 'the manifest is not JSON', { cause });
  }
  if (!isJsonObject(value)) throw new RegistryError('MANIFEST_INVALID', 'the manifest is not a JSON object');
  if (hasLongNumber) keepExactNumbers(text, value);
  return value;
}

/**
 * Parses a document that `/manifests/` delivered into a typed view.
 *
 * It is lenient where the document can still be passed on (`opaque`), and strict where two readers could understand
 * the same bytes differently.
 * @throws {RegistryError} MANIFEST_INVALID when the bytes are not a JSON object, contain `manifests` together with
 * `layers` or `config` (CVE-2021-41190), or contradict their Content-Type
 */
export function parseManifestDocument(bytes: Uint8Array, contentType?: string): ManifestDocument {
  const raw = parseManifestObject(bytes);
  if (raw['manifests'] !== undefined && (raw['layers'] !== undefined || raw['config'] !== undefined)) {
    throw new RegistryError('MANIFEST_INVALID', 'the manifest is both an image and an index: refused');
  }
  const mediaType = mediaTypeOf(raw, contentType);
  if (!saysSchemaVersion(raw)) {
    return { kind: 'opaque', mediaType, reason: 'it is not a manifest: it has no schemaVersion of 1 or 2' };
  }
  if (isIndexType(mediaType)) return readIndex(raw, mediaType);
  if (isImageManifestType(mediaType)) return readImage(raw, mediaType);
  return { kind: 'opaque', mediaType, reason: `${mediaType} is neither an image nor an index` };
}

/**
 * The grammar of a digest whose algorithm MetaHub does not know.
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md#digests
 */
const DIGEST_GRAMMAR = /^(?!sha(?:256|512):)[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[\w=-]+$/;

/** Clients expect a well-formed digest in each entry, and split it into its parts. */
function refuseMalformedDigests(entries: unknown): void {
  if (!Array.isArray(entries)) return;
  for (const entry of entries as readonly unknown[]) {
    const digest = isJsonObject(entry) ? entry['digest'] : undefined;
    if (typeof digest !== 'string' || parseDigest(digest) !== undefined || DIGEST_GRAMMAR.test(digest))
      continue;
    throw new RegistryError('MANIFEST_INVALID', 'an entry of the index has a malformed digest: refused');
  }
}

function readIndex(raw: JsonObject, mediaType: string): ImageIndex | OpaqueDocument {
  if (raw['manifests'] === undefined) {
    throw new RegistryError('MANIFEST_INVALID', `the document says ${mediaType} but has no manifests`);
  }
  refuseMalformedDigests(raw['manifests']);
  const entries = readDescriptors(raw['manifests']);
  if (entries === undefined)
    return { kind: 'opaque', mediaType, reason: 'an entry of the index is not a descriptor' };
  return { kind: 'index', mediaType, entries, annotations: stringMapOf(raw['annotations']), raw };
}

function readImage(raw: JsonObject, mediaType: string): ImageManifest | OpaqueDocument {
  if (raw['manifests'] !== undefined) {
    throw new RegistryError('MANIFEST_INVALID', `the document says ${mediaType} but lists manifests`);
  }
  const config = readDescriptor(raw['config']);
  const layers = readDescriptors(raw['layers']);
  if (config === undefined || layers === undefined) {
    return { kind: 'opaque', mediaType, reason: 'the image manifest has no readable config or layers' };
  }
  return { kind: 'image', mediaType, config, layers, annotations: stringMapOf(raw['annotations']), raw };
}
