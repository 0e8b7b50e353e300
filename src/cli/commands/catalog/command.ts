import type { Command } from 'commander';
import { helpText } from '../../help-text.ts';
import { addSettings, loadSettings } from '../../settings/load.ts';
import { LOOKUP_SETTINGS } from '../../settings/table.ts';

const { catalog, catalogBaselines, upstream, publicRegistries, profile, set } = LOOKUP_SETTINGS;
const STATE_SETTINGS = { catalog, catalogBaselines } as const;
/** What `metahub catalog test` reads: several profiles are several hosts. */
const TEST_SETTINGS = {
  ...{ upstream, publicRegistries, set },
  profile: { ...profile, repeatable: true, help: 'a host to show instead of the examples; repeatable' },
} as const;

const EXAMPLES = {
  group: helpText(
    [
      ['metahub catalog ls', 'what there is, and what of it is in force'],
      ['metahub catalog show tei', 'what a publisher promises, and by which images'],
      ['metahub catalog enable tei', 'answer the publisher’s plain tag with the image that fits'],
      ['metahub catalog test tei', 'which host gets what, and whether the images are there'],
    ],
    'Lists of images are used where they are enabled. Baselines, which say that a publisher’s plain image needs more than it says, are heeded unless they are disabled.',
  ),
  ls: helpText([['metahub catalog ls'], ['metahub catalog ls --json | jq -r ".[].name"']]),
  show: helpText([['metahub catalog show llama.cpp']]),
  enable: helpText(
    [['metahub catalog enable tei llama.cpp'], ['metahub catalog enable --config ./config.yaml tei']],
    'Writes the setting “catalog” of the configuration file; systemctl reload metahub makes a running mirror read it.',
  ),
  disable: helpText([
    ['metahub catalog disable tei', 'stop using its lists'],
    ['metahub catalog disable mongodb', 'stop heeding its baselines'],
  ]),
  test: helpText(
    [
      ['metahub catalog test tei'],
      ['metahub catalog test tei --tag 1.8 --profile node7.json', 'for one tag and one host'],
      ['metahub catalog test tei --offline', 'the table alone, without asking a registry'],
    ],
    'Exit status: 0 all images are there, 1 a registry could not be asked, 2 a wrong option, 3 an image is not there.',
  ),
} as const;

type Flags = Readonly<Record<string, unknown>>;

const JSON_FLAG = ['--json', 'print JSON'] as const;

/** Adds the subcommands of `metahub catalog`. */
export function configure(command: Command): void {
  command.addHelpText('after', EXAMPLES.group);
  const add = (name: string, description: string) =>
    command.command(name).description(description).exitOverride();

  const ls = add('ls', 'list the publishers, and which of them are in force').option(...JSON_FLAG);
  addSettings(ls, STATE_SETTINGS);
  ls.addHelpText('after', EXAMPLES.ls).action(async (flags: Flags) => {
    const { values } = await loadSettings(STATE_SETTINGS, flags);
    const { listEntries } = await import('./show.ts');
    process.stdout.write(await listEntries(values, flags['json'] === true));
  });

  const show = add('show <name>', 'print what a publisher promises, its lists and its baselines').option(
    ...JSON_FLAG,
  );
  addSettings(show, STATE_SETTINGS);
  show.addHelpText('after', EXAMPLES.show).action(async (name: string, flags: Flags) => {
    const { values } = await loadSettings(STATE_SETTINGS, flags);
    const { showEntry } = await import('./show.ts');
    process.stdout.write(await showEntry(name, values, flags['json'] === true));
  });

  for (const [verb, description] of [
    ['enable', 'use the lists and heed the baselines of these publishers'],
    ['disable', 'use no list and heed no baseline of these publishers'],
  ] as const) {
    const changing = add(`${verb} <name...>`, description);
    addSettings(changing, {});
    changing.addHelpText('after', EXAMPLES[verb]).action(async (names: readonly string[], flags: Flags) => {
      const { changeCatalog } = await import('./enable.ts');
      process.stdout.write(await changeCatalog(verb, names, flags));
    });
  }

  const test = add('test <name>', 'show which host gets what, and ask the registries for the images')
    .option('--tag <tag>', 'the tag that is pulled; else the example of each list')
    .option('--offline', 'ask no registry')
    .option(...JSON_FLAG);
  addSettings(test, TEST_SETTINGS);
  test.addHelpText('after', EXAMPLES.test).action(async (name: string, flags: Flags) => {
    const settings = await loadSettings(TEST_SETTINGS, flags);
    const { testEntry } = await import('./test.ts');
    await testEntry(name, settings, {
      tag: flags['tag'],
      offline: flags['offline'] === true,
      json: flags['json'] === true,
    });
  });
}
