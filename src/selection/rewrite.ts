import type { Descriptor } from '../oci/descriptor.ts';
import type { ImageIndex } from '../oci/image-index.ts';
import { REFERENCE_DIGEST, type Selection, type Verdict } from './select.ts';
import { canonicalArchitecture, VARIANT_ANNOTATION } from './variant.ts';

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
