import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type BaselineRule, type CatalogEntry, CatalogFile } from '../../catalog/entry.ts';
import { readSource } from '../../lib/config-source.ts';
import { listPackaged, packagedText, readPackaged } from '../../lib/packaged-files.ts';
import { readTextFile } from '../../lib/regular-file.ts';
import { answersTo, type ListSpec } from '../../oci/image-list.ts';
import { parseTagPattern } from '../../oci/pattern.ts';
import { isSameRepository, type Repository, type Tag } from '../../oci/reference.ts';
import { UserError } from '../user-error.ts';
import { parseYaml } from './yaml.ts';

const CATALOG = 'catalog';
/**
 * The baselines that are on by default, checked and as JSON, so that a mirror needs neither YAML nor a schema
 * for them. `npm run catalogue-table` writes the file.
 */
export const BASELINES_FILE = 'baselines.json';

const HAS_BASELINES = /^repositories:/m;

/**
 * The files of the catalogue by name. Each is parsed when it is needed, because most commands need few of
 * them.
 */
export interface Catalog {
  readonly names: readonly string[];
  /** @throws {UserError} for an unknown name */
  entry(name: string): Promise<CatalogEntry>;
  /** Returns the entries with a list for the repository. */
  listing(repository: Repository): Promise<readonly CatalogEntry[]>;
  /** Returns the entries with baselines. */
  withBaselines(): Promise<readonly CatalogEntry[]>;
}

/** The settings about the catalogue. */
export interface CatalogSettings {
  /** Names of entries whose lists are used; after `!`, an entry whose baselines are ignored. */
  readonly catalog: readonly string[];
  /** True when the baselines of the catalogue apply. */
  readonly catalogBaselines: boolean;
}

/** The enabled parts of the catalogue. */
export interface CatalogInForce {
  readonly lists: readonly ListSpec[];
  readonly baselines: readonly BaselineRule[];
}

/** @param folder replaces the folder of the package */
async function readTexts(folder: string | undefined): Promise<ReadonlyMap<string, string>> {
  const [names, read] =
    folder === undefined
      ? [await listPackaged(CATALOG), (file: string) => readPackaged(`${CATALOG}/${file}`)]
      : [await readdir(folder), (file: string) => readTextFile(join(folder, file))];
  const files = names.filter((file) => file.endsWith('.yml')).sort();
  const texts = files.map(async (file) => [file.slice(0, -4), await read(file)] as const);
  return new Map(await Promise.all(texts));
}

/** Opens the catalogue. @throws {UserError} when the package is incomplete. */
export async function openCatalog(folder?: string): Promise<Catalog> {
  const texts = await readTexts(folder).catch(refuseIncomplete);
  const parsed = new Map<string, Promise<CatalogEntry>>();

  async function parse(name: string): Promise<CatalogEntry> {
    const text = texts.get(name);
    if (text === undefined) {
      throw new UserError(`the catalogue has no “${name}”`, {
        nextStep: 'metahub catalog ls lists what it has.',
        exitStatus: 2,
      });
    }
    const source = await parseYaml(join(folder ?? CATALOG, `${name}.yml`), text);
    return { name, ...readSource(CatalogFile, source) };
  }

  function entry(name: string): Promise<CatalogEntry> {
    const known = parsed.get(name) ?? parse(name);
    parsed.set(name, known);
    return known;
  }

  return {
    names: [...texts.keys()],
    entry,
    async listing(repository) {
      // Only files that contain the repository's name are parsed. The parsed entry shows whether the name is
      // that of a list.
      const mentioning = [...texts].filter(([, content]) => content.includes(repository.name));
      const entries = await Promise.all(mentioning.map(([name]) => entry(name)));
      return entries.filter(({ lists }) =>
        lists.some(({ spec }) => isSameRepository(spec.repository, repository)),
      );
    },
    withBaselines: () => {
      const files = [...texts].filter(([, content]) => HAS_BASELINES.test(content));
      return Promise.all(files.map(([name]) => entry(name)));
    },
  };
}

/** Returns which parts of an entry are enabled. */
export function inForce(
  { name, isDefault, lists, baselines }: CatalogEntry,
  { catalog, catalogBaselines }: CatalogSettings,
): { readonly lists: boolean; readonly baselines: boolean } {
  const isNamed = catalog.includes(name);
  const isHeeded = catalogBaselines && (isDefault || isNamed) && !catalog.includes(`!${name}`);
  return { lists: lists.length > 0 && isNamed, baselines: baselines.length > 0 && isHeeded };
}

/**
 * Returns what the settings enable: the lists of the named entries, and all baselines that are on by default
 * or named.
 * @throws {UserError} for a name that the catalogue does not have.
 */
export async function catalogInForce(settings: CatalogSettings): Promise<CatalogInForce> {
  const { catalog: written, catalogBaselines } = settings;
  if (written.length === 0) {
    return { lists: [], baselines: catalogBaselines ? readDefaultBaselines() : [] };
  }
  const catalog = await openCatalog();
  const named = await Promise.all(written.map((name) => catalog.entry(name.replace(/^!/, ''))));
  const saying = catalogBaselines ? await catalog.withBaselines() : [];
  return {
    lists: named
      .filter((entry) => inForce(entry, settings).lists)
      .flatMap(({ lists }) => lists.map(({ spec }) => spec)),
    baselines: saying
      .filter((entry) => inForce(entry, settings).baselines)
      .flatMap(({ baselines }) => baselines),
  };
}

/** A rule in {@link BASELINES_FILE}. */
interface WrittenRule extends Pick<BaselineRule, 'pattern' | 'baseline'> {
  readonly tags?: readonly string[];
}

/** Reads what applies when no entry is named. @throws {UserError} when the package is incomplete */
function readDefaultBaselines(): readonly BaselineRule[] {
  try {
    const rules = JSON.parse(packagedText(`${CATALOG}/${BASELINES_FILE}`)) as readonly WrittenRule[];
    return rules.map(({ pattern, tags, baseline }) => ({
      pattern,
      tags: tags?.map(parseTagPattern).filter((tag) => tag !== undefined),
      baseline,
    }));
  } catch (error) {
    return refuseIncomplete(error);
  }
}

function refuseIncomplete(cause: unknown): never {
  throw new UserError(`cannot read the catalogue: ${(cause as Error).message}`, {
    cause,
    nextStep: 'Install MetaHub again; --catalog-baselines off does without the catalogue.',
  });
}

/** Returns the expected content of {@link BASELINES_FILE}. */
export async function baselinesJson(): Promise<string> {
  const entries = await (await openCatalog()).withBaselines();
  const rules = entries
    .filter(({ isDefault }) => isDefault)
    .flatMap(({ baselines }) => baselines)
    .map(({ pattern, tags, baseline }): WrittenRule => {
      return { pattern, ...(tags && { tags: tags.map(({ text }) => text) }), baseline };
    });
  return `[\n${rules.map((rule) => `  ${JSON.stringify(rule)}`).join(',\n')}\n]\n`;
}

/** Returns the name of a disabled entry that has a list for the image. */
export async function suggestEntry(
  repository: Repository,
  tag: Tag,
  { catalog: enabled }: CatalogSettings,
): Promise<string | undefined> {
  const entries = await (await openCatalog()).listing(repository);
  const answering = entries.filter(({ lists }) =>
    lists.some(({ spec }) => isSameRepository(spec.repository, repository) && answersTo(spec, tag)),
  );
  return answering.some(({ name }) => enabled.includes(name)) ? undefined : answering[0]?.name;
}
