import {
  BackgroundThread,
  startWorker,
  ThreadBusyError,
  ThreadFailedError,
  type Turn,
} from '../lib/background-thread.ts';
import { algorithmOf, type Digest, type DigestAlgorithm, digestOf } from '../oci/digest.ts';
import { type ManifestDocument, parseManifestDocument, parseManifestObject } from '../oci/manifest.ts';
import { isManifestObject } from '../oci/manifest-shape.ts';
import { essenceOf, isImageManifestType, isIndexType, isMediaType } from '../oci/media-type.ts';
import { DocumentBoundsError, RegistryError } from '../oci/registry-error.ts';
import { memoryExhausted, SMALL_BYTES } from './http/reply.ts';

/** What a registry answered below `/manifests/`, whole but unread. Plain data: it crosses threads. */
export interface RawDocument {
  readonly bytes: Uint8Array;
  readonly contentType: string | undefined;
  /** Of the digest that is wanted. */
  readonly algorithm: DigestAlgorithm;
  /** The digest that the head of the answer named. */
  readonly said: Digest | undefined;
}

/** A value, or why there is none. */
type Outcome<T> =
  | { readonly kind: 'read'; readonly value: T }
  | { readonly kind: 'refused'; readonly reason: string };

/** What MetaHub needs to know of the bytes before it passes them on or keeps them. */
export interface DocumentReading {
  readonly digest: Digest;
  /** The bytes have the digest that the head named, where it named one. */
  readonly isAsSaid: boolean;
  /** They are one JSON object that can be taken for one thing only. */
  readonly isReadable: boolean;
  readonly mediaType: Outcome<string>;
  /** What a tag leads to is known by nothing but its form: an error document, a token or a page is not a manifest. */
  readonly isManifest: Outcome<boolean>;
}

/** JSON, signed or not: nothing that a browser would show, let alone run, when somebody opens a manifest's address. */
const JSON_TYPE = /^application\/[\w.+-]*j(?:son|ws)$/;

/** The document that the bytes are; undefined when they are not JSON, or two things at once. */
function documentOf(bytes: Uint8Array): ManifestDocument | undefined {
  try {
    return parseManifestDocument(bytes);
  } catch {
    return undefined;
  }
}

/**
 * The media type of a manifest. What is stored by its digest is everybody's, so one registry's word must not change what
 * another's image is taken for: it counts only where the bytes leave it open.
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

/** The value. @throws {RegistryError} MANIFEST_INVALID */
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

/** What the thread answers: the bytes go there and back without being copied. */
export interface DocumentReply {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly reading: DocumentReading;
}

const THREAD = new BackgroundThread<RawDocument, DocumentReply>({
  start: (options) => startWorker('document-worker', import.meta.url, options),
  waitingMaxBytes: 64 * 1024 * 1024,
});

/**
 * Reads a document, a large one on a thread: hashing and parsing 4 MiB takes longer than a hundred small answers.
 * @param bytes are the thread's from now on: only those of the answer may be used
 * @throws {RegistryError} UNAVAILABLE; 503 when as many large documents wait as may
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
