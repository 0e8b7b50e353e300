import { type Feature, formatFeature, parseFeature } from '../host/features.ts';
import { replaceProperties } from '../host/variant-properties.ts';
import { joinLimited, tableOf, truncateText } from '../lib/text.ts';
import { FEATURES_ANNOTATION } from '../oci/build-index.ts';
import type { Descriptor } from '../oci/manifest.ts';

/**
 * One demand of an entry. One feature of `anyOf` must hold on the host; several values of one key in one source are
 * alternatives (a fat binary lists several `nvcap`). All demands of an entry must hold.
 */
export interface Demand {
  /** What the alternatives have in common: a kind of feature, or `cpuflag:NAME`, because every flag is required. */
  readonly key: string;
  readonly anyOf: readonly Feature[];
  /** The field that contains the demand, as an author knows it: `platform.features`. */
  readonly source: string;
}

/** The kind of a text that is no feature. No host satisfies it. */
export const UNREADABLE = 'unreadable';

/** The kind of a whole `NVIDIA_REQUIRE_*` expression. */
export const REQUIRE_EXPRESSION = 'nvrequire';

/** The kind of the rules of a compatibility artifact, as JSON. */
export const COMPATIBILITY = 'nfd';

const VERBATIM = new Set([UNREADABLE, REQUIRE_EXPRESSION]);

/** Other names of a kind. */
const KIND_ALIAS = tableOf({ driver: 'nvdriver', arch: 'nvcap' });
const COMPARISON = /^([a-zA-Z][\w.-]*)(>=|<=|!=|>|<)(.+)$/;

/** Reads a feature as authors write it, including `kernel>=5.10` and `driver:535`. */
export function readFeature(text: string): Feature {
  const written = text.trim();
  const [, compared, operator, version] = COMPARISON.exec(written) ?? [];
  const feature =
    compared === undefined ? parseFeature(written) : { kind: compared, value: `${operator}${version}` };
  if (feature === undefined) return { kind: UNREADABLE, value: text };
  const kind = KIND_ALIAS.get(feature.kind);
  return kind === undefined ? feature : { kind, value: feature.value };
}

/** Machine code and PTX for NVIDIA GPUs replace each other, so they share a key. Each CPU flag has its own. */
function keyOf({ kind, value }: Feature): string {
  if (kind === 'nvptx') return 'nvcap';
  return kind === 'cpuflag' || kind === UNREADABLE ? `${kind}:${value}` : kind;
}

/** The kind of a demand's alternatives. */
export function kindOf({ key, anyOf }: Demand): string {
  return anyOf[0]?.kind ?? key;
}

/** The demands in a list of features from one source. */
export function demandsOf(texts: readonly string[], source: string): readonly Demand[] {
  const byKey = new Map<string, Feature[]>();
  for (const text of texts) {
    const feature = readFeature(text);
    const key = keyOf(feature);
    const alternatives = byKey.get(key);
    if (alternatives === undefined) byKey.set(key, [feature]);
    else alternatives.push(feature);
  }
  return [...byKey].map(([key, anyOf]) => ({ key, anyOf, source }));
}

/** Formats a demand: `cpu:zen4`, `nvcap:8.0 or nvcap:9.0`. Other demands are shown as their author wrote them. */
export function formatDemand({ anyOf }: Demand): string {
  return anyOf.map(formatAlternative).join(' or ');
}

/** The names of the rules in each set, which is all that people need to see. */
function namesOfRules(json: string): string {
  const sets = JSON.parse(json) as readonly (readonly { readonly name: string }[])[];
  return sets.map((rules) => rules.map(({ name }) => `“${name}”`).join(' and ')).join(', or ');
}

/** Formats one alternative for {@link formatDemand}. */
export function formatAlternative(one: Feature): string {
  if (one.kind === COMPATIBILITY) return `${COMPATIBILITY}:${namesOfRules(one.value)}`;
  return VERBATIM.has(one.kind) ? one.value : formatFeature(one);
}

/**
 * Readers of annotations that state what an entry requires: from the value to the demanded features. An empty list:
 * the value demands nothing. Other annotations are ignored.
 */
const READERS = tableOf<(value: string) => readonly Feature[]>({
  // https://github.com/supercontainers (container annotations of the HPC containers working group)
  'org.supercontainers.hardware.cpu.target.microarch': microarchitecture,
  'org.supercontainers.gpu': gpuInterface,
  'org.supercontainers.mpi': (value) => named('mpi', value),
  'org.supercontainers.mpi.implementation': (value) => named('mpi', value),
  'org.supercontainers.glibc': (value) => named('glibc', value),
  'org.supercontainers.libc.glibc.version': (value) => named('glibc', value),
  // https://archspec.readthedocs.io
  'io.archspec.cpu.target': microarchitecture,
  // https://github.com/Homebrew/brew, bottles in a registry
  'sh.brew.bottle.cpu.variant': microarchitecture,
  'sh.brew.bottle.glibc.version': (value) => named('glibc', value),
});

/** Names for no particular microarchitecture, and names that only Homebrew uses. */
const MICROARCHITECTURE_NAME = tableOf({
  amd64: 'x86_64',
  arm64: 'aarch64',
  armv8: 'aarch64',
  arm_vortex_tempest: 'm1',
});

function microarchitecture(value: string): readonly Feature[] {
  const name = value.trim();
  return isUnsaid(name) ? [] : [{ kind: 'cpu', value: MICROARCHITECTURE_NAME.get(name) ?? name }];
}

function named(kind: string, value: string): readonly Feature[] {
  const name = value.trim();
  return isUnsaid(name) ? [] : [{ kind, value: name }];
}

