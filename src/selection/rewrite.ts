import type { Descriptor, ImageIndex } from '../oci/manifest.ts';
import { type Demand, demandsText, formatAlternative, VARIANT_ANNOTATION } from './demands.ts';
import { REFERENCE_DIGEST, type Selection, type Verdict, type VerdictStatus } from './select.ts';

type JsonObject = Readonly<Record<string, unknown>>;

/** An index with the candidates reduced to the winner. */
export interface Rewritten {
  /** False: the entries are what they were, and the original bytes will do. */
  readonly changed: boolean;
  readonly raw: JsonObject;
  /** How many entries remain that a runtime can choose or look into. */
  readonly images: number;
}

/**
 * The platform by which every runtime takes the winner: bare, because old runtimes refuse `v3` and podman compares names as
 * strings. arm64 may say `v8`, 32-bit arm keeps its variant, Windows its versions, Linux its os.features (which mark an
 * encoding); `features` stay, since clients ignore them and people read them.
 */
function barePlatform({ platform, raw }: Descriptor): JsonObject {
  const written = raw['platform'] as JsonObject;
  if (platform === undefined) return written;
  const { os, architecture, variant } = platform;
  const dropped = new Set<string>();
  if (architecture !== 'arm' && !(architecture === 'arm64' && variant === 'v8')) dropped.add('variant');
  if (os !== 'windows') dropped.add('os.version');
  const kept = Object.entries(written).filter(([key]) => !dropped.has(key));
  const named = dropped.has('variant') || variant === undefined ? {} : { variant };
  const bare: JsonObject = { ...Object.fromEntries(kept), os, architecture, ...named };
  const isUnchanged =
    kept.length === Object.keys(written).length &&
    Object.entries(bare).every(([key, value]) => written[key] === value);
  return isUnchanged ? written : bare;
}

function annotationsOf({ raw }: Descriptor): JsonObject {
  const annotations: unknown = raw['annotations'];
  const isObject = typeof annotations === 'object' && annotations !== null && !Array.isArray(annotations);
  return isObject ? (annotations as JsonObject) : {};
}

/** A winner as it stands in a derived index; the very object when nothing about it changes. */
function bareEntry(entry: Descriptor): JsonObject {
  const { raw, platform } = entry;
  const bare = barePlatform(entry);
  if (bare === raw['platform']) return raw;
  const variant = platform?.variant;
  if (variant === undefined || bare['variant'] !== undefined) return { ...raw, platform: bare };
  return { ...raw, platform: bare, annotations: { ...annotationsOf(entry), [VARIANT_ANNOTATION]: variant } };
}

/** Demands as a set, whatever their order and the fields that made them. */
function demandsKey(requirements: readonly Demand[]): string {
  const demands = requirements.map(({ anyOf }) => JSON.stringify(anyOf.map(formatAlternative).sort()));
  return [...new Set(demands)].sort().join();
}

/** Which verdicts demand the same as this one. The usual case, one equal demand, takes no formatting. */
function demandsSameAs({ requirements: own }: Verdict): (verdict: Verdict) => boolean {
  const key = demandsKey(own);
  const [only] = own.length === 1 && own[0]?.anyOf.length === 1 ? own[0].anyOf : [];
  return ({ requirements }) => {
    const [first] = requirements[0]?.anyOf ?? [];
    if (only !== undefined && requirements.length === 1 && requirements[0]?.anyOf.length === 1) {
      return first?.kind === only.kind && first.value === only.value;
    }
    return demandsKey(requirements) === key;
  };
}

/**
 * The winner and its twins: the same image in another encoding (zstd, nydus), which its publisher put beside it for the
 * runtimes that can use it.
 */
function winnersOf({ winner, verdicts }: Selection): ReadonlySet<Verdict> {
  if (winner === undefined) return new Set();
  const isTwin = demandsSameAs(winner);
  return new Set(verdicts.filter((one) => one === winner || (one.status === 'eligible' && isTwin(one))));
}

/** The digests that an entry belongs to: of an attestation by its annotation, of an artifact by any that names one. */
function subjectsOf({ status, entry }: Verdict): readonly string[] {
  const { annotations } = entry;
  if (status === 'attestation') {
    const about = annotations[REFERENCE_DIGEST];
    return about === undefined ? [] : [about];
  }
  return status === 'unjudged' ? Object.values(annotations).filter((value) => value.includes(':')) : [];
}

/**
 * The verdicts whose entries stay. What belongs to an entry (an attestation, a SOCI index) goes with the last copy of it,
 * and takes with it what belongs to itself.
 */
function withoutOrphans(
  verdicts: readonly Verdict[],
  isKept: (verdict: Verdict) => boolean,
): readonly Verdict[] {
  const kept = new Set(verdicts.filter(isKept));
  if (kept.size === verdicts.length) return verdicts;
  const copies = new Map<string, number>();
  for (const verdict of verdicts) {
    const { digest } = verdict.entry;
    copies.set(digest, (copies.get(digest) ?? 0) + (kept.has(verdict) ? 1 : 0));
  }
  const belongings = new Map<string, Verdict[]>();
  for (const verdict of verdicts) {
    for (const subject of subjectsOf(verdict)) {
      if (!copies.has(subject) || subject === verdict.entry.digest) continue;
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
 * Runtimes take the first entry of their platform: nothing that stays without having won (an artifact, a nested index) may
 * stand before the winner.
 */
function winnersFirst(kept: readonly Verdict[], winners: ReadonlySet<Verdict>): readonly Verdict[] {
  const [first] = winners;
  const platform = first?.entry.platform;
  if (platform === undefined) return kept;
  const isRival = ({ status, entry }: Verdict) =>
    status === 'unjudged' &&
    entry.platform?.os === platform.os &&
    entry.platform.architecture === platform.architecture;
  const lastWinner = kept.findLastIndex((verdict) => winners.has(verdict));
  const rivals = new Set(kept.filter((verdict, at) => at < lastWinner && isRival(verdict)));
  if (rivals.size === 0) return kept;
  const others = kept.filter((verdict) => !rivals.has(verdict));
  const after = others.findLastIndex((verdict) => winners.has(verdict)) + 1;
  return [...others.slice(0, after), ...rivals, ...others.slice(after)];
}

/** What does not stay where it has not won. */
const GONE: ReadonlySet<VerdictStatus> = new Set(['eligible', 'ineligible', 'denied']);

/**
 * Reduces the candidates to the winner and its twins, or to nothing when there is none. Everything else stays, unknown
 * fields included: other platforms for `--platform`, nested indexes, attestations and artifacts as long as their image
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

/** Something that a runtime takes when it finds no better: an image or a nested index. */
function isChoosable({ status, entry }: Verdict): boolean {
  if (status === 'attestation' || entry.platform?.os === 'unknown') return false;
  return status !== 'unjudged' || entry.artifactType === undefined;
}

/** An index may hold tens of thousands of entries; the answer stays within the size of any manifest. */
const REFUSED_MAX = 32;

/**
 * Why an entry was refused, for a person who looks at the index. It says nothing of the host: every mirror has to derive the
 * same bytes for the same index.
 */
function refusalOf({ requirements }: Verdict): string {
  const demands = demandsText(requirements);
  return demands === ''
    ? 'not for this host: it lists no features'
    : `not for this host: it demands ${demands}`;
}

/** Where an entry that was refused says why. */
const REFUSED_ANNOTATION = 'io.metahub.refused';

/**
 * The index of an image that does not run on this host: its candidates stand under a platform that no runtime looks for,
 * so that it stops with "no matching manifest", and each says why. An HTTP error would make the runtime go on to the
 * upstream registry and install what does not run.
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
