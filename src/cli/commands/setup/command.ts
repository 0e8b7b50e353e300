import { execFile } from 'node:child_process';
import { statSync } from 'node:fs';
import { promisify } from 'node:util';
import type { Command } from 'commander';
import { createTwoFilesPatch } from 'diff';
import { wrap } from '../../../lib/text.ts';
import { RUNTIME_SETUP_NAMES } from '../../../setup/runtime.ts';
import type { RuntimeOutcome } from '../../../setup/setup.ts';
import { helpText } from '../../help-text.ts';
import { JsonOption } from '../../json-option.ts';
import { documentText } from '../../output.ts';
import { addSettings } from '../../settings/load.ts';
import {
  addTargetOptions,
  loadTarget,
  TARGET_SETTINGS,
  type TargetFlags,
} from '../../settings/mirror-target.ts';
import { UserError } from '../../user-error.ts';

interface SetupFlags extends TargetFlags {
  readonly dryRun?: boolean;
  readonly remove?: boolean;
  readonly reload?: boolean;
  readonly root: string;
  readonly json?: boolean;
}

const EXAMPLES = helpText(
  [
    ['metahub setup all --dry-run', 'show what would change for every installed runtime'],
    ['metahub setup all --reload', 'configure them, and make their daemons read the changes'],
    ['metahub setup docker podman', 'configure only these two'],
    ['metahub setup containerd --strict', 'configure no fallback to the registry'],
    ['metahub setup all --remove --reload', 'restore the earlier files'],
  ],
  'setup merges its part into the files and keeps other settings. --remove restores a file byte for byte when nobody has edited it since; in an ' +
    'edited file it removes only MetaHub’s part. setup keeps the earlier content in /var/lib/metahub/setup.',
  'Exit status: 0 done, 1 no file could be changed, 2 a wrong option, 3 a runtime was not configured, or a daemon did not reload.',
);

/** Adds the options and the action of `metahub setup`. */
export function configure(command: Command): void {
  command.argument('[runtime...]', `${RUNTIME_SETUP_NAMES.join(', ')} or all (the installed ones)`);
  addSettings(command, TARGET_SETTINGS);
  addTargetOptions(command);
  command
    .option('--dry-run', 'show the changes without writing them')
    .option('--remove', 'remove what setup added')
    .addOption(
      command
        .createOption('--strict', 'configure no fallback to the registry, if the runtime allows that')
        .conflicts('remove'),
    )
    .addOption(
      command.createOption('--reload', 'make the running daemons read the changes').conflicts('root'),
    )
    .option('--root <dir>', 'configure the machine below this directory instead of this one', '/')
    .addOption(new JsonOption('setup'))
    .addHelpText('after', EXAMPLES)
    .action(setup);
}

async function setup(names: readonly string[], flags: SetupFlags): Promise<void> {
  const [{ target }, { configFilesAt }, { RUNTIME_SETUPS, installedRuntimes }, actions] = await Promise.all([
    loadTarget(flags),
    import('../../../setup/files.ts'),
    import('../../../setup/runtimes.ts'),
    import('../../../setup/setup.ts'),
  ]);
  if (!statSync(flags.root, { throwIfNoEntry: false })?.isDirectory()) {
    throw new UserError(`--root ${flags.root}: there is no such directory`, {
      nextStep: 'Name the directory that holds the machine’s etc, usr and var.',
    });
  }
  const unknown = names.find((name) => name !== 'all' && !RUNTIME_SETUPS.some((each) => each.name === name));
  if (unknown !== undefined) {
    throw new UserError(`${unknown} is not a runtime that setup knows`, {
      nextStep: `Name ${RUNTIME_SETUP_NAMES.join(', ')}, or all.`,
      exitStatus: 2,
    });
  }
  const isAll = names.length === 0 || names.includes('all');
  const candidates = isAll && !flags.remove ? installedRuntimes(configFilesAt(flags.root)) : RUNTIME_SETUPS;
  const runtimes = isAll ? candidates : RUNTIME_SETUPS.filter(({ name }) => names.includes(name));
  if (runtimes.length === 0) {
    throw new UserError('no container runtime is installed here', {
      nextStep: `Name the one to configure: ${RUNTIME_SETUP_NAMES.join(', ')}.`,
    });
  }
  const options = {
    root: flags.root,
    dryRun: flags.dryRun === true,
    target,
  };
  const outcomes = await (flags.remove ? actions.removeFromRuntimes : actions.configureRuntimes)(
    runtimes,
    options,
  );
  const isReloading = flags.reload === true && !options.dryRun && flags.root === '/';
  const reloads = isReloading ? await reloadRuntimes(outcomes) : [];
  process.stdout.write(
    flags.json ? renderJson(outcomes, reloads) : renderText(outcomes, reloads, options.dryRun),
  );
  const failed = [...outcomes, ...reloads].filter(({ error }) => error !== undefined).length;
  if (failed > 0) process.exitCode = outcomes.every(({ error }) => error !== undefined) ? 1 : 3;
}