/** `cuda`, `rocm`, `opencl`: some GPU that supports this interface. */
function gpuInterface(value: string): readonly Feature[] {
  return value.split(/[\s,]+/).flatMap((name) => named('gpu', name));
}

function isUnsaid(value: string): boolean {
  return value === '' || value === 'unknown' || value === 'none' || value === 'generic';
}

/**
 * Splits a list of features at white space and commas, except a comma that continues a comparison
 * (`kernel:>=5.10,<6`). Properties of wheel variants (`x86_64 :: level :: v3`) are features too.
 */
function featureList(value: string): readonly string[] {
  const features = value.includes('::') ? replaceProperties(value) : value;
  return features.split(/\s+|,(?![<>=!])/).filter((word) => word !== '');
}

/** The demands in an entry's annotations. */
function annotationDemands(annotations: Readonly<Record<string, string>>): readonly Demand[] {
  const demands: Demand[] = [];
  for (const name in annotations) {
    const value = annotations[name] ?? '';
    if (name === FEATURES_ANNOTATION) {
      const listed = demandsOf(featureList(value), `annotations.${FEATURES_ANNOTATION}`);
      for (const demand of listed) demands.push(demand);
      continue;
    }
    const anyOf = READERS.get(name)?.(value);
    const [first] = anyOf ?? [];
    if (anyOf !== undefined && first !== undefined) {
      demands.push({ key: first.kind, anyOf, source: `annotations.${name}` });
    }
  }
  return demands;
}

/** The {@link Demand.source} of the demand of `platform.variant`. */
export const VARIANT_SOURCE = 'platform.variant';

/**
 * The annotation that keeps the variant which a derived index removed from the winner's platform. By it MetaHub
 * still knows the entry's demands when it reads its own derived index.
 */
export const VARIANT_ANNOTATION = 'io.metahub.platform.variant';

function featureOf(architecture: string, variant: string): Feature | undefined {
  const [, number] = /^v(\d+(?:\.\d+)?)$/.exec(variant) ?? [];
  switch (architecture) {
    case 'amd64':
      return { kind: 'level', value: `x86-64-${variant}` };
    case 'arm64':
      if (variant === 'v8') return undefined;
      return { kind: 'level', value: `arm64-${number?.includes('.') === false ? `${variant}.0` : variant}` };
    case 'arm':
    case 'riscv64':
      return { kind: 'variant', value: variant };
    case 'ppc64le':
      return { kind: 'cpu', value: /^power\d+$/.test(variant) ? `${variant}le` : variant };
    default:
      return { kind: 'cpu', value: variant };
  }
}

/**
 * The demand of `platform.variant`: a level of amd64 or arm64, a profile of riscv64, a processor of ppc64le. `v8`
 * demands nothing, because every arm64 host has it.
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/image-index.md#platform-variants
 */
function variantDemand({ platform, annotations }: Descriptor): readonly Demand[] {
  if (platform === undefined) return [];
  const moved = annotations[VARIANT_ANNOTATION];
  const variant = platform.variant ?? moved;
  if (variant === undefined) return [];
  const feature = featureOf(platform.architecture, variant);
  if (feature === undefined) return [];
  const source = platform.variant === undefined ? `annotations.${VARIANT_ANNOTATION}` : VARIANT_SOURCE;
  return [{ key: feature.kind, anyOf: [feature], source }];
}

/**
 * The demands in `platform.features`, which is defined for Docker's manifest list, and RESERVED but used in OCI
 * indexes. A value that is not a list of strings is a demand that no host satisfies.
 */
function featureDemands(entry: Descriptor): readonly Demand[] {
  const features = entry.platform?.features ?? [];
  const platform = entry.raw['platform'] as { readonly features?: unknown } | null | undefined;
  const raw = platform?.features ?? undefined;
  const whole = raw === undefined || (Array.isArray(raw) && raw.length === features.length);
  if (whole) return features.length === 0 ? [] : demandsOf(features, 'platform.features');
  return [
    {
      key: UNREADABLE,
      anyOf: [{ kind: UNREADABLE, value: JSON.stringify(raw) }],
      source: 'platform.features',
    },
  ];
}

/**
 * The demands in `os.features`, which are compared by equality, as containerd does. On Linux no value is defined.
 * There they mark another encoding of the same image (nydus) for its own snapshotter, and demand nothing.
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/image-index.md#image-index-property-descriptions
 */
function osFeatureDemands({ platform }: Descriptor): readonly Demand[] {
  if (platform === undefined || platform.os === 'linux') return [];
  return platform.osFeatures.map((value) => ({
    key: `osfeature:${value}`,
    anyOf: [{ kind: 'osfeature', value }],
    source: 'platform.os.features',
  }));
}

/** Removes repeated demands, because authors repeat features as annotations. The first source is kept. */
function withoutRepeats(demands: readonly Demand[]): readonly Demand[] {
  if (demands.length < 2) return demands;
  const seen = new Set<string>();
  return demands.filter((demand) => {
    const text = formatDemand(demand);
    return !seen.has(text) && seen.add(text);
  });
}

/** All demands that an entry itself states, each with the field that contains it. */
export function requirementsOf(entry: Descriptor): readonly Demand[] {
  return withoutRepeats([
    ...featureDemands(entry),
    ...variantDemand(entry),
    ...osFeatureDemands(entry),
    ...annotationDemands(entry.annotations),
  ]);
}

/** Formats a demand for a sentence: `nvcap:8.0 or nvcap:9.0`, truncated. */
export function demandText({ anyOf }: Demand): string {
  return joinLimited(anyOf, ' or ', (one: Feature) => truncateText(formatAlternative(one)));
}

/** Formats demands for a sentence: `cpu:broadwell, nvcap:5.2`, truncated. */
export function demandsText(demands: readonly Demand[]): string {
  return joinLimited(demands, ', ', demandText);
}
