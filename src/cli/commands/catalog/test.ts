import { choose, type ListedImage, listedImages, nativeImages } from '../../../catalog/choose.ts';
import type { CatalogEntry } from '../../../catalog/entry.ts';
import { profileOfFeatures } from '../../../host/assumed-features.ts';
import type { HostProfile } from '../../../host/profile.ts';
import { tableText } from '../../../lib/text.ts';
import { answersTo } from '../../../oci/image-list.ts';
import { formatReference, parseImageReference, parseTag, type Tag } from '../../../oci/reference.ts';
import type { Registry } from '../../../oci/registry.ts';
import { RegistryError } from '../../../oci/registry-error.ts';
import { DEFAULT_POLICY } from '../../../selection/policy.ts';
import { assumed } from '../../detect-host.ts';
import { readProfileFile } from '../../host-profile.ts';
import { type LookupSettings, withRegistry } from '../../image-lookup.ts';
import { documentText } from '../../output.ts';
import { openCatalog } from '../../settings/catalog.ts';
import { createPolicies } from '../../settings/policies.ts';
import { UserError } from '../../user-error.ts';

interface NamedHosts {
  /** Files of hosts; undefined: the example hosts. */
  readonly profiles: unknown;
  /** Features that replace those of every host. */
  readonly set: readonly string[];
}

interface TestFlags extends NamedHosts {
  readonly tag: unknown;
  readonly offline: boolean;
  readonly json: boolean;
}

interface Host {
  readonly name: string;
  readonly profile: HostProfile;
}

/** An image, the list or index behind its name, and what each host gets. */
interface Case {
  readonly image: string;
  readonly images: readonly ListedImage[];
  readonly gets: readonly { readonly host: string; readonly image: string | null }[];
}

/** Whether an image exists; `undefined` when its registry did not answer. */
interface Presence {
  readonly image: string;
  readonly isThere: boolean | undefined;
  readonly reason?: string;
}

async function hostsOf({ profiles, set }: NamedHosts): Promise<readonly Host[]> {
  const files = [profiles ?? []].flat().map(String);
  if (files.length > 0) {
    return Promise.all(
      files.map(async (file) => ({ name: file, profile: assumed(await readProfileFile(file), set) })),
    );
  }
  return EXAMPLE_HOSTS.map((host) => ({ name: host.name, profile: assumed(exampleProfile(host), set) }));
}

const NO_SETTINGS = {
  policy: {},
  repositories: new Map(),
  match: 'best',
  answer: 'auto',
  onNoMatch: 'refuse',
} as const;

/** Returns what every host gets from the lists and indexes of the entry. */
export function casesOf(entry: CatalogEntry, hosts: readonly Host[], tag: Tag | undefined): readonly Case[] {
  const lists = entry.lists
    .filter(({ spec }) => tag === undefined || answersTo(spec, tag))
    .map(({ spec, example }) => {
      const pulled = tag ?? example;
      const image = formatReference(spec.repository, { kind: 'tag', tag: pulled });
      return { image, images: listedImages(spec, pulled), policy: DEFAULT_POLICY };
    });
  const policyFor = createPolicies(NO_SETTINGS, entry.baselines);
  const native = entry.native.map((one) => {
    const reference = parseImageReference(one.image);
    const asked = reference?.reference.kind === 'tag' ? reference.reference.tag : undefined;
    const policy = reference === undefined ? DEFAULT_POLICY : policyFor(reference.repository, asked);
    return { image: one.image, images: nativeImages(one), policy };
  });
  return [...lists, ...native].map(({ image, images, policy }) => ({
    image,
    images,
    gets: hosts.map(({ name, profile }) => ({
      host: name,
      image: choose(images, profile, policy).image?.name ?? null,
    })),
  }));
}

async function ask(registry: Registry, name: string): Promise<Presence> {
  const image = parseImageReference(name);
  if (image === undefined) return { image: name, isThere: false, reason: 'is not an image name' };
  try {
    await registry.resolve(image.repository, image.reference);
    return { image: name, isThere: true };
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    if (error.status === 404) return { image: name, isThere: false };
    return { image: name, isThere: undefined, reason: error.message };
  }
}

