import type { HostProfile } from '../host/profile.ts';
import { exactJson } from '../lib/json.ts';
import { joinLimited } from '../lib/text.ts';
import { type Digest, digestOf } from '../oci/digest.ts';
import type { Descriptor, ImageIndex, ManifestDocument } from '../oci/manifest.ts';
import { type Demand, demandText, formatDemand, VARIANT_SOURCE } from './demands.ts';
import { viewOf } from './host-view.ts';
import type { SelectionPolicy } from './policy.ts';
import { refuseAll, rewrite } from './rewrite.ts';
import { type ExtraDemands, type Selection, select, type Verdict } from './select.ts';

/** What to send for a tag that points to this document. */
export type Answer =
  /** Send the original bytes. */
  | { readonly kind: 'original'; readonly reason: string; readonly selection?: Selection | undefined }
  | ({ readonly kind: 'derived'; readonly reason: string; readonly selection: Selection } & DerivedIndex)
  /** Send the manifest of this entry, with its upstream digest. */
  | {
      readonly kind: 'entry';
      readonly entry: Descriptor;
      readonly reason: string;
      readonly selection: Selection;
    }
  /** No entry runs on this host. */
  | {
      readonly kind: 'refused';
      readonly reason: string;
      readonly detail: RefusalDetail;
      /** An index at which a runtime stops. Undefined for a client that accepts no index; it gets an error. */
      readonly index: DerivedIndex | undefined;
      readonly selection: Selection;
    };

/** An index that MetaHub wrote, under its own digest. */
export interface DerivedIndex {
  readonly bytes: Buffer;
  readonly digest: Digest;
  readonly mediaType: string;
}

/** The `detail` of the error for a client that accepts no index. */
export interface RefusalDetail {
  readonly host: readonly string[];
  /** At most {@link ENTRIES_LISTED_MAX} entries. */
  readonly entries: readonly { readonly digest: string; readonly reason: string }[];
}

/** Limit of entries whose reasons an error lists. `metahub explain` shows all. */
const ENTRIES_LISTED_MAX = 32;

export interface AnswerOptions {
  /** True when the client accepts an image index. */
  readonly acceptsIndex: boolean;
  /** Demands from outside the index, by digest of the entry. */
  readonly extra?: ExtraDemands | undefined;
}

/**
 * Decides what a host gets for a document that a tag points to. The same input gives the same bytes, so every
 * replica derives the same digest, and deriving from a derived index changes nothing.
 */
export function answerFor(
  document: ManifestDocument,
  profile: HostProfile,
  policy: SelectionPolicy,
  { acceptsIndex, extra }: AnswerOptions,
): Answer {
  if (document.kind === 'image') return { kind: 'original', reason: 'the image is not an index' };
  if (document.kind === 'opaque') return { kind: 'original', reason: document.reason };
  const selection = select(document, profile, policy, extra);
  const wantsIndex = acceptsIndex || policy.answer === 'index';
  if (!wantsIndex) return withoutIndex(selection, profile, policy);
  const isDenied = deniesAny(selection);
  const undecided = isDenied ? undefined : nothingToDecide(selection, profile, policy);
  if (undecided !== undefined) return { kind: 'original', reason: undecided, selection };
  if (selection.winner === undefined && policy.onNoMatch === 'upstream' && !isDenied) {
    return upstreamsOwn(selection);
  }
  if (selection.winner !== undefined && policy.answer === 'manifest') {
    const { entry, reason } = selection.winner;
    return { kind: 'entry', entry, reason, selection };
  }
  return derived(document, selection, profile);
}

function deniesAny({ verdicts }: Selection): boolean {
  return verdicts.some(({ status }) => status === 'denied');
}

/** A client that accepts no index gets the manifest of the winner, as from any registry. */
function withoutIndex(selection: Selection, profile: HostProfile, policy: SelectionPolicy): Answer {
  const { winner } = selection;
  if (winner !== undefined) {
    const reason = `the client accepts no index; ${winner.reason}`;
    return { kind: 'entry', entry: winner.entry, reason, selection };
  }
  const isDenied = deniesAny(selection);
  if (!isDenied && !selection.verdicts.some(({ status }) => status === 'ineligible')) {
    return { kind: 'original', reason: NO_CANDIDATE, selection };
  }
  return policy.onNoMatch === 'upstream' && !isDenied
    ? upstreamsOwn(selection)
    : refusal(selection, profile, undefined);
}