/** Time limit for reloading a daemon, in milliseconds. */
const RELOAD_MS = 120_000;
const WIDTH = 100;

export interface Reload {
  readonly command: string;
  readonly error?: string;
}

/** Returns the commands that make daemons read their changes, each once. */
function reloadCommands(
  outcomes: readonly RuntimeOutcome[],
): ReadonlyMap<string, readonly [string, ...string[]]> {
  return new Map(
    outcomes.flatMap(({ reload }) => (reload === undefined ? [] : [[reload.join(' '), reload]])),
  );
}

/** Makes each daemon read its changes, one after another. */
async function reloadRuntimes(outcomes: readonly RuntimeOutcome[]): Promise<readonly Reload[]> {
  const reloads: Reload[] = [];
  for (const [command, [program, ...args]] of reloadCommands(outcomes)) {
    try {
      await promisify(execFile)(program, args, { timeout: RELOAD_MS });
      reloads.push({ command });
    } catch (error) {
      const { stderr, message } = error as { readonly stderr?: string; readonly message: string };
      reloads.push({ command, error: stderr?.trim() || message });
    }
  }
  return reloads;
}

export function renderJson(outcomes: readonly RuntimeOutcome[], reloads: readonly Reload[]): string {
  const runtimes = outcomes.map(({ runtime, changes, warnings, reload, error }) => ({
    runtime,
    changes: changes.map(({ path, before, after }) => ({
      path,
      before: before ?? null,
      after: after ?? null,
    })),
    warnings,
    reload: reload?.join(' ') ?? null,
    error: error ?? null,
  }));
  const ran = reloads.map(({ command, error }) => ({ command, error: error ?? null }));
  return documentText<'setup'>({ runtimes, reloads: ran });
}

function diffOf({ path, before, after }: RuntimeOutcome['changes'][number]): string {
  const [from, to] = [before === undefined ? '/dev/null' : path, after === undefined ? '/dev/null' : path];
  return createTwoFilesPatch(from, to, before ?? '', after ?? '').replace(/^(?:Index: .*\n)?=+\n/, '');
}

function renderOutcome({ runtime, changes, warnings, error }: RuntimeOutcome, isDry: boolean): string {
  if (error !== undefined) return `${runtime}: left as it is\n  ${error}\n`;
  const what = changes.length === 0 ? 'nothing to change' : isDry ? 'would change' : 'changed';
  const notes = warnings.map((warning) => wrap(`warning: ${warning}`, WIDTH).join('\n    '));
  return [`${runtime}: ${what}`, ...changes.map(diffOf), ...notes.map((note) => `  ${note}`), ''].join('\n');
}

/** Formats each runtime's changes as a unified diff, its warnings, and the remaining steps. */
export function renderText(
  outcomes: readonly RuntimeOutcome[],
  reloads: readonly Reload[],
  isDry: boolean,
): string {
  const shown = outcomes.map((outcome) => renderOutcome(outcome, isDry));
  const done = reloads.map(({ command, error }) =>
    error === undefined ? `ran: ${command}` : `failed: ${command}\n  ${error}`,
  );
  const open = isDry || reloads.length > 0 ? [] : [...reloadCommands(outcomes).keys()];
  const next =
    open.length > 0 ? [`To make the running daemons read it: ${open.join(' && ')} (--reload runs it)`] : [];
  return `${[...shown, ...done, ...next].join('\n')}\n`;
}
