import type { Command } from 'commander';
import type { CatalogEntry } from '../../../catalog/entry.ts';
import { printable, tableText, wrap } from '../../../lib/text.ts';
import type { ListMember } from '../../../oci/image-list.ts';
import { formatRepository } from '../../../oci/reference.ts';
import { helpText } from '../../help-text.ts';
import { namedHost } from '../../host-profile.ts';
import type { JsonDocument } from '../../json-documents.ts';
import { JsonOption } from '../../json-option.ts';
import { documentText } from '../../output.ts';
import { type CatalogSettings, inForce, openCatalog } from '../../settings/catalog.ts';
import { addSettings, loadSettings } from '../../settings/load.ts';
import type { ResolvedSettings } from '../../settings/setting.ts';
import { LOOKUP_SETTINGS } from '../../settings/table.ts';

const { catalog, catalogBaselines, upstream, publicRegistries, profile, set } = LOOKUP_SETTINGS;
const STATE_SETTINGS = { catalog, catalogBaselines } as const;
/** The settings of `metahub catalog test`. Each profile is one host. */
const TEST_SETTINGS = {
  ...{ upstream, publicRegistries, set },
  profile: { ...profile, repeatable: true, help: 'a host to use instead of the examples; repeatable' },
} as const;

const EXAMPLES = {
  group: helpText(
    [
      ['metahub catalog ls', 'list the publishers, and show which are enabled'],
      ['metahub catalog show tei', 'print what a publisher promises, and its images'],
      ['metahub catalog enable tei', 'answer the publisher’s plain tag with the image that fits the host'],
      ['metahub catalog test tei', 'show which host gets which image, and check that the images exist'],
    ],
    'Image lists apply only when they are enabled. A baseline states hardware that a publisher’s plain image needs but does not name. Baselines apply unless they are disabled.',
  ),
  ls: helpText([['metahub catalog ls'], ['metahub catalog ls --json | jq -r ".[].name"']]),
  show: helpText([['metahub catalog show llama.cpp']]),
  enable: helpText(
    [['metahub catalog enable tei llama.cpp'], ['metahub catalog enable --config ./config.yaml tei']],
    'The command writes the setting “catalog” to the configuration file. systemctl reload metahub makes a running mirror read it.',
  ),
  disable: helpText([
    ['metahub catalog disable tei', 'stop using its lists'],
    ['metahub catalog disable mongodb', 'stop applying its baselines'],
  ]),
  test: helpText(
    [
      ['metahub catalog test tei'],
      ['metahub catalog test tei --tag 1.8 --profile node7.json', 'test one tag for one host'],
      ['metahub catalog test tei --offline', 'print only the table, without requests to registries'],
    ],
    'Exit status: 0 all images exist, 1 a registry gave no answer, 2 a wrong option, 3 an image does not exist.',
  ),
} as const;

type Flags = Readonly<Record<string, unknown>>;

/** Returns the hosts that the user names. A configuration file describes this host, and the table shows others. */
function namedHosts(settings: ResolvedSettings<typeof TEST_SETTINGS>) {
  const { origins } = settings;
  const { profile, set } = namedHost(settings);
  const isNamed = (name: 'profile' | 'set') => origins[name] === 'flag' || origins[name] === 'environment';
  return {
    profiles: isNamed('profile') ? profile : undefined,
    set: isNamed('set') ? set : [],
  };
}

