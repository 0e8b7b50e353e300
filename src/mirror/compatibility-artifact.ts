import type { HostPlatform } from '../host/profile.ts';
import { parseJson } from '../lib/bounded-json.ts';
import type { Digest } from '../oci/digest.ts';
import { type Descriptor, type ManifestDocument, parseManifestDocument } from '../oci/manifest.ts';
import type { Repository } from '../oci/reference.ts';
import type { Registry, RequestOptions } from '../oci/registry.ts';
import { COMPATIBILITY, type Demand, UNREADABLE } from '../selection/demands.ts';
import type { ExtraDemands } from '../selection/select.ts';
import {
  candidatesOf,
  ENTRIES_MAX,
  type ReadDemandsOf,
  readSmallBlob,
  rememberDemands,
} from './entry-demands.ts';

/**
 * As node-feature-discovery attaches them, in 0.17 to 0.20.
 * @see https://kubernetes-sigs.github.io/node-feature-discovery/stable/usage/image-compatibility.html#oci-artifact
 */
const ARTIFACT_TYPE = 'application/vnd.nfd.image-compatibility.v1alpha1';
const SPEC_TYPE = /^application\/vnd\.nfd\.image-compatibility\.spec\.v1alpha1\+(?:yaml|json)$/;
const CREATED = 'org.opencontainers.image.created';
const SOURCE = 'NFD compatibility artifact';
/** Rules of a few kilobytes; what is larger is not read, in bytes. */
const SPEC_MAX_BYTES = 64 * 1024;
/** For so long an artifact that is attached later may go unnoticed, in milliseconds. */
export const COMPATIBILITY_TTL_MS = 10 * 60_000;

/** What the artifacts of an index and of its entries demand; `digest` is the index's own. */
export type ReadCompatibility = (
  repository: Repository,
  document: ManifestDocument,
  digest: Digest,
  options?: RequestOptions,
) => Promise<ExtraDemands | undefined>;

/** What cannot be read might demand anything: no host satisfies it. */
function unreadable(why: string): readonly Demand[] {
  return [{ key: COMPATIBILITY, anyOf: [{ kind: UNREADABLE, value: why }], source: SOURCE }];
}

/** The one that was made last counts, as for node-feature-discovery; one that does not say when is the oldest. */
function newestOf(artifacts: readonly Descriptor[]): Descriptor | undefined {
  const time = ({ annotations }: Descriptor) => Date.parse(annotations[CREATED] ?? '') || 0;
  return artifacts.reduce<Descriptor | undefined>(
    (newest, one) => (newest === undefined || time(one) >= time(newest) ? one : newest),
    undefined,
  );
}

/**
 * Reads the compatibility artifacts that refer to the entries of an index, or to the index itself: then they count for every
 * entry that has none. A request for each, and two for each artifact; so it is done where a policy asks for it only.
 */
export function createCompatibilityReader(
  registry: Registry,
  platform: HostPlatform,
  now: () => number,
): ReadCompatibility {
  const readOne: ReadDemandsOf = async (repository, digest, options) => {
    const found = await registry.referrers(repository, digest, { ...options, artifactType: ARTIFACT_TYPE });
    const list = parseManifestDocument(found.bytes, found.mediaType);
    const artifacts = list.kind === 'index' ? list.entries.filter(isCompatibility) : [];
    const newest = newestOf(artifacts);
    return newest === undefined ? [] : readArtifact(repository, newest, options);
  };
  const demandsOf = rememberDemands(readOne, { ttlMs: COMPATIBILITY_TTL_MS, now });

  async function readArtifact(
    repository: Repository,
    { digest }: Descriptor,
    options: RequestOptions,
  ): Promise<readonly Demand[]> {
    const { bytes, mediaType } = await registry.manifest(repository, { kind: 'digest', digest }, options);
    const document = parseManifestDocument(bytes, mediaType);
    const layer = document.kind === 'image' ? document.layers[0] : undefined;
    if (layer === undefined || !SPEC_TYPE.test(layer.mediaType)) {
      return unreadable(`${digest} has no specification of a known type`);
    }
    const text = await readSmallBlob(registry, repository, layer, { ...options, maxBytes: SPEC_MAX_BYTES });
    if (text === undefined) return unreadable(`${digest} is larger than ${SPEC_MAX_BYTES} bytes`);
    try {
      const { parseCompatibility } = await import('./compatibility-spec.ts');
      const sets = parseCompatibility(await parseSpec(text, layer.mediaType));
      const feature = { kind: COMPATIBILITY, value: JSON.stringify(sets) };
      return [{ key: COMPATIBILITY, anyOf: [feature], source: SOURCE }];
    } catch (error) {
      return unreadable(`${digest} cannot be read: ${(error as Error).message}`);
    }
  }

  return async (repository, document, digest, options = {}) => {
    const candidates = candidatesOf(document, platform);
    if (candidates.length === 0) return undefined;
    if (candidates.length > ENTRIES_MAX) {
      const why = unreadable(`of more than ${ENTRIES_MAX} entries for a platform none is looked up`);
      return new Map(candidates.map((entry) => [entry.digest, why]));
    }
    const [ofIndex, ...ofEntries] = await Promise.all(
      [digest, ...candidates.map((entry) => entry.digest)].map((one) => demandsOf(repository, one, options)),
    );
    return new Map(
      candidates.map((entry, at) => {
        const own = ofEntries[at] ?? [];
        return [entry.digest, own.length === 0 ? (ofIndex ?? []) : own];
      }),
    );
  };
}

function isCompatibility({ raw, mediaType }: Descriptor): boolean {
  return (raw['artifactType'] ?? mediaType) === ARTIFACT_TYPE;
}

/** JSON is YAML too, but needs no parser of it. */
async function parseSpec(bytes: Buffer, mediaType: string): Promise<unknown> {
  if (mediaType.endsWith('+json')) return parseJson(bytes);
  const { parseDocument } = await import('yaml');
  const document = parseDocument(bytes.toString('utf8'), { prettyErrors: false });
  const [problem] = document.errors;
  if (problem) throw problem;
  // Aliases multiply: an artifact has no need of any.
  return document.toJS({ maxAliasCount: 0 });
}
