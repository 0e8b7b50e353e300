import type { HostProfile } from '../../host/profile.ts';
import { type JsonBounds, shapeOf, USUAL_BOUNDS } from '../../lib/json.ts';
import type { Digest } from '../../oci/digest.ts';
import { type ImageIndex, parseManifestDocument } from '../../oci/manifest.ts';
import { RegistryError } from '../../oci/registry-error.ts';
import { type DerivedForm, derivedForms } from '../../selection/derived-forms.ts';
import type { SelectionPolicy } from '../../selection/policy.ts';
import { select } from '../../selection/select.ts';
import type { DocumentSource } from './source.ts';

/** About 600 entries. Computing all derived forms of a larger index would take too long. */
const INDEX_BOUNDS: JsonBounds = { ...USUAL_BOUNDS, values: 20_000 };
/** About 30 entries. Each means that the index is written once. */
const QUICK_BOUNDS: JsonBounds = { ...USUAL_BOUNDS, values: 500 };

export function isFewForms(bytes: Uint8Array): boolean {
  return shapeOf(bytes, QUICK_BOUNDS).values <= QUICK_BOUNDS.values;
}

/** Parses an index. Undefined for any other document, and for an index that is too large. */
function readIndex({ bytes, mediaType }: DocumentSource): ImageIndex | undefined {
  if (shapeOf(bytes, INDEX_BOUNDS).values > INDEX_BOUNDS.values) return undefined;
  try {
    const document = parseManifestDocument(bytes, mediaType);
    return document.kind === 'index' ? document : undefined;
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    return undefined;
  }
}

/** Which derived forms of an index to compute, and how many bytes of them. */
export interface FormsDetails {
  readonly policy: SelectionPolicy;
  readonly formBytes: number;
}

function* formsOf(source: DocumentSource, { policy, formBytes }: FormsDetails): Generator<DerivedForm> {
  const document = readIndex(source);
  if (document === undefined) return;
  let left = formBytes;
  for (const form of derivedForms(document, policy)) {
    left -= form.bytes.length;
    if (left < 0) return;
    yield form;
  }
}

/** The digests of all indexes that a host may get in place of this one. */
export function listDerivedForms(source: DocumentSource, details: FormsDetails): readonly Digest[] {
  // Only digests are kept: the bytes of each form are freed before the next one is computed.
  return Array.from(formsOf(source, details), ({ digest }) => digest);
}

/** The derived form of an index with this digest. */
export function findDerivedForm(
  source: DocumentSource,
  details: FormsDetails & { readonly digest: Digest },
): DerivedForm | undefined {
  for (const form of formsOf(source, details)) if (form.digest === details.digest) return form;
  return undefined;
}

/**
 * True when this host can run the entry at this position of the index.
 * @throws {RegistryError} MANIFEST_INVALID
 */
export function runsForm(
  { bytes, mediaType }: DocumentSource,
  details: {
    readonly position: number | undefined;
    readonly profile: HostProfile;
    readonly policy: SelectionPolicy;
  },
): boolean {
  const { position, profile, policy } = details;
  const document = parseManifestDocument(bytes, mediaType);
  if (document.kind !== 'index' || position === undefined) return false;
  const status = select(document, profile, policy).verdicts[position]?.status;
  return status === 'winner' || status === 'eligible';
}
