import type { Command } from 'commander';
import type { Answer } from '../../../selection/answer.ts';
import { helpText } from '../../help-text.ts';
import { wantsColour } from '../../output.ts';
import { addSettings, loadSettings } from '../../settings/load.ts';
import { UserError } from '../../user-error.ts';
import { EXPLAIN_SETTINGS, type ExplainFlags } from './load.ts';
import type { Explanation } from './run.ts';

const EXAMPLES = helpText(
  [
    ['metahub explain qnib/bench', 'which entry this host gets, and why'],
    ['metahub explain --set cpu:zen4 ghcr.io/a/b:v1', 'the same for a host that is a zen4'],
    ['metahub explain --profile a.json --profile b.json qnib/bench', 'which of these hosts runs which entry'],
    ['metahub explain --requires qnib/bench', 'the least hardware that runs it at all'],
    ['metahub explain --digest qnib/bench', 'the digest at the registry, which every node can pull'],
    ['metahub explain --manifest index.json', 'an index from a file, without a registry'],
  ],
  'Exit status: 0 answered, 1 the image could not be had, 2 a wrong option, 3 no host asked for can run it.',
);

/** Adds the options and the action of `metahub explain`. */
export function configure(command: Command): void {
  command.argument('[image]', 'as in docker pull: alpine, ghcr.io/a/b:v1');
  addSettings(command, EXPLAIN_SETTINGS);
  command
    .option('--manifest <file>', 'read the index from this file instead of a registry')
    .option('--requires', 'print the least hardware that runs the image at all')
    .option('--read-config', 'heed NVIDIA_REQUIRE_* in the configuration of each entry’s image too')
    .option('--digest', 'print only the digest at the registry, which hosts of every kind can pull')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action(explain);
}

async function explain(image: string | undefined, flags: ExplainFlags): Promise<void> {
  if (image === undefined && flags.manifest === undefined) {
    throw new UserError('which image?', {
      nextStep: 'Name one (metahub explain alpine), or a file (--manifest index.json).',
      exitStatus: 2,
    });
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
  const hosts = await hostsOf(settings.values);
  const platforms = hosts.map(({ profile }) => profile.platform);
  const read = await readSubject(image, flags, settings, platforms);
  const { readResults } = await import('../../benchmark-results.ts');
  // Measurements are an extra: a file of them that cannot be read spoils no answer.
  const results = await readResults(settings.values.data).catch(() => []);
  const subject = { ...read, measured: results.filter((result) => result.image === read.name) };
  const explanations = hosts.map((host) => explainFor(subject, host));
  process.stdout.write(await rendered(explanations, flags.json === true));
  if (explanations.every(({ answer }) => getsNothing(answer))) process.exitCode = 3;
}

/** Entries for this platform there are, but none that runs. */
function getsNothing(answer: Answer): boolean {
  return answer.kind === 'refused' || (answer.kind === 'derived' && answer.selection.winner === undefined);
}

async function rendered(explanations: readonly Explanation[], json: boolean): Promise<string> {
  const [first, ...others] = explanations;
  if (first === undefined) throw new UserError('there is no host to ask for', { exitStatus: 2 });
  if (json) return (await import('./json.ts')).renderJson(first, others);
  const page = { width: Math.min(process.stdout.columns ?? 100, 120), colour: wantsColour() };
  if (others.length > 0) return (await import('./matrix.ts')).renderMatrix([first, ...others], page);
  return (await import('./text.ts')).renderText(first, page);
}
