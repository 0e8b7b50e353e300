import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type BaselineRule, type CatalogEntry, CatalogFile } from '../../catalog/entry.ts';
import { readSource, readValue } from '../../lib/config-source.ts';
import { listPackaged, readPackaged } from '../../lib/packaged-files.ts';
import { answersTo, type ListSpec } from '../../oci/image-list.ts';
import { isSameRepository, type Repository, type Tag } from '../../oci/reference.ts';
import { UserError } from '../user-error.ts';
import { parseYaml } from './yaml.ts';

const CATALOG = 'catalog';
/** The entries with baselines as JSON, so that a mirror starts without a YAML parser: `npm run catalogue-table` writes it. */
export const BASELINES_FILE = 'baselines.json';

const HAS_BASELINES = /^repositories:/m;

/** Files by name, each parsed when it is needed: most commands need few of them. */
export interface Catalog {
  readonly names: readonly string[];
  /** @throws {UserError} when there is none of that name. */
  entry(name: string): Promise<CatalogEntry>;
  /** Entries with lists of a repository. */
  listing(repository: Repository): Promise<readonly CatalogEntry[]>;
  /** Entries with baselines. */
  withBaselines(): Promise<readonly CatalogEntry[]>;
}

/** What the settings say of the catalogue. */
export interface CatalogSettings {
  /** Names of entries whose lists are used; after `!` one whose baselines are not heeded. */
  readonly catalog: readonly string[];
  /** Do the baselines of the catalogue apply? */
  readonly catalogBaselines: boolean;
}

/** What of the catalogue is in force. */
export interface CatalogInForce {
  readonly lists: readonly ListSpec[];
  readonly baselines: readonly BaselineRule[];
}

/** @param folder another than the package's own */
async function readTexts(folder: string | undefined): Promise<ReadonlyMap<string, string>> {
  const [names, read] =
    folder === undefined
      ? [await listPackaged(CATALOG), (file: string) => readPackaged(`${CATALOG}/${file}`)]
      : [await readdir(folder), (file: string) => readFile(join(folder, file), 'utf8')];
  const files = names.filter((file) => file.endsWith('.yml')).sort();
  const texts = files.map(async (file) => [file.slice(0, -4), await read(file)] as const);
  return new Map(await Promise.all(texts));
}

/**
 * Opens the catalogue.
 * @throws {UserError} when the package is incomplete.
 */
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
      // The name stands in the text of the file; whether it is a list's is for the parsed entry to say.
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

/** Which parts of an entry are in force? */
export function inForce(
  { name, isDefault, lists, baselines }: CatalogEntry,
  { catalog, catalogBaselines }: CatalogSettings,
): { readonly lists: boolean; readonly baselines: boolean } {
  const isNamed = catalog.includes(name);
  const isHeeded = catalogBaselines && (isDefault || isNamed) && !catalog.includes(`!${name}`);
  return { lists: lists.length > 0 && isNamed, baselines: baselines.length > 0 && isHeeded };
}

/**
 * What the settings put in force: the lists of the entries they name, and every baseline that is on by default or named.
 * @throws {UserError} for a name that the catalogue does not have.
 */
export async function catalogInForce(settings: CatalogSettings): Promise<CatalogInForce> {
  const { catalog: written, catalogBaselines } = settings;
  if (written.length === 0) {
    return { lists: [], baselines: catalogBaselines ? await defaultBaselines(settings) : [] };
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

/** The baselines that apply when no entry is named. @throws {UserError} when the package is incomplete */
async function defaultBaselines(settings: CatalogSettings): Promise<readonly BaselineRule[]> {
  const text = await readPackaged(`${CATALOG}/${BASELINES_FILE}`).catch(refuseIncomplete);
  const contents = Object.entries(JSON.parse(text) as Readonly<Record<string, unknown>>);
  return contents
    .map(([name, content]): CatalogEntry => ({ name, ...readValue(CatalogFile, content, [name]) }))
    .filter((entry) => inForce(entry, settings).baselines)
    .flatMap(({ baselines }) => baselines);
}

function refuseIncomplete(cause: unknown): never {
  throw new UserError(`cannot read the catalogue: ${(cause as Error).message}`, {
    cause,
    nextStep: 'Install MetaHub again; --catalog-baselines off does without the catalogue.',
  });
}

/** What {@link BASELINES_FILE} has to hold. */
export async function baselinesJson(folder?: string): Promise<string> {
  const texts = [...(await readTexts(folder))].filter(([, text]) => HAS_BASELINES.test(text));
  const contents = texts.map(async ([name, text]) => {
    const { content } = await parseYaml(`${name}.yml`, text);
    return [name, content] as const;
  });
  return `${JSON.stringify(Object.fromEntries(await Promise.all(contents)), undefined, 2)}\n`;
}

/** The name of an entry that has a list for the image and is not enabled. */
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
