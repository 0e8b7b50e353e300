import type { HostPlatform } from '../../../host/profile.ts';
import { whyUnreadable } from '../../../lib/config-error.ts';
import { readRegularFile } from '../../../lib/regular-file.ts';
import { DerivedSearch } from '../../../mirror/derived-search.ts';
import {
  createCompatibilityReader,
  createEnvironmentReader,
  joinDemands,
} from '../../../mirror/entry-demands.ts';
import { type Digest, digestOf } from '../../../oci/digest.ts';
import { type ManifestDocument, parseManifestDocument } from '../../../oci/manifest.ts';
import {
  formatReference,
  type ManifestReference,
  type Repository,
  type Tag,
} from '../../../oci/reference.ts';
import { MANIFEST_MAX_BYTES, type Registry } from '../../../oci/registry.ts';
import { RegistryError } from '../../../oci/registry-error.ts';
import type { DerivedForm } from '../../../selection/derived-forms.ts';
import { DEFAULT_POLICY, type SelectionPolicy } from '../../../selection/policy.ts';
import type { ExtraDemands } from '../../../selection/select.ts';
import type { BenchmarkResult } from '../../benchmark-results.ts';
import { lookupFailure, parseImage, withRegistry } from '../../image-lookup.ts';
import { suggestEntry } from '../../settings/catalog.ts';
import { readRules } from '../../settings/rules.ts';
import type { ResolvedSettings, Setting } from '../../settings/setting.ts';
import { LOOKUP_SETTINGS, SERVE_SETTINGS } from '../../settings/table.ts';
import { TextList } from '../../settings/values.ts';
import { type ExitStatus, UserError } from '../../user-error.ts';

/** The settings of `serve`, for several hosts. */
export const EXPLAIN_SETTINGS = {
  ...LOOKUP_SETTINGS,
  /** The directory with the results of `metahub bench`. */
  data: SERVE_SETTINGS.data,
  profile: {
    flags: '--profile <file>',
    repeatable: true,
    help: 'use this host (the output of detect --json); several make a table of hosts and entries',
    fallback: () => [],
    schema: TextList,
  } satisfies Setting<readonly string[]>,
} as const;

export interface ExplainFlags {
  readonly json?: boolean;
  readonly digest?: boolean;
  readonly manifest?: string;
  readonly requires?: boolean;
  readonly readConfig?: boolean;
}

type Settings = ResolvedSettings<Omit<typeof LOOKUP_SETTINGS, 'profile'>>;

interface SourceDocument {
  readonly document: ManifestDocument;
  readonly bytes: Buffer;
  readonly digest: Digest;
}

/** The subject of an explanation: a document, its name, and how its entries are judged. */
export interface ExplainSubject {
  readonly name: string;
  readonly source: SourceDocument;
  readonly policy: SelectionPolicy;
  /** True when requested by digest: the mirror does not change such an answer. */
  readonly isPinned: boolean;
  /** Name of the disabled catalogue entry that has a list for the image. */
  readonly suggestion?: string | undefined;
  /** The demands in the configurations of its images, if the policy reads them. */
  readonly extra: ExtraDemands | undefined;
  /** Set when no registry has the digest: MetaHub derived it from `source`, the index of this tag. */
  readonly derived?: { readonly tag: Tag; readonly form: DerivedForm } | undefined;
  /** What `metahub bench` measured for this image on this machine. */
  readonly measured?: readonly BenchmarkResult[];
}

/** Parses the answer of a registry, or the content of a file. @throws {UserError} with this status */
function sourceOf(
  bytes: Buffer,
  mediaType: string | undefined,
  name: string,
  exitStatus: ExitStatus = 1,
): SourceDocument {
  try {
    return { document: parseManifestDocument(bytes, mediaType), bytes, digest: digestOf(bytes) };
  } catch (cause) {
    if (!(cause instanceof RegistryError)) throw cause;
    throw new UserError(`${name}: ${cause.message}`, {
      cause,
      nextStep: 'An image index in JSON is expected, as a registry sends it.',
      exitStatus,
    });
  }
}

