import { profileOfFeatures } from '../host/assumed-features.ts';
import type { HostProfile } from '../host/profile.ts';
import { normalizePlatform } from '../lib/platform.ts';
import { type Descriptor, type ImageIndex, isImageEntry } from '../oci/manifest.ts';
import { type DerivedIndex, derivedIndex } from './answer.ts';
import { demandsText } from './demands.ts';
import type { SelectionPolicy } from './policy.ts';
import { refuseAll, rewrite } from './rewrite.ts';
import { isAttestation, type Selection, select, type Verdict, type VerdictStatus } from './select.ts';

/** The derived index that hosts of one kind get. */
export interface DerivedForm extends DerivedIndex {
  /** `linux/amd64`: the platform of these hosts. */
  readonly platform: string;
  /** What the entry demands that they run; undefined when they run no entry of their platform. */
  readonly demands: string | undefined;
  /** The position of that entry in the index. */
  readonly position: number | undefined;
}

const CANDIDATES: ReadonlySet<VerdictStatus> = new Set(['winner', 'eligible', 'ineligible']);

function isCandidate(entry: Descriptor): boolean {
  return isImageEntry(entry) && !isAttestation(entry);
}

/** One host of each platform that has images here; only its platform counts. */
function platformsOf({ entries }: ImageIndex): readonly HostProfile[] {
  const bare = profileOfFeatures([]);
  const platforms = new Map<string, HostProfile>();
  // No entry is chosen for other platforms: an index may have any number of them.
  for (const { platform } of entries.filter(isCandidate)) {
    if (platform === undefined || platform.os === 'unknown') continue;
    const { os, architecture } = normalizePlatform(platform);
    // To a host of arm v7 an entry without a variant demands v7.
    const variants = architecture === 'arm' ? [{}, { variant: 'v7' }] : [{}];
    for (const variant of variants) {
      const host = { os, architecture, ...variant };
      platforms.set(JSON.stringify(host), { ...bare, platform: host });
    }
  }
  return [...platforms.values()];
}

/** The selection of a host that runs only this candidate, or none. */
function selectionOf(verdicts: readonly Verdict[], winner: Verdict | undefined): Selection {
  const won = winner && { ...winner, status: 'winner' as const };
  const rest: VerdictStatus = winner === undefined ? 'ineligible' : 'eligible';
  const all = verdicts.map((one) => {
    if (one === winner && won !== undefined) return won;
    return CANDIDATES.has(one.status) ? { ...one, status: rest } : one;
  });
  return { winner: won, verdicts: all };
}

/**
 * Every index that any host may get in place of this one. For each platform there is one for each entry that may win,
 * and one for hosts that run none of them. Lazy: each costs as much as writing the index.
 */
export function* derivedForms(index: ImageIndex, policy: SelectionPolicy): Generator<DerivedForm> {
  for (const profile of platformsOf(index)) {
    const { os, architecture } = profile.platform;
    const { verdicts } = select(index, profile, policy);
    const candidates = verdicts.filter(({ status }) => CANDIDATES.has(status));
    for (const winner of [...candidates, undefined]) {
      const { changed, raw, images } = rewrite(index, selectionOf(verdicts, winner));
      if (!changed) continue;
      yield {
        ...derivedIndex(
          images === 0 ? refuseAll(index, selectionOf(verdicts, winner)) : raw,
          index.mediaType,
        ),
        platform: `${os}/${architecture}`,
        demands: winner && demandsText(winner.requirements),
        position: winner?.position,
      };
    }
  }
}
