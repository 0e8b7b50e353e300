import { type JsonObject, objectOf } from '../lib/json.ts';
import { type Descriptor, type ImageIndex, isImageEntry } from '../oci/manifest.ts';
import { type Demand, demandsText, formatAlternative, VARIANT_ANNOTATION } from './demands.ts';
import { REFERENCE_DIGEST, type Selection, type Verdict, type VerdictStatus } from './select.ts';

/** An index whose candidates are reduced to the winner. */
export interface Rewritten {
  /** False when the entries are unchanged, so that the original bytes are the answer. */
  readonly changed: boolean;
  readonly raw: JsonObject;
  /** How many remaining entries a runtime can choose or look into. */
  readonly images: number;
}

/**
 * The platform with which every runtime accepts the winner. It has no variant, because old runtimes refuse `v3` and
 * podman compares names as text. What stays: `v8` of arm64, the variant of 32-bit arm, Windows versions, Linux
 * os.features (which mark an encoding), and `features`, which clients ignore and people read.
 */
function barePlatform({ platform, raw }: Descriptor): JsonObject {
  const written = raw['platform'] as JsonObject;
  if (platform === undefined) return written;
  const { os, architecture, variant } = platform;
  const dropped = new Set<string>();
  if (architecture !== 'arm' && !(architecture === 'arm64' && variant === 'v8')) dropped.add('variant');
  if (os !== 'windows') dropped.add('os.version');
  const kept = Object.entries(written).filter(([key]) => !dropped.has(key));
  const named = dropped.has('variant') ? {} : { variant };
  const bare: JsonObject = { ...Object.fromEntries(kept), os, architecture, ...named };
  const isUnchanged =
    kept.length === Object.keys(written).length &&
    Object.entries(bare).every(([key, value]) => written[key] === value);
  return isUnchanged ? written : bare;
}

function annotationsOf({ raw }: Descriptor): JsonObject {
  return objectOf(raw['annotations']);
}

/** The winner's entry in a derived index. The same object when nothing changes. */
function bareEntry(entry: Descriptor): JsonObject {
  const { raw, platform } = entry;
  const bare = barePlatform(entry);
  if (bare === raw['platform']) return raw;
  const variant = platform?.variant;
  if (variant === undefined || bare['variant'] !== undefined) return { ...raw, platform: bare };
  return { ...raw, platform: bare, annotations: { ...annotationsOf(entry), [VARIANT_ANNOTATION]: variant } };
}

const demandKeys = new WeakMap<readonly Demand[], string>();

/** A key for a set of demands, independent of their order and of the fields that contain them. */
function demandsKey(requirements: readonly Demand[]): string {
  const known = demandKeys.get(requirements);
  if (known !== undefined) return known;
  const demands = requirements.map(({ anyOf }) => JSON.stringify(anyOf.map(formatAlternative).sort()));
  const key = [...new Set(demands)].sort().join();
  demandKeys.set(requirements, key);
  return key;
}

/**
 * The winner and its twins: the same image in other encodings (zstd, nydus), which the publisher added for runtimes
 * that support them.
 */
function winnersOf({ winner, verdicts }: Selection): ReadonlySet<Verdict> {
  if (winner === undefined) return new Set();
  const key = demandsKey(winner.requirements);
  const isTwin = ({ status, requirements }: Verdict) =>
    status === 'eligible' && demandsKey(requirements) === key;
  return new Set([winner, ...verdicts.filter(isTwin)]);
}

/** The digests that an entry belongs to: of an attestation by its annotation; of an artifact by any annotation. */
function subjectsOf({ status, entry }: Verdict): readonly (string | undefined)[] {
  const { annotations } = entry;
  if (status === 'attestation') return [annotations[REFERENCE_DIGEST]];
  return status === 'unjudged' ? Object.values(annotations) : [];
}

/**
 * The verdicts on the entries that stay. What belongs to an entry (an attestation, a SOCI index) is removed with
 * the last copy of that entry, and so is what belongs to it in turn.
 */
function withoutOrphans(
  verdicts: readonly Verdict[],
  isKept: (verdict: Verdict) => boolean,
): readonly Verdict[] {
  const kept = new Set(verdicts.filter(isKept));
  const copies = new Map<string, number>();
  for (const verdict of verdicts) {
    const { digest } = verdict.entry;
    copies.set(digest, (copies.get(digest) ?? 0) + (kept.has(verdict) ? 1 : 0));
  }
  const belongings = new Map<string | undefined, Verdict[]>();
  for (const verdict of verdicts) {
    for (const subject of subjectsOf(verdict)) {
      const others = belongings.get(subject);
      if (others === undefined) belongings.set(subject, [verdict]);
      else others.push(verdict);
    }
  }
  const gone = [...copies].filter(([, count]) => count === 0).map(([digest]) => digest);
  for (let digest = gone.pop(); digest !== undefined; digest = gone.pop()) {
    for (const orphan of belongings.get(digest) ?? []) {
      if (!kept.delete(orphan)) continue;
      const left = (copies.get(orphan.entry.digest) ?? 0) - 1;
      copies.set(orphan.entry.digest, left);
      if (left === 0) gone.push(orphan.entry.digest);
    }
  }
  return verdicts.filter((verdict) => kept.has(verdict));
}

