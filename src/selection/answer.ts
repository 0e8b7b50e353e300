import type { HostProfile } from '../host/profile.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { type Digest, digestOf } from '../oci/digest.ts';
import type { ImageIndex, ManifestDocument } from '../oci/image-index.ts';
import type { SelectionPolicy } from './policy.ts';
import { rewrite } from './rewrite.ts';
import { type ExtraDemands, type Selection, select } from './select.ts';
import { toldDemand, toldList } from './told.ts';

/** What a tag that names this document is answered with. */
export type Answer =
  /** The original bytes. */
  | { readonly kind: 'original'; readonly reason: string; readonly selection?: Selection | undefined }
  /** Bytes of our own, under their own digest. */
  | {
      readonly kind: 'derived';
      readonly bytes: Buffer;
      readonly digest: Digest;
      readonly mediaType: string;
      readonly reason: string;
      readonly selection: Selection;
    }
  /** The manifest of this entry, under its upstream digest. */
  | {
      readonly kind: 'entry';
      readonly entry: Descriptor;
      readonly reason: string;
      readonly selection: Selection;
    }
  /** Nothing that this host can run. */
  | {
      readonly kind: 'refused';
      readonly reason: string;
      readonly detail: RefusalDetail;
      readonly selection: Selection;
    };

/** For the `detail` of the error that the client sees. */
export interface RefusalDetail {
  readonly host: readonly string[];
  /** The first of them. */
  readonly entries: readonly { readonly digest: string; readonly reason: string }[];
}

/** Entries whose reasons an error lists: the rest is for `metahub explain`. */
const ENTRIES_TOLD_MAX = 32;

export interface AnswerOptions {
  /** The client can take an image index. */
  readonly acceptsIndex: boolean;
  /** Demands from outside the index, by digest of the entry. */
  readonly extra?: ExtraDemands | undefined;
}

/**
 * The answer for a host, from the document that a tag names. Same input, same bytes: every replica derives the same
 * digest, and answering an answer again changes nothing.
 */
export function answerFor(
  document: ManifestDocument,
  profile: HostProfile,
  policy: SelectionPolicy,
  { acceptsIndex, extra }: AnswerOptions,
): Answer {
  if (document.kind === 'image') return { kind: 'original', reason: 'one image, no index' };
  if (document.kind === 'opaque') return { kind: 'original', reason: document.reason };
  const selection = select(document, profile, policy, extra);
  const wantsIndex = acceptsIndex || policy.answer === 'index';
  if (!wantsIndex) return withoutIndex(selection, profile, policy);
  const undecided = nothingToDecide(selection, policy);
  if (undecided !== undefined) return { kind: 'original', reason: undecided, selection };
  if (selection.winner === undefined && policy.onNoMatch === 'upstream') return upstreamsOwn(selection);
  if (selection.winner !== undefined && policy.answer === 'manifest') {
    return { kind: 'entry', entry: selection.winner.entry, reason: selection.winner.reason, selection };
  }
  return derived(document, selection, profile);
}

/** A client that takes no index gets the winner's own manifest, as registries have always done. */
function withoutIndex(selection: Selection, profile: HostProfile, policy: SelectionPolicy): Answer {
  const { winner } = selection;
  if (winner !== undefined) {
    const reason = `the client takes no index; ${winner.reason}`;
    return { kind: 'entry', entry: winner.entry, reason, selection };
  }
  if (!selection.verdicts.some(({ status }) => status === 'ineligible')) {
    return { kind: 'original', reason: 'no entry is for the platform of this host', selection };
  }
  return policy.onNoMatch === 'upstream' ? upstreamsOwn(selection) : refusal(selection, profile);
}

/** Why the original will do, or undefined when there is something to decide. */
function nothingToDecide({ verdicts }: Selection, { pin }: SelectionPolicy): string | undefined {
  const candidates = verdicts.filter(({ status }) => CANDIDATE.has(status));
  if (candidates.length === 0) return 'no entry is for the platform of this host';
  const demanding = candidates.some(({ requirements }) => requirements.length > 0);
  const pinned = pin !== undefined && candidates.some(({ entry }) => entry.digest === pin);
  return demanding || pinned ? undefined : 'no entry for this platform demands anything';
}

const CANDIDATE = new Set(['winner', 'eligible', 'ineligible']);

function derived(document: ImageIndex, selection: Selection, profile: HostProfile): Answer {
  const { changed, raw, images } = rewrite(document, selection, profile.platform);
  const { winner } = selection;
  if (!changed) {
    return { kind: 'original', reason: 'the only entry for this platform is what it should be', selection };
  }
  if (winner === undefined && images === 0) return refusal(selection, profile);
  const bytes = Buffer.from(JSON.stringify(raw));
  const reason =
    winner === undefined
      ? `${noneEligible(selection)}; only the other platforms are left`
      : `entry ${winner.position + 1} of ${selection.verdicts.length} ${winner.reason}`;
  return {
    kind: 'derived',
    bytes,
    digest: digestOf(bytes),
    mediaType: document.mediaType,
    reason,
    selection,
  };
}

function upstreamsOwn(selection: Selection): Answer {
  return {
    kind: 'original',
    reason: `${noneEligible(selection)}; on-no-match serves the original`,
    selection,
  };
}

function refusal(selection: Selection, { features }: HostProfile): Answer {
  const entries = selection.verdicts
    .filter(({ status }) => status === 'ineligible')
    .slice(0, ENTRIES_TOLD_MAX)
    .map(({ entry, reason }) => ({ digest: entry.digest, reason }));
  return {
    kind: 'refused',
    reason: noneEligible(selection),
    detail: { host: features, entries },
    selection,
  };
}

/** Fails only where match is exact. */
const NO_FEATURES = 'no features';

/** One entry's reason whole; of several the demands that fail. */
function noneEligible({ verdicts }: Selection): string {
  const ineligible = verdicts.filter(({ status }) => status === 'ineligible');
  const [first] = ineligible;
  if (first === undefined) return 'no entry is eligible';
  if (ineligible.length === 1) return `the only entry for this platform ${first.reason}`;
  const failing = new Set(
    ineligible.flatMap(({ failures }) =>
      failures.slice(0, 1).map(({ demand }) => toldDemand(demand) || NO_FEATURES),
    ),
  );
  const which = toldList([...failing], '; ', (demand) => demand);
  return `none of ${ineligible.length} entries for this platform runs here (failing: ${which})`;
}