/** Adds the subcommands of `metahub catalog`. */
export function configure(command: Command): void {
  command.addHelpText('after', EXAMPLES.group);
  const add = (name: string, description: string) =>
    command.command(name).description(description).exitOverride();

  const ls = add('ls', 'list the publishers, and which of them are enabled')
    .alias('list')
    .addOption(new JsonOption('catalog-ls'));
  addSettings(ls, STATE_SETTINGS);
  ls.addHelpText('after', EXAMPLES.ls).action(async (flags: Flags) => {
    const { values } = await loadSettings(STATE_SETTINGS, flags);
    process.stdout.write(await listEntries(values, flags['json'] === true));
  });

  const show = add('show <name>', 'print what a publisher promises, its lists and its baselines').addOption(
    new JsonOption('catalog-show'),
  );
  addSettings(show, STATE_SETTINGS);
  show.addHelpText('after', EXAMPLES.show).action(async (name: string, flags: Flags) => {
    const { values } = await loadSettings(STATE_SETTINGS, flags);
    process.stdout.write(await showEntry(name, values, flags['json'] === true));
  });

  for (const [verb, description] of [
    ['enable', 'use the lists and the baselines of these publishers'],
    ['disable', 'use neither lists nor baselines of these publishers'],
  ] as const) {
    const changing = add(`${verb} <name...>`, description);
    addSettings(changing, {});
    changing.addHelpText('after', EXAMPLES[verb]).action(async (names: readonly string[], flags: Flags) => {
      const { changeCatalog } = await import('./enable.ts');
      process.stdout.write(await changeCatalog(verb, names, flags));
    });
  }

  const test = add('test <name>', 'show which host gets which image, and check that the images exist')
    .option('--tag <tag>', 'the tag to pull; default: the example of each list')
    .option('--offline', 'send no request to a registry')
    .addOption(new JsonOption('catalog-test'));
  addSettings(test, TEST_SETTINGS);
  test.addHelpText('after', EXAMPLES.test).action(async (name: string, flags: Flags) => {
    const settings = await loadSettings(TEST_SETTINGS, flags);
    const { testEntry } = await import('./test.ts');
    await testEntry(name, settings, {
      ...namedHosts(settings),
      tag: flags['tag'],
      offline: flags['offline'] === true,
      json: flags['json'] === true,
    });
  });
}

const WIDTH = 80;

/** Describes what an entry adds: lists of images, baselines, or only knowledge. */
function whatOf({ lists, baselines, native }: CatalogEntry): string {
  const count = (all: readonly unknown[], noun: string) =>
    all.length === 0 ? [] : [`${all.length} ${noun}${all.length === 1 ? '' : 's'}`];
  const parts = [...count(lists, 'list'), ...count(baselines, 'baseline')];
  return parts.length > 0 ? parts.join(', ') : `${native.length === 1 ? 'an index' : 'indexes'} of its own`;
}

function stateOf(entry: CatalogEntry, settings: CatalogSettings): JsonDocument<'catalog-show'>['state'] {
  const { lists, baselines } = inForce(entry, settings);
  if (entry.lists.length + entry.baselines.length === 0) return 'native';
  return lists || baselines ? 'on' : 'off';
}

function entryJson(entry: CatalogEntry, settings: CatalogSettings): JsonDocument<'catalog-show'> {
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

/** Formats all entries, one on each line. */
export async function listEntries(settings: CatalogSettings, json: boolean): Promise<string> {
  const catalog = await openCatalog();
  const entries = await Promise.all(catalog.names.map((name) => catalog.entry(name)));
  if (json) return documentText<'catalog-ls'>(entries.map((entry) => entryJson(entry, settings)));
  const rows = entries.map((entry) => [entry.name, stateOf(entry, settings), whatOf(entry), entry.title]);
  return tableText([['NAME', 'STATE', 'WHAT', 'PUBLISHER'], ...rows]);
}

function memberLine({ image, platform }: ListMember): readonly [image: string, demands: string] {
  const where = platform === undefined ? 'as the image says' : `${platform.os}/${platform.architecture}`;
  const features = platform?.features ?? [];
  return [image, [where, ...features].join(' ')];
}

/** Formats one entry. */
async function showEntry(name: string, settings: CatalogSettings, json: boolean): Promise<string> {
  const entry = await (await openCatalog()).entry(name);
  if (json) return documentText<'catalog-show'>(entryJson(entry, settings));
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
