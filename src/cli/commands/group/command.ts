import type { Command } from 'commander';
import { repeated, tableText } from '../../../lib/text.ts';
import { helpText } from '../../help-text.ts';
import type { JsonDocument } from '../../json-documents.ts';
import { JsonOption } from '../../json-option.ts';
import { documentText } from '../../output.ts';
import type { SiteFlags } from '../../site-api.ts';
import { machineSubcommands, withAdmin, withSiteOptions } from '../machine/admin.ts';

interface Flags extends SiteFlags {
  readonly machines: string;
}

interface SetFlags extends SiteFlags {
  readonly repository?: readonly string[];
  readonly push?: readonly string[];
}

const EXAMPLES = {
  group: helpText(
    [
      [
        'metahub group set lab --repository "lab/*" --push "lab/*"',
        'let the members pull and push these repositories',
      ],
      ['metahub machine add anna --group lab', 'add an account that belongs to the group'],
      ['metahub group list'],
      ['metahub group remove lab'],
      ['metahub group list --site hub.example.org --user root', 'the same for a remote site'],
    ],
    'A group gives its members rights in addition to their own. A running mirror applies a change within a second.',
  ),
  set: helpText([
    ['metahub group set lab --repository "lab/*" --repository "ghcr.io/lab/**"'],
    ['metahub group set lab --repository "lab/*" --push "lab/*"', 'replace all rights of the group'],
    ['metahub group set lab --repository "lab/*" --site hub.example.org --user root'],
  ]),
  list: helpText([['metahub group list'], ['metahub group list --json']]),
  remove: helpText([
    ['metahub group remove lab', 'remove a group without members'],
    ['metahub group remove lab --site hub.example.org --user root'],
  ]),
} as const;

async function set(name: string, flags: Flags & SetFlags): Promise<void> {
  const { repository: repositories = [], push = [], site, machines } = flags;
  const rights = { repositories, push };
  if (site !== undefined) await (await import('./remote.ts')).setRemote(name, rights, flags);
  else await withAdmin(machines, (admin) => admin.setGroup(name, rights));
  const pull = repositories.length === 0 ? 'nothing more' : repositories.join(' ');
  const pushes = push.length === 0 ? '' : `, and push to ${push.join(' ')}`;
  process.stdout.write(`members of ${name} may pull ${pull}${pushes}\n`);
}

async function groupsIn(flags: Flags): Promise<JsonDocument<'group-list'>> {
  if (flags.site !== undefined) return (await import('./remote.ts')).listRemote(flags);
  const groups = await withAdmin(flags.machines, (admin) => admin.groups());
  return [...groups].map(([name, rights]) => ({ name, ...rights }));
}

async function list(flags: Flags & { readonly json?: boolean }): Promise<void> {
  const groups = [...(await groupsIn(flags))].sort((a, b) => (a.name < b.name ? -1 : 1));
  if (flags.json) {
    process.stdout.write(documentText<'group-list'>(groups));
    return;
  }
  if (groups.length === 0) {
    const place = flags.site ?? flags.machines;
    process.stdout.write(
      `no groups in ${place}; add one with: metahub group set NAME --repository PATTERN\n`,
    );
    return;
  }
  const rows = groups.map(({ name, repositories, push }) => [
    name,
    repositories.join(' ') || '-',
    push.join(' ') || '-',
  ]);
  process.stdout.write(tableText([['GROUP', 'MAY PULL', 'MAY PUSH'], ...rows]));
}

async function remove(name: string, flags: Flags): Promise<void> {
  if (flags.site !== undefined) await (await import('./remote.ts')).removeRemote(name, flags);
  else await withAdmin(flags.machines, (admin) => admin.removeGroup(name));
  process.stdout.write(`group ${name} is removed\n`);
}

/** Adds the subcommands of `metahub group`. */
export function configure(command: Command): void {
  const subcommand = machineSubcommands(command, EXAMPLES);

  command.addHelpText('after', EXAMPLES.group);
  withSiteOptions(
    subcommand('set', ' <name>', 'add a group, or replace its rights')
      .option('--repository <pattern>', 'repositories that its members may pull; repeatable', repeated)
      .option('--push <pattern>', 'repositories that its members may push to; repeatable', repeated),
  ).action(set);
  const listing = subcommand('list', '', 'list the groups and their rights');
  withSiteOptions(listing.addOption(new JsonOption('group-list'))).action(list);
  withSiteOptions(subcommand('remove', ' <name>', 'remove a group that has no members')).action(remove);
}
