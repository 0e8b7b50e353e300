import { choose, type ListedImage, listedImages } from '../../src/catalog/choose.ts';
import type { CatalogEntry, CatalogList } from '../../src/catalog/entry.ts';
import { profileOfFeatures } from '../../src/host/assumed-features.ts';
import { ACCELERATOR_VALUES, GPU_VALUES, JETPACK_BY_L4T } from '../../src/host/data/accelerators.ts';
import { type Feature, formatFeature } from '../../src/host/features.ts';
import { flagsOf } from '../../src/host/identify.ts';
import { allNodes, canonicalName } from '../../src/host/microarchitectures.ts';
import type { HostProfile } from '../../src/host/profile.ts';
import { lowerBound, parseVersionRange } from '../../src/lib/version.ts';
import { answersTo, type ListSpec, memberImage } from '../../src/oci/image-list.ts';
import {
  formatReference,
  formatRepository,
  isSameRepository,
  parseTag,
  type Tag,
} from '../../src/oci/reference.ts';
import { type Demand, demandsOf } from '../../src/selection/demands.ts';

/** A problem of an entry. */
export interface LintProblem {
  readonly code:
    | 'example-unanswered'
    | 'answers-to-member'
    | 'unknown-feature'
    | 'unreachable-member'
    | 'tied-members'
    | 'nothing-to-say';
  /** The list or member, by a name with which its author finds it. */
  readonly where: string;
  readonly text: string;
}

function isVersions(value: string): boolean {
  return parseVersionRange(value) !== undefined;
}

function isOneOf(values: ReadonlySet<string>): (value: string) => boolean {
  return (value) => values.has(value);
}

/** The kinds that detection claims, with a function that says whether some host can have a value. */
const CLAIMABLE: ReadonlyMap<string, (value: string) => boolean> = new Map([
  ['cpu', (value) => canonicalName(value) !== undefined],
  ['level', () => true],
  ['cpuflag', (value) => [...allNodes()].some(({ name }) => flagsOf(name)?.has(value) === true)],
  ['nvcap', (value) => isVersions(value) || /^\d+\.\d[af]?(\+PTX)?$/i.test(value)],
  ['nvptx', (value) => /^\d+\.\d$/.test(value)],
  ['gfx', (value) => /^gfx[0-9a-f]+(-generic)?(:(xnack|sramecc)[+-])*$/.test(value)],
  ['gpu', isOneOf(GPU_VALUES)],
  ['accel', isOneOf(ACCELERATOR_VALUES)],
  ['jetson', isOneOf(new Set(JETPACK_BY_L4T.values()))],
  ['nvdriver', isVersions],
  ['cuda', isVersions],
  ['kernel', isVersions],
  ['glibc', isVersions],
]);

/** A value that a host can claim and that satisfies the demand: for a range, its minimum version. */
function claimOf({ kind, value }: Feature): string {
  const range =
    kind === 'nvcap' || kind === 'cuda' || kind === 'nvdriver' || kind === 'kernel' || kind === 'glibc';
  const least = range ? lowerBound(parseVersionRange(value) ?? []) : [];
  return formatFeature({ kind, value: least.length === 0 ? value : least.join('.') });
}

function demandsOfImage({ platform }: ListedImage): readonly Demand[] {
  return demandsOf(platform.features, 'platform.features');
}

/** Hosts that satisfy exactly an image's demands: one for each alternative of each demand. */
function leastHosts(image: ListedImage): readonly HostProfile[] {
  const demands = demandsOfImage(image);
  const { os, architecture } = image.platform;
  const base: HostProfile = { ...profileOfFeatures([]), platform: { os, architecture } };
  const sets = demands.length === 0 ? [[]] : alternatives(demands);
  return sets.map((features) => profileOfFeatures(features.map(claimOf), base));
}

function alternatives(demands: readonly Demand[]): readonly (readonly Feature[])[] {
  const first = demands.map(({ anyOf }) => anyOf[0]).filter((feature) => feature !== undefined);
  return demands.flatMap(({ anyOf }, at) => anyOf.map((feature) => first.with(at, feature)));
}

function isSamePlatform(a: ListedImage, b: ListedImage): boolean {
  return a.platform.os === b.platform.os && a.platform.architecture === b.platform.architecture;
}

