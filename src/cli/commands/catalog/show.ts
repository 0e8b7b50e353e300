import type { CatalogEntry } from '../../../catalog/entry.ts';
import { printable, tableText, wrap } from '../../../lib/text.ts';
import type { ListMember } from '../../../oci/image-list.ts';
import { formatRepository } from '../../../oci/reference.ts';
import { type CatalogSettings, inForce, openCatalog } from '../../settings/catalog.ts';

const WIDTH = 80;

/** What an entry adds: lists of images, baselines, or nothing but knowledge. */
function whatOf({ lists, baselines, native }: CatalogEntry): string {
  const count = (all: readonly unknown[], noun: string) =>
    all.length === 0 ? [] : [`${all.length} ${noun}${all.length === 1 ? '' : 's'}`];
  const parts = [...count(lists, 'list'), ...count(baselines, 'baseline')];
  return parts.length > 0 ? parts.join(', ') : `${native.length === 1 ? 'an index' : 'indexes'} of its own`;
}

function stateOf(entry: CatalogEntry, settings: CatalogSettings): string {
  const { lists, baselines } = inForce(entry, settings);
  if (entry.lists.length + entry.baselines.length === 0) return 'native';
  return lists || baselines ? 'on' : 'off';
}

function entryJson(entry: CatalogEntry, settings: CatalogSettings): object {
  const { name, title, source, checked, promise, lists, native, baselines } = entry;
  return {
    name,
    title,
    state: stateOf(entry, settings),
    source,
    checked,
    promise,
    lists: lists.map(({ spec, example }) => ({
      repository: formatRepository(spec.repository),
      tags: spec.tags.map(({ text }) => text),
      example,
      members: spec.members.map(({ image, platform }) => ({ image, platform: platform ?? null })),
    })),
    native,
    baselines: baselines.map(({ pattern, tags, baseline }) => ({
      repositories: pattern,
      tags: tags?.map(({ text }) => text) ?? null,
      baseline,
    })),
  };
}

/** Every entry, one a line. */
export async function listEntries(settings: CatalogSettings, json: boolean): Promise<string> {
  const catalog = await openCatalog();
  const entries = await Promise.all(catalog.names.map((name) => catalog.entry(name)));
  if (json)
    return `${JSON.stringify(
      entries.map((entry) => entryJson(entry, settings)),
      undefined,
      2,
    )}\n`;
  const rows = entries.map((entry) => [entry.name, stateOf(entry, settings), whatOf(entry), entry.title]);
  return tableText([['NAME', 'STATE', 'WHAT', 'PUBLISHER'], ...rows]);
}

function memberLine({ image, platform }: ListMember): readonly [image: string, demands: string] {
  const where = platform === undefined ? 'as the image says' : `${platform.os}/${platform.architecture}`;
  const features = platform?.features ?? [];
  return [image, [where, ...features].join(' ')];
}

/** One entry, for a person. */
export async function showEntry(name: string, settings: CatalogSettings, json: boolean): Promise<string> {
  const entry = await (await openCatalog()).entry(name);
  if (json) return `${JSON.stringify(entryJson(entry, settings), undefined, 2)}\n`;
  const { title, source, checked, promise, lists, native, baselines } = entry;
  const sections = [
    [`${title} (${name}): ${stateOf(entry, settings)}`, `checked ${checked} against ${source}`],
    wrap(printable(promise), WIDTH),
    ...lists.map(({ spec }) => [
      `${formatRepository(spec.repository)}, tags ${spec.tags.map(({ text }) => text).join(' ')}`,
      ...tableText(spec.members.map(memberLine))
        .trimEnd()
        .split('\n')
        .map((line) => `  ${line}`),
    ]),
    ...native.map(({ image, platforms }) => [`${image} holds ${platforms.join(', ')}`]),
    ...baselines.map(({ pattern, tags, baseline }) => [
      `${pattern}${tags === undefined ? '' : `, tags ${tags.map(({ text }) => text).join(' ')}`}: plain entries need ${baseline.join(' or ')}`,
    ]),
    ...(lists.length > 0 && stateOf(entry, settings) === 'off'
      ? [[`metahub catalog enable ${name} uses its lists.`]]
      : []),
  ];
  return `${sections.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}
