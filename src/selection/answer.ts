import type { HostProfile } from '../host/profile.ts';
import { type Digest, digestOf } from '../oci/digest.ts';
import type { Descriptor, ImageIndex, ManifestDocument } from '../oci/manifest.ts';
import { canonicalArchitecture, VARIANT_ANNOTATION } from './demands.ts';
import type { SelectionPolicy } from './policy.ts';
import { type ExtraDemands, REFERENCE_DIGEST, type Selection, select, type Verdict } from './select.ts';
import { demandText, joinLimited } from './truncate.ts';

type JsonObject = Readonly<Record<string, unknown>>;

/** An index with the host's platform reduced to the winner. */
export interface Rewritten {
  /** False: the entries are what they were, and the original bytes will do. */
  readonly changed: boolean;
  readonly raw: JsonObject;
  /** How many entries with a platform of their own remain: those a runtime can choose. */
  readonly images: number;
}

/** In the group of entries that only the winner remains of. */
function isOfHost(verdict: Verdict, host: { os: string; architecture: string }): boolean {
  const { platform } = verdict.entry;
  return (
    platform?.os === host.os &&
    canonicalArchitecture(platform.architecture) === canonicalArchitecture(host.architecture)
  );
}

/**
 * The platform by which every runtime takes the winner: bare, because old runtimes refuse `v3` and podman compares
 * variants as strings. arm64 may say `v8`, 32-bit arm keeps its variant, Windows its versions; `features` stay, since
 * clients ignore them and people read them.
 */
function barePlatform(entry: Descriptor): JsonObject {
  const { platform, raw } = entry;
  const written = raw['platform'] as JsonObject;
  if (platform === undefined) return written;
  const architecture = canonicalArchitecture(platform.architecture);
  const dropped = new Set<string>();
  if (architecture !== 'arm' && !(architecture === 'arm64' && platform.variant === 'v8'))
    dropped.add('variant');
  if (platform.os !== 'windows') {
    dropped.add('os.features');
    dropped.add('os.version');
  }
  const kept = Object.entries(written).filter(([key]) => !dropped.has(key));
  const unchanged = architecture === platform.architecture && kept.length === Object.keys(written).length;
  return unchanged ? written : { ...Object.fromEntries(kept), architecture };
}

/** The winner as it stands in a derived index; the very object when nothing about it changes. */
function bareEntry(entry: Descriptor): JsonObject {
  const { raw, platform } = entry;
  const bare = barePlatform(entry);
  if (bare === raw['platform']) return raw;
  const variant = platform?.variant;
  if (variant === undefined || bare['variant'] !== undefined) return { ...raw, platform: bare };
  const annotations: unknown = raw['annotations'];
  const others = typeof annotations === 'object' && !Array.isArray(annotations) ? annotations : {};
  return { ...raw, platform: bare, annotations: { ...others, [VARIANT_ANNOTATION]: variant } };
}

/**
 * The verdicts whose entries stay. An attestation goes with the last entry of the digest that it is about, and takes
 * with it what attests to itself; what it is about may stand twice in an index.
 */
function withoutOrphans(
  verdicts: readonly Verdict[],
  isKept: (verdict: Verdict) => boolean,
): readonly Verdict[] {
  const kept = new Set(verdicts.filter(isKept));
  if (kept.size === verdicts.length) return verdicts;
  const copies = new Map<string, number>();
  const attestations = new Map<string, Verdict[]>();
  for (const verdict of verdicts) {
    const { digest, annotations } = verdict.entry;
    copies.set(digest, (copies.get(digest) ?? 0) + (kept.has(verdict) ? 1 : 0));
    const about = verdict.status === 'attestation' ? annotations[REFERENCE_DIGEST] : undefined;
    if (about === undefined) continue;
    const others = attestations.get(about);
    if (others === undefined) attestations.set(about, [verdict]);
    else others.push(verdict);
  }
  const gone = [...copies].filter(([, count]) => count === 0).map(([digest]) => digest);
  for (let digest = gone.pop(); digest !== undefined; digest = gone.pop()) {
    for (const orphan of attestations.get(digest) ?? []) {
      if (!kept.delete(orphan)) continue;
      const left = (copies.get(orphan.entry.digest) ?? 0) - 1;
      copies.set(orphan.entry.digest, left);
      if (left === 0) gone.push(orphan.entry.digest);
    }
  }
  return verdicts.filter((verdict) => kept.has(verdict));
}

/**
 * Reduces the host's platform to the winner, or to nothing when there is none. Everything else stays, unknown fields
 * included: other platforms for `--platform`, attestations as long as their image stays.
 */
export function rewrite(
  index: ImageIndex,
  { winner, verdicts }: Selection,
  host: { readonly os: string; readonly architecture: string },
): Rewritten {
  const isKept = (verdict: Verdict) =>
    verdict === winner || verdict.status === 'attestation' || !isOfHost(verdict, host);
  const kept = withoutOrphans(verdicts, isKept);
  const entries = kept.map((verdict) => (verdict === winner ? bareEntry(verdict.entry) : verdict.entry.raw));
  const changed =
    kept.length !== verdicts.length || (winner !== undefined && bareEntry(winner.entry) !== winner.entry.raw);
  return {
    changed,
    raw: changed ? { ...index.raw, manifests: entries } : index.raw,
    images: kept.filter(({ status }) => status !== 'attestation').length,
  };
}

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
      failures.slice(0, 1).map(({ demand }) => demandText(demand) || NO_FEATURES),
    ),
  );
  const which = joinLimited([...failing], '; ', (demand) => demand);
  return `none of ${ineligible.length} entries for this platform runs here (failing: ${which})`;
}