/** Entries that no host gets, and pairs that only their order distinguishes. */
function lintChoices(list: CatalogList): readonly LintProblem[] {
  const images = listedImages(list.spec, list.example);
  const problems: LintProblem[] = [];
  images.forEach((image, at) => {
    const isChosen = leastHosts(image).some((host) => choose(images, host).image === image);
    if (!isChosen) {
      const text = 'no host gets it: another entry goes first wherever it runs';
      problems.push({ code: 'unreachable-member', where: image.name, text });
    }
    for (const other of images.slice(at + 1)) {
      if (!isSamePlatform(image, other) || image.name === other.name) continue;
      const isTied = leastHosts(image).some((host) => {
        const [ahead, behind] = [choose([image, other], host).image, choose([other, image], host).image];
        return ahead === image && behind === other;
      });
      if (isTied) {
        problems.push({
          code: 'tied-members',
          where: image.name,
          text: `only its place decides against ${other.name}`,
        });
      }
    }
  });
  return problems;
}

/** Tags of members that a list of their own repository would serve instead. */
function lintNames({ spec, example }: CatalogList, lists: readonly ListSpec[]): readonly LintProblem[] {
  const samples = [example, ...sampleTags(spec)];
  return samples.flatMap((tag) =>
    spec.members.flatMap((member): readonly LintProblem[] => {
      const image = memberImage(spec, member, tag);
      if (image?.reference.kind !== 'tag') return [];
      const { repository, reference } = image;
      const isOwn = isSameRepository(repository, spec.repository) && reference.tag === tag;
      const hidden = lists.some(
        (list) => isSameRepository(list.repository, repository) && answersTo(list, reference.tag),
      );
      if (isOwn || !hidden) return [];
      const text = `a pull of ${formatReference(repository, reference)} is answered with a list, not with the publisher's image`;
      return [{ code: 'answers-to-member', where: formatRepository(spec.repository), text }];
    }),
  );
}

/** Sample texts for a `*` or a set: versions, words and suffixes. */
const FILLINGS = ['1.2.3', '1', 'latest', 'a-b', '2-gpu'];

/** Tags that the patterns of a list match. */
function sampleTags(spec: ListSpec): readonly Tag[] {
  const texts = spec.tags
    .filter(({ excludes }) => !excludes)
    .flatMap(({ text }) =>
      FILLINGS.map((filling) =>
        text
          .replaceAll(/\[[^\]]*\]/g, '5')
          .replaceAll('*', filling)
          .replaceAll('?', '5'),
      ),
    );
  const tags = texts.map(parseTag).filter((tag) => tag !== undefined);
  return [...new Set(tags)].filter((tag) => answersTo(spec, tag));
}

function lintFeatures({ spec, example }: CatalogList): readonly LintProblem[] {
  return listedImages(spec, example).flatMap((image) =>
    demandsOfImage(image)
      .flatMap(({ anyOf }) => anyOf)
      .filter(({ kind, value }) => CLAIMABLE.get(kind)?.(value) !== true)
      .map(
        (feature): LintProblem => ({
          code: 'unknown-feature',
          where: image.name,
          text: `no host can claim ${formatFeature(feature)}`,
        }),
      ),
  );
}

/** Problems of a catalogue entry: none for the published ones. */
export function lintEntry(entry: CatalogEntry): readonly LintProblem[] {
  const specs = entry.lists.map(({ spec }) => spec);
  const problems = entry.lists.flatMap((list) => {
    const where = formatReference(list.spec.repository, { kind: 'tag', tag: list.example });
    const features = lintFeatures(list);
    return [
      ...(answersTo(list.spec, list.example)
        ? []
        : [
            {
              code: 'example-unanswered' as const,
              where,
              text: 'the list does not answer to its own example',
            },
          ]),
      ...features,
      ...lintNames(list, specs),
      ...(features.length === 0 ? lintChoices(list) : []),
    ];
  });
  if (entry.lists.length + entry.native.length + entry.baselines.length > 0) return problems;
  return [
    ...problems,
    { code: 'nothing-to-say', where: entry.name, text: 'it has no list, no index and no baseline' },
  ];
}
