import type { Command } from 'commander';
import type { Answer } from '../../../selection/answer.ts';
import { helpText } from '../../help-text.ts';
import { namedHost } from '../../host-profile.ts';
import { JsonOption } from '../../json-option.ts';
import { wantsColour } from '../../output.ts';
import { addSettings, loadSettings } from '../../settings/load.ts';
import { UserError } from '../../user-error.ts';
import { machinesOption, withSiteOptions } from '../machine/admin.ts';
import type { FleetFlags } from './fleet.ts';
import { EXPLAIN_SETTINGS, type ExplainFlags } from './load.ts';
import type { Explanation } from './run.ts';

const EXAMPLES = helpText(
  [
    ['metahub explain qnib/bench', 'explain which entry this host gets, and why'],
    ['metahub explain --set cpu:zen4 ghcr.io/a/b:v1', 'the same, for a host with a zen4'],
    [
      'metahub explain --profile a.json --profile b.json qnib/bench',
      'show which of these hosts runs which entry',
    ],
    [
      'metahub explain --fleet --site hub.example.org --user root qnib/bench',
      'show which machines of a site run which entry',
    ],
    ['metahub explain --requires qnib/bench', 'print the minimum hardware that runs the image'],
    ['metahub explain --digest qnib/bench', 'print the digest at the registry, which every host can pull'],
    ['metahub explain --manifest index.json', 'explain an index in a file, without a registry'],
  ],
  'set of the configuration file changes this host only; --set also changes the hosts of --profile.',
  'Exit status: 0 answered, 1 the image could not be fetched, 2 a wrong option, 3 none of the hosts can run it.',
);

/** Adds the options and the action of `metahub explain`. */
export function configure(command: Command): void {
  command.argument('[image]', 'an image name as in docker pull: alpine, ghcr.io/a/b:v1');
  addSettings(command, EXPLAIN_SETTINGS);
  withSiteOptions(command);
  command
    .option('--manifest <file>', 'read the index from this file instead of a registry')
    .addOption(
      command
        .createOption('--requires', 'print the minimum hardware that runs the image')
        .conflicts(['digest', 'fleet']),
    )
    .option('--read-config', 'also read NVIDIA_REQUIRE_* in the configuration of each entry’s image')
    .addOption(
      command
        .createOption('--digest', 'print only the digest at the registry, which every host can pull')
        .conflicts(['fleet', 'json']),
    )
    .option(
      '--fleet',
      'show which machines of a site run which entry: its machine types, and the hosts that pulled recently',
    )
    .option(...machinesOption())
    .addOption(new JsonOption('explain', { others: { '--requires': 'explain-requires' } }))
    .addHelpText('after', EXAMPLES)
    .action(explain);
}

type CommandFlags = ExplainFlags & FleetFlags & { readonly fleet?: boolean };

async function explain(image: string | undefined, flags: CommandFlags): Promise<void> {
  if (image === undefined && flags.manifest === undefined) {
    throw new UserError('explain needs an image or a file', {
      nextStep: 'Name one (metahub explain alpine), or a file (--manifest index.json).',
      exitStatus: 2,
    });
  }
  if (flags.site !== undefined && !flags.fleet) {
    throw new UserError('--site works only with --fleet', { nextStep: 'Add --fleet.', exitStatus: 2 });
  }
  const settings = await loadSettings(EXPLAIN_SETTINGS, { ...flags });
  const { readSubject } = await import('./load.ts');
  if (flags.requires) {
    const { renderLeast } = await import('./text.ts');
    process.stdout.write(renderLeast(await readSubject(image, flags, settings, []), flags.json === true));
    return;
  }
  if (flags.digest) {
    const { source } = await readSubject(image, flags, settings, []);
    process.stdout.write(`${source.digest}\n`);
    return;
  }
  const { explainFor, hostsOf } = await import('./run.ts');
  const hosts = flags.fleet
    ? await (await import('./fleet.ts')).fleetOf(flags)
    : await hostsOf(namedHost(settings));
  const platforms = hosts.map(({ profile }) => profile.platform);
  const read = await readSubject(image, flags, settings, platforms);
  const { readResults } = await import('../../benchmark-results.ts');
  // Measurements are optional: an unreadable file of results does not prevent the answer.
  const results = await readResults(settings.values.data).catch(() => []);
  const subject = { ...read, measured: results.filter((result) => result.image === read.name) };
  const explanations = hosts.map((host) => explainFor(subject, host));
  process.stdout.write(await rendered(explanations, flags.json === true));
  if (explanations.every(({ answer }) => getsNothing(answer))) process.exitCode = 3;
}

/** True when there are entries for the platform, but the host runs none of them. */
function getsNothing(answer: Answer): boolean {
  return answer.kind === 'refused' || (answer.kind === 'derived' && answer.selection.winner === undefined);
}

async function rendered(explanations: readonly Explanation[], json: boolean): Promise<string> {
  const [first, ...others] = explanations;
  if (first === undefined)
    throw new UserError('there is no host to explain the image for', { exitStatus: 2 });
  if (json) return (await import('./json.ts')).renderJson(first, others);
  const page = { width: Math.min(process.stdout.columns ?? 100, 120), colour: wantsColour() };
  if (others.length > 0) return (await import('./matrix.ts')).renderMatrix([first, ...others], page);
  return (await import('./text.ts')).renderText(first, page);
}