async function readDocument(path: string): Promise<SourceDocument> {
  let bytes: Buffer;
  try {
    bytes = await readRegularFile(path);
  } catch (cause) {
    throw new UserError(`--manifest ${path}: ${whyUnreadable(cause)}`, {
      cause,
      nextStep:
        'Name a file that holds an image index, as metahub inspect --raw or skopeo inspect --raw prints it.',
    });
  }
  if (bytes.length > MANIFEST_MAX_BYTES) {
    throw new UserError(`${path} is larger than any manifest (4 MiB)`, { exitStatus: 2 });
  }
  return sourceOf(bytes, undefined, path, 2);
}

/** Reads demands that the registry stores outside the index, for entries of any of these platforms. */
async function furtherDemands(
  registry: Registry,
  repository: Repository,
  { document, bytes, digest }: SourceDocument,
  { readConfig, readCompatibility }: SelectionPolicy,
  platforms: readonly HostPlatform[],
): Promise<ExtraDemands | undefined> {
  const index = { bytes, mediaType: document.mediaType };
  const read = platforms.map(async (platform) =>
    joinDemands(
      readConfig ? await createEnvironmentReader(registry, platform)(repository, index) : undefined,
      readCompatibility
        ? await createCompatibilityReader(registry, platform, () => performance.now())(
            repository,
            index,
            digest,
          )
        : undefined,
    ),
  );
  return new Map((await Promise.all(read)).flatMap((demands) => [...(demands ?? [])]));
}

/**
 * Adds the suggestion to an error. A tag that only a list of the catalogue defines does not exist until the
 * list is enabled.
 */
function withSuggestion(cause: unknown, suggestion: string | undefined): unknown {
  if (suggestion === undefined || !(cause instanceof UserError)) return cause;
  const nextStep = `The catalogue has a list for it: metahub catalog enable ${suggestion}`;
  return new UserError(cause.message, { cause: cause.cause, nextStep });
}

/** Fetches the named document; for a digest that no registry has, the index that MetaHub derived it from. */
async function fetchSource(
  registry: Registry,
  repository: Repository,
  reference: ManifestReference,
  policyFor: (tag: Tag) => SelectionPolicy,
): Promise<Pick<ExplainSubject, 'source' | 'derived'>> {
  const name = formatReference(repository, reference);
  try {
    const { bytes, mediaType } = await registry.manifest(repository, reference);
    return { source: sourceOf(bytes, mediaType, name) };
  } catch (error) {
    const isUnknown = error instanceof RegistryError && error.status === 404;
    if (!isUnknown || reference.kind === 'tag') throw error;
    const search = new DerivedSearch({
      next: registry,
      tagsOf: async () => [],
      now: () => performance.now(),
    });
    const found = await search.find(repository, reference.digest, policyFor, {});
    if (!found) throw error;
    const { tag, form, upstream } = found;
    return { source: sourceOf(upstream.bytes, upstream.mediaType, name), derived: { tag, form } };
  }
}

/** Reads the subject from a registry or a file. @throws {UserError} */
export async function readSubject(
  written: string | undefined,
  { manifest, readConfig }: ExplainFlags,
  settings: Settings,
  platforms: readonly HostPlatform[],
): Promise<ExplainSubject> {
  const image = written === undefined ? undefined : parseImage(written);
  const { lists, policyFor } = await readRules(settings);
  const { match, answer, onNoMatch } = settings.values;
  const named = image
    ? policyFor(image.repository, image.reference.kind === 'tag' ? image.reference.tag : undefined)
    : { ...DEFAULT_POLICY, match, answer, onNoMatch };
  const isPinned = image?.reference.kind === 'digest';
  if (manifest !== undefined) {
    const source = await readDocument(manifest);
    return { name: written ?? manifest, source, policy: named, isPinned, extra: undefined };
  }
  const { repository, reference } = image ?? parseImage(written ?? '');
  const name = formatReference(repository, reference);
  const suggestion =
    reference.kind === 'tag' ? await suggestEntry(repository, reference.tag, settings.values) : undefined;
  return withRegistry(settings, lists, async (registry) => {
    try {
      const { source, derived } = await fetchSource(registry, repository, reference, (tag) =>
        policyFor(repository, tag),
      );
      const policy = derived === undefined ? named : policyFor(repository, derived.tag);
      const wanted = readConfig ? { ...policy, readConfig } : policy;
      const extra = await furtherDemands(registry, repository, source, wanted, platforms);
      return { name, source, policy, isPinned, suggestion, extra, derived };
    } catch (cause) {
      throw withSuggestion(lookupFailure(cause, name), suggestion);
    }
  });
}