/**
 * Puts the winner first, because runtimes take the first entry of their platform. Twins come after it, and so do
 * entries that stay without having won (an artifact, a nested index).
 */
function winnersFirst(kept: readonly Verdict[], winners: ReadonlySet<Verdict>): readonly Verdict[] {
  // An unjudged entry that states a platform states the host's.
  const isRival = ({ status, entry }: Verdict) => status === 'unjudged' && entry.platform !== undefined;
  const lastWinner = kept.findLastIndex((verdict) => winners.has(verdict));
  const rivals = new Set(kept.filter((verdict, at) => at < lastWinner && isRival(verdict)));
  const inOrder = [...winners].values();
  const others = kept
    .filter((verdict) => !rivals.has(verdict))
    .map((verdict) => (winners.has(verdict) ? (inOrder.next().value ?? verdict) : verdict));
  const after = others.findLastIndex((verdict) => winners.has(verdict)) + 1;
  return [...others.slice(0, after), ...rivals, ...others.slice(after)];
}

/** Entries that are removed unless they have won. */
const GONE: ReadonlySet<VerdictStatus> = new Set(['eligible', 'ineligible', 'denied']);

/**
 * Reduces the candidates to the winner and its twins; without a winner, to nothing. Everything else stays, unknown
 * fields included: other platforms for `--platform`, nested indexes, and attestations and artifacts whose image
 * stays.
 */
export function rewrite(index: ImageIndex, selection: Selection): Rewritten {
  const { verdicts } = selection;
  const winners = winnersOf(selection);
  const isKept = (verdict: Verdict) => winners.has(verdict) || !GONE.has(verdict.status);
  const kept = winnersFirst(withoutOrphans(verdicts, isKept), winners);
  const entries = kept.map((one) => (winners.has(one) ? bareEntry(one.entry) : one.entry.raw));
  const changed =
    kept.length !== verdicts.length || entries.some((raw, at) => raw !== verdicts[at]?.entry.raw);
  return {
    changed,
    raw: changed ? { ...index.raw, manifests: entries } : index.raw,
    images: kept.filter((verdict) => isChoosable(verdict)).length,
  };
}

/** True for what a runtime takes when it finds nothing better: an image or a nested index. */
function isChoosable({ status, entry }: Verdict): boolean {
  if (status === 'attestation' || entry.platform?.os === 'unknown') return false;
  return isImageEntry(entry) || entry.artifactType === undefined;
}

/** Limit of refused entries in the answer. An index may have tens of thousands, and a manifest's size is limited. */
const REFUSED_MAX = 32;

/**
 * Why an entry was refused, for people who read the index. It says nothing about the host, because all mirrors must
 * derive the same bytes from the same index.
 */
function refusalOf({ requirements }: Verdict): string {
  const demands = demandsText(requirements);
  return demands === ''
    ? 'not for this host: it lists no features'
    : `not for this host: it demands ${demands}`;
}

/** The annotation with the reason why an entry was refused. */
const REFUSED_ANNOTATION = 'io.metahub.refused';

/**
 * The index for a host that can run none of the candidates. Each gets a platform that no runtime looks for, so that
 * the runtime stops with "no matching manifest", and an annotation with the reason. After an HTTP error, the
 * runtime would fetch the image from upstream and install what does not run.
 */
export function refuseAll(index: ImageIndex, { verdicts }: Selection): JsonObject {
  const refused = new Set(verdicts.filter(({ status }) => status === 'ineligible').slice(0, REFUSED_MAX));
  const kept = withoutOrphans(
    verdicts,
    (one) => one.status !== 'denied' && (one.status !== 'ineligible' || refused.has(one)),
  );
  const entries = kept.map((one) => {
    if (!refused.has(one)) return one.entry.raw;
    return {
      ...one.entry.raw,
      platform: { architecture: 'unknown', os: 'unknown' },
      annotations: { ...annotationsOf(one.entry), [REFUSED_ANNOTATION]: refusalOf(one) },
    };
  });
  return { ...index.raw, manifests: entries };
}