function membersOf(entry: CatalogEntry, tag: Tag | undefined): readonly string[] {
  const names = entry.lists
    .filter(({ spec }) => tag === undefined || answersTo(spec, tag))
    .flatMap(({ spec, example }) => listedImages(spec, tag ?? example).map(({ name }) => name));
  return [...new Set([...names, ...(tag === undefined ? entry.native.map(({ image }) => image) : [])])];
}

function render(cases: readonly Case[], found: readonly Presence[]): string {
  const tables = cases.map(({ image, gets }) => {
    const rows = gets.map(({ host, image: got }) => [host, got ?? 'nothing: no entry runs there']);
    return `${image}\n${tableText([['HOST', 'GETS'], ...rows])}`;
  });
  const word = ({ isThere, reason }: Presence) =>
    isThere === undefined
      ? `not asked: ${reason}`
      : isThere
        ? 'there'
        : `missing${reason ? `: ${reason}` : ''}`;
  const images =
    found.length === 0
      ? []
      : [tableText([['IMAGE', 'UPSTREAM'], ...found.map((one) => [one.image, word(one)])])];
  return [...tables, ...images].join('\n');
}

/**
 * Prints which host gets which image of an entry, and whether the images exist upstream.
 * @throws {UserError}
 */
export async function testEntry(name: string, settings: LookupSettings, flags: TestFlags): Promise<void> {
  const tag = flags.tag === undefined ? undefined : parseTag(String(flags.tag));
  if (flags.tag !== undefined && tag === undefined) {
    throw new UserError(`--tag: “${String(flags.tag)}” is not a tag`, { exitStatus: 2 });
  }
  const entry = await (await openCatalog()).entry(name);
  const cases = casesOf(entry, await hostsOf(flags), tag);
  if (cases.length === 0) {
    const patterns = entry.lists.flatMap(({ spec }) => spec.tags.map(({ text }) => text));
    throw new UserError(`no list of ${name} answers to ${tag}`, {
      nextStep: `The lists answer to ${patterns.join(' ')}.`,
      exitStatus: 2,
    });
  }
  const names = flags.offline ? [] : membersOf(entry, tag);
  const found = await withRegistry(settings, [], (registry) =>
    Promise.all(names.map((one) => ask(registry, one))),
  );
  if (flags.json) {
    const shown = cases.map(({ image, gets }) => ({ image, gets }));
    process.stdout.write(documentText<'catalog-test'>({ name, cases: shown, images: found }));
  } else process.stdout.write(render(cases, found));
  if (found.some(({ isThere }) => isThere === undefined)) process.exitCode = 1;
  else if (found.some(({ isThere }) => isThere === false)) process.exitCode = 3;
}

/** A host that represents many hosts of its kind. */
export interface ExampleHost {
  readonly name: string;
  readonly features: readonly string[];
}

/** The hosts in the tables and checks of the catalogue. Drivers are of the branch 580, which runs CUDA 13.0. */
export const EXAMPLE_HOSTS: readonly ExampleHost[] = [
  { name: 'v2', features: ['cpu:nehalem'] },
  { name: 'v3', features: ['cpu:haswell'] },
  { name: 'v4', features: ['cpu:zen4'] },
  { name: 'T4', features: ['cpu:cascadelake', 'nvcap:7.5', 'nvdriver:580.95.05', 'cuda:13.0'] },
  { name: 'A10', features: ['cpu:icelake', 'nvcap:8.6', 'nvdriver:580.95.05', 'cuda:13.0'] },
  { name: 'H100', features: ['cpu:sapphirerapids', 'nvcap:9.0', 'nvdriver:580.95.05', 'cuda:13.0'] },
  { name: 'MI300X', features: ['cpu:zen4', 'gfx:gfx942', 'gpu:amd'] },
  { name: 'Grace', features: ['cpu:neoverse_v2', 'nvcap:9.0', 'nvdriver:580.95.05', 'cuda:13.0'] },
];

/** Returns the profile of an example host. */
export function exampleProfile({ features }: ExampleHost): HostProfile {
  return profileOfFeatures(features);
}