const NO_CANDIDATE = 'no entry is for the platform of this host';
const CANDIDATE = new Set(['winner', 'eligible', 'ineligible']);

/** The reason to send the original; undefined when there is something to decide. */
function nothingToDecide(
  { verdicts }: Selection,
  profile: HostProfile,
  { pin }: SelectionPolicy,
): string | undefined {
  const candidates = verdicts.filter(({ status }) => CANDIDATE.has(status));
  if (candidates.length === 0) return NO_CANDIDATE;
  if (pin !== undefined && candidates.some(({ entry }) => entry.digest === pin)) return undefined;
  const isPlain = candidates.some(({ requirements }) => requirements.length === 0);
  const demands = candidates
    .flatMap(({ requirements }) => requirements)
    .filter((demand) => !(isPlain && isFirstLevel(demand)));
  if (demands.length === 0) return 'no entry for this platform demands hardware';
  // Every runtime detects the variant of 32-bit arm, and takes the newest one that it can run.
  const isArm = viewOf(profile).architecture === 'arm';
  return isArm && demands.every(({ source }) => source === VARIANT_SOURCE)
    ? 'the entries for this platform differ only in the variant of arm, which the runtime chooses itself'
    : undefined;
}

/** True for `v1` of amd64. Beside an entry without a variant it means nothing: runtimes treat both alike. */
function isFirstLevel(demand: Demand): boolean {
  return demand.source === VARIANT_SOURCE && formatDemand(demand) === 'x86-64-v1';
}

/** Serializes a derived index. */
export function derivedIndex(raw: object, mediaType: string): DerivedIndex {
  const bytes = Buffer.from(exactJson(raw));
  return { bytes, digest: digestOf(bytes), mediaType };
}

function derived(document: ImageIndex, selection: Selection, profile: HostProfile): Answer {
  const { changed, raw, images } = rewrite(document, selection);
  const { winner, verdicts } = selection;
  if (!changed) {
    return { kind: 'original', reason: 'the entries for this platform already are as derived', selection };
  }
  if (images === 0) {
    const index = derivedIndex(refuseAll(document, selection), document.mediaType);
    return refusal(selection, profile, index);
  }
  const reason =
    winner === undefined
      ? `${noneEligible(selection)}; only the other platforms are left`
      : `entry ${winner.position + 1} of ${verdicts.length} ${winner.reason}`;
  return { kind: 'derived', ...derivedIndex(raw, document.mediaType), reason, selection };
}

function upstreamsOwn(selection: Selection): Answer {
  return {
    kind: 'original',
    reason: `${noneEligible(selection)}; on-no-match serves the original`,
    selection,
  };
}

function refusal(selection: Selection, { features }: HostProfile, index: DerivedIndex | undefined): Answer {
  const entries = selection.verdicts
    .filter(({ status }) => status === 'ineligible')
    .slice(0, ENTRIES_LISTED_MAX)
    .map(({ entry, reason }) => ({ digest: entry.digest, reason }));
  return {
    kind: 'refused',
    reason: noneEligible(selection),
    detail: { host: features, entries },
    index,
    selection,
  };
}

/** The name of an empty set of demands, which fails only with `match: exact`. */
const NO_FEATURES = 'no features';

/** Why no entry runs here: the whole reason if there is one entry, otherwise the demands that fail. */
function noneEligible({ verdicts }: Selection): string {
  const ineligible = verdicts.filter(({ status }) => status === 'ineligible');
  const [first, ...others] = ineligible;
  if (first === undefined) return denials(verdicts);
  if (others.length === 0) return `the only entry for this platform ${first.reason}`;
  const failing = new Set(
    ineligible.flatMap(({ failures }) =>
      failures.slice(0, 1).map(({ demand }) => demandText(demand) || NO_FEATURES),
    ),
  );
  const which = joinLimited([...failing], '; ', (demand) => demand);
  return `none of ${ineligible.length} entries for this platform runs here (failing: ${which})`;
}

/** The reasons for which the operator denies entries, each once. */
function denials(verdicts: readonly Verdict[]): string {
  const denied = verdicts.filter(({ status }) => status === 'denied').map(({ reason }) => reason);
  return joinLimited([...new Set(denied)], '; ', (reason) => reason);
}
