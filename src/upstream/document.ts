import {
  BackgroundThread,
  startWorker,
  ThreadBusyError,
  ThreadFailedError,
  type Turn,
} from '../lib/background-thread.ts';
import { algorithmOf, type Digest, type DigestAlgorithm, digestOf } from '../oci/digest.ts';
import { type ManifestDocument, parseManifestDocument, parseManifestObject } from '../oci/manifest.ts';
import { DocumentBoundsError, isManifestObject } from '../oci/manifest-shape.ts';
import { essenceOf, isImageManifestType, isIndexType, isMediaType } from '../oci/media-type.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { memoryExhausted, SMALL_BYTES } from './http/reply.ts';

/** A registry's answer below `/manifests/`, received but not parsed. Plain data that can be sent to a thread. */
export interface RawDocument {
  readonly bytes: Uint8Array;
  readonly contentType: string | undefined;
  /** The algorithm of the requested digest. */
  readonly algorithm: DigestAlgorithm;
  /** The digest in the answer's `Docker-Content-Digest` header. */
  readonly said: Digest | undefined;
}

/** A value, or the reason why there is none. */
type Outcome<T> =
  | { readonly kind: 'read'; readonly value: T }
  | { readonly kind: 'refused'; readonly reason: string };

/** What MetaHub must know of a document before it passes it on or stores it. */
export interface DocumentReading {
  readonly digest: Digest;
  /** False when the bytes do not have the digest that the header named. */
  readonly isAsSaid: boolean;
  /** True when the bytes are one JSON object that cannot be taken for both an index and an image. */
  readonly isReadable: boolean;
  readonly mediaType: Outcome<string>;
  /**
   * Checked for tags: anything else in place of a manifest (an error document, a web page) must not be stored
   * as one.
   */
  readonly isManifest: Outcome<boolean>;
}

/** JSON types only: a browser that opens a manifest's URL must neither display nor run it. */
const JSON_TYPE = /^application\/[\w.+-]*j(?:son|ws)$/;

/** Parses the document. Undefined when it is not JSON or ambiguous. */
function documentOf(bytes: Uint8Array): ManifestDocument | undefined {
  try {
    return parseManifestDocument(bytes);
  } catch {
    return undefined;
  }
}

/**
 * The media type of a manifest. Content stored by its digest is shared by all repositories, so one registry's
 * `Content-Type` must not change how another one's image is read: it counts only if the bytes do not tell.
 */
function mediaTypeOf({ bytes, contentType }: RawDocument, document: ManifestDocument | undefined): string {
  const written = document?.mediaType ?? '';
  if (isIndexType(written) || isImageManifestType(written)) return written;
  const said = essenceOf(contentType ?? '');
  const isTelling = isMediaType(said) && JSON_TYPE.test(said) && said !== 'application/json';
  return isTelling ? said : parseManifestDocument(bytes, contentType).mediaType;
}

/** @throws {DocumentBoundsError} */
function isManifest(bytes: Uint8Array): boolean {
  try {
    return isManifestObject(parseManifestObject(bytes));
  } catch (error) {
    if (error instanceof DocumentBoundsError) throw error;
    return false;
  }
}

function outcomeOf<T>(read: () => T): Outcome<T> {
  try {
    return { kind: 'read', value: read() };
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    return { kind: 'refused', reason: error.message };
  }
}

/**
 * Returns the value of an outcome.
 * @throws {RegistryError} MANIFEST_INVALID
 */
export function valueIn<T>(outcome: Outcome<T>): T {
  if (outcome.kind === 'read') return outcome.value;
  throw new RegistryError('MANIFEST_INVALID', outcome.reason);
}

export function readDocument(raw: RawDocument): DocumentReading {
  const { bytes, algorithm, said } = raw;
  const digest = digestOf(bytes, algorithm);
  const document = documentOf(bytes);
  return {
    digest,
    isAsSaid: said === undefined || said === digest || digestOf(bytes, algorithmOf(said)) === said,
    isReadable: document !== undefined,
    mediaType: outcomeOf(() => mediaTypeOf(raw, document)),
    isManifest: outcomeOf(() => isManifest(bytes)),
  };
}

/** What the thread answers. The bytes are transferred to the thread and back, not copied. */
export interface DocumentReply {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly reading: DocumentReading;
}

const THREAD = new BackgroundThread<RawDocument, DocumentReply>({
  start: (options) => startWorker('document-worker', import.meta.filename, options),
  waitingMaxBytes: 64 * 1024 * 1024,
});

/**
 * Reads a document, on a thread if it is large: hashing and parsing 4 MiB takes as long as a hundred small
 * answers.
 * @param raw its bytes are transferred: use only the returned ones
 * @throws {RegistryError} UNAVAILABLE; 503 when too many large documents are waiting
 */
export async function readDocumentAside(
  raw: RawDocument & { readonly bytes: Buffer },
  turn: Turn,
): Promise<{ readonly bytes: Buffer; readonly reading: DocumentReading }> {
  const { bytes } = raw;
  if (bytes.length <= SMALL_BYTES) return { bytes, reading: readDocument(raw) };
  try {
    const transfer = [bytes.buffer as ArrayBuffer];
    const reply = await THREAD.run(raw, bytes.length, { ...turn, transfer });
    const { buffer, byteOffset, byteLength } = reply.bytes;
    return { bytes: Buffer.from(buffer, byteOffset, byteLength), reading: reply.reading };
  } catch (error) {
    if (error instanceof ThreadBusyError) throw memoryExhausted();
    if (!(error instanceof ThreadFailedError)) throw error;
    throw new RegistryError('UNAVAILABLE', `a document cannot be read: ${error.message}`);
  }
}
