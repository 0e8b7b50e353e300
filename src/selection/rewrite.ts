import { type JsonObject, objectOf } from '../lib/bounded-json.ts';
import { type Descriptor, type ImageIndex, isImageEntry } from '../oci/manifest.ts';
import { type Demand, demandsText, formatAlternative, VARIANT_ANNOTATION } from './demands.ts';
import { REFERENCE_DIGEST, type Selection, type Verdict, type VerdictStatus } from './select.ts';

/** An index with the candidates reduced to the winner. */
export interface Rewritten {
  /** False: the entries are unchanged, and the original bytes are the answer. */
  readonly changed: boolean;
  readonly raw: JsonObject;
  /** How many of the remaining entries a runtime can choose or look into. */
  readonly images: number;
}

/**
 * The platform by which every runtime accepts the winner. It is bare, because old runtimes refuse `v3` and podman
 * compares names as strings. It keeps `v8` of arm64, the variant of 32-bit arm, Windows' versions, and Linux'
 * os.features (which mark an encoding). It keeps `features`: clients ignore them, and people read them.
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

/** A winner in a derived index; the same object when nothing about it changes. */
function bareEntry(entry: Descriptor): JsonObject {
  const { raw, platform } = entry;
  const bare = barePlatform(entry);
  if (bare === raw['platform']) return raw;
  const variant = platform?.variant;
  if (variant === undefined || bare['variant'] !== undefined) return { ...raw, platform: bare };
  return { ...raw, platform: bare, annotations: { ...annotationsOf(entry), [VARIANT_ANNOTATION]: variant } };
}

const demandKeys = new WeakMap<readonly Demand[], string>();

/** Demands as a set, independent of their order and of the fields that contain them. */
function demandsKey(requirements: readonly Demand[]): string {
  const known = demandKeys.get(requirements);
  if (known !== undefined) return known;
  const demands = requirements.map(({ anyOf }) => JSON.stringify(anyOf.map(formatAlternative).sort()));
  const key = [...new Set(demands)].sort().join();
  demandKeys.set(requirements, key);
  return key;
}

/**
 * The winner, and after it its twins: the same image in another encoding (zstd, nydus), which its publisher put beside it for the
 * runtimes that can use it.
 */
function winnersOf({ winner, verdicts }: Selection): ReadonlySet<Verdict> {
  if (winner === undefined) return new Set();
  const key = demandsKey(winner.requirements);
  const isTwin = ({ status, requirements }: Verdict) =>
    status === 'eligible' && demandsKey(requirements) === key;
  return new Set([winner, ...verdicts.filter(isTwin)]);
}

/** The digests that an entry belongs to: of an attestation by its annotation, of an artifact by any that names one. */
function subjectsOf({ status, entry }: Verdict): readonly (string | undefined)[] {
  const { annotations } = entry;
  if (status === 'attestation') return [annotations[REFERENCE_DIGEST]];
  return status === 'unjudged' ? Object.values(annotations) : [];
}

/**
 * The verdicts whose entries stay. What belongs to an entry (an attestation, a SOCI index) goes when the last copy of
 * it goes, and so does whatever belongs to that.
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
 * Runtimes take the first entry of their platform: neither a twin nor an entry that stays without having won (an artifact,
 * a nested index) may stand before the winner.
 */
function winnersFirst(kept: readonly Verdict[], winners: ReadonlySet<Verdict>): readonly Verdict[] {
  // An unjudged entry that names a platform names the host's.
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

/** Removes entries that stay only when they have won. */
const GONE: ReadonlySet<VerdictStatus> = new Set(['eligible', 'ineligible', 'denied']);

/**
 * Reduces the candidates to the winner and its twins, or to nothing when there is no winner. Everything else stays,
 * unknown fields included: other platforms for `--platform`, nested indexes, and attestations and artifacts whose image
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

/** An index may have tens of thousands of entries; the answer must not exceed the size limit of a manifest. */
const REFUSED_MAX = 32;

/**
 * Why an entry was refused, for a person who looks at the index. It says nothing about the host: every mirror must
 * derive the same bytes from the same index.
 */
function refusalOf({ requirements }: Verdict): string {
  const demands = demandsText(requirements);
  return demands === ''
    ? 'not for this host: it lists no features'
    : `not for this host: it demands ${demands}`;
}

/** The annotation in which a refused entry says why. */
const REFUSED_ANNOTATION = 'io.metahub.refused';

/**
 * The index of an image that does not run on this host: its candidates get a platform that no runtime looks for, so
 * that the runtime stops with "no matching manifest", and each says why. After an HTTP error, the runtime would go on
 * to the upstream registry and install an image that does not run.
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
