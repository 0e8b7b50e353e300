import { profileOfFeatures } from '../host/assumed-features.ts';
import type { HostProfile } from '../host/profile.ts';
import { normalizePlatform } from '../lib/platform.ts';
import { type Descriptor, type ImageIndex, isImageEntry } from '../oci/manifest.ts';
import { type DerivedIndex, derivedIndex } from './answer.ts';
import { demandsText } from './demands.ts';
import type { SelectionPolicy } from './policy.ts';
import { refuseAll, rewrite } from './rewrite.ts';
import { isAttestation, type Selection, select, type Verdict, type VerdictStatus } from './select.ts';

/** One of the derived indexes that hosts may get in place of the same index. */
export interface DerivedForm extends DerivedIndex {
  /** The platform of these hosts: `linux/amd64`. */
  readonly platform: string;
  /** The demands of the entry that is left for them; undefined when none is left. */
  readonly demands: string | undefined;
  /** The position of that entry in the original index. */
  readonly position: number | undefined;
}

const CANDIDATES: ReadonlySet<VerdictStatus> = new Set(['winner', 'eligible', 'ineligible']);

function isCandidate(entry: Descriptor): boolean {
  return isImageEntry(entry) && !isAttestation(entry);
}

/** A profile for each platform that has images in the index. Only its platform matters. */
function platformsOf({ entries }: ImageIndex): readonly HostProfile[] {
  const bare = profileOfFeatures([]);
  const platforms = new Map<string, HostProfile>();
  // For other platforms nothing is selected, and an index may contain any number of them.
  for (const { platform } of entries.filter(isCandidate)) {
    if (platform === undefined || platform.os === 'unknown') continue;
    const { os, architecture } = normalizePlatform(platform);
    // On a host of arm v7, an entry without a variant demands v7.
    const variants = architecture === 'arm' ? [{}, { variant: 'v7' }] : [{}];
    for (const variant of variants) {
      const host = { os, architecture, ...variant };
      platforms.set(JSON.stringify(host), { ...bare, platform: host });
    }
  }
  return [...platforms.values()];
}

/** The selection of a host that can run only this candidate; without one, none. */
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
 * All indexes that a host may get in place of this one. For each platform there is one for each entry that may win,
 * and one for hosts that can run none. A generator, because each takes as long as writing the index.
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
