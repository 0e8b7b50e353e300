import { jsonText, printable, tableText, timesText } from '../../../lib/text.ts';
import { type Descriptor, isImageEntry } from '../../../oci/manifest.ts';
import { formatReference, type ImageReference } from '../../../oci/reference.ts';
import { type BuildTarget, buildTargetOf } from '../../gap-build.ts';
import { documentText } from '../../output.ts';
import type { RankedGap } from './rank.ts';

/** Returns the builds of the gaps, each once, whatever the hosts get now. */
function targetsOf(gaps: readonly RankedGap[]): readonly BuildTarget[] {
  return [
    ...new Map(
      gaps.map(buildTargetOf).map((target) => [`${target.platform} ${target.image}`, target]),
    ).values(),
  ];
}

const NOTHING = 'Every pull got the best build that its host could use.\n';

/** Formats the gaps for people. `hidden` is the number of gaps of images without variants, which are not shown. */
export function renderText(gaps: readonly RankedGap[], hidden: number): string {
  const rows = gaps.map(({ image, platform, wanted, fit, served, pulls, hosts, timesGeneric }) => [
    String(pulls),
    String(hosts),
    printable(image),
    `${printable(platform)} ${printable(wanted.join(' '))}`,
    fit === 'refused' ? 'refused' : printable(served ?? '') || 'generic',
    timesGeneric === null ? '-' : timesText(timesGeneric),
  ]);
  const table =
    rows.length === 0
      ? NOTHING
      : tableText([['PULLS', 'HOSTS', 'IMAGE', 'WANTED', 'SERVED', 'SPEED'], ...rows]);
  const more =
    hidden === 0
      ? ''
      : `\n${hidden} more gaps belong to images without hardware demands; --all shows them.\n`;
  return table + more;
}

/** Formats the gaps for programs, each with the parameters of its build. */
export function renderJson(gaps: readonly RankedGap[]): string {
  return documentText<'gaps-ranked'>({ gaps: gaps.map((gap) => ({ ...gap, build: buildTargetOf(gap) })) });
}

/** Returns the variables of a build, under the same names for every format. */
function variablesOf({ image, list, platform, features, variant, ...flags }: BuildTarget) {
  return {
    image,
    list,
    platform,
    features: features.join(','),
    variant: variant ?? '',
    cflags: flags.cflags,
    cudaArchitectures: flags.cudaArchitectures,
    hipArchitectures: flags.hipArchitectures,
  };
}

/**
 * Formats one line for `fromJSON`.
 * @see https://docs.github.com/actions/how-tos/write-workflows/choose-what-workflows-do/run-job-variations
 */
export function renderGithubMatrix(gaps: readonly RankedGap[]): string {
  return `${jsonText({ include: targetsOf(gaps).map(variablesOf) })}\n`;
}

/** `cudaArchitectures` -> `CUDA_ARCHITECTURES`. */
function upperSnake(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

/** Formats a `parallel:matrix` to include. @see https://docs.gitlab.com/ci/yaml/#parallelmatrix */
export async function renderGitlab(gaps: readonly RankedGap[]): Promise<string> {
  const { stringify } = await import('../../../lib/yaml-document.ts');
  const matrix = targetsOf(gaps).map((target) =>
    Object.fromEntries(Object.entries(variablesOf(target)).map(([name, value]) => [upperSnake(name), value])),
  );
  return stringify({ '.metahub-gaps': { parallel: { matrix } } });
}

/**
 * Formats a bake file, whose target `metahub` is a base for others.
 * @see https://docs.docker.com/build/bake/reference/
 */
export function renderBake(gaps: readonly RankedGap[]): string {
  const targets = targetsOf(gaps).map((target) => {
    const { image, platform, cflags, cudaArchitectures, hipArchitectures } = variablesOf(target);
    const name = image.slice(image.lastIndexOf('/') + 1).replaceAll(/[^A-Za-z0-9_-]/g, '_');
    const args = {
      CFLAGS: cflags,
      CUDA_ARCHITECTURES: cudaArchitectures,
      HIP_ARCHITECTURES: hipArchitectures,
    };
    const given = Object.fromEntries(Object.entries(args).filter(([, value]) => value !== ''));
    return [name, { inherits: ['metahub'], args: given, platforms: [platform], tags: [image] }] as const;
  });
  const document = {
    group: { default: { targets: targets.map(([name]) => name) } },
    target: { metahub: {}, ...Object.fromEntries(targets) },
  };
  return `${jsonText(document, 2)}\n`;
}

/** Returns an entry as a member of a list. */
function memberOf(
  { repository }: ImageReference,
  { digest, platform, raw, annotations }: Descriptor,
): object {
  const written = (raw['platform'] ?? {}) as Readonly<Record<string, unknown>>;
  const { features, 'os.features': osFeatures } = written;
  return {
    image: formatReference(repository, { kind: 'digest', digest }),
    platform: {
      os: platform?.os,
      architecture: platform?.architecture,
      ...(platform?.variant === undefined ? {} : { variant: platform.variant }),
      ...(Array.isArray(features) ? { features } : {}),
      ...(Array.isArray(osFeatures) ? { 'os.features': osFeatures } : {}),
    },
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  };
}

/**
 * Formats the list that `metahub push` pushes once the builds exist: the present entries, then the missing
 * ones.
 */
export async function renderManifest(
  image: ImageReference,
  entries: readonly Descriptor[],
  gaps: readonly RankedGap[],
): Promise<string> {
  const { stringify } = await import('../../../lib/yaml-document.ts');
  const missing = targetsOf(gaps).map(({ image: built, platform, features, variant }) => {
    const [os, architecture] = platform.split('/');
    return {
      image: built,
      platform: {
        os,
        architecture,
        ...(variant === undefined ? {} : { variant }),
        ...(features.length === 0 ? {} : { features }),
      },
    };
  });
  const present = entries
    .filter((entry) => isImageEntry(entry) && entry.platform !== undefined && entry.platform.os !== 'unknown')
    .map((entry) => memberOf(image, entry));
  return stringify({
    image: formatReference(image.repository, image.reference),
    manifests: [...present, ...missing],
  });
}
