import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import type { MirrorTarget } from '../../../setup/runtime.ts';
import { helpText } from '../../help-text.ts';
import { JsonOption } from '../../json-option.ts';
import { documentText } from '../../output.ts';
import { addSettings } from '../../settings/load.ts';
import {
  addTargetOptions,
  loadTarget,
  setupCommand,
  TARGET_SETTINGS,
  type TargetFlags,
} from '../../settings/mirror-target.ts';
import { UserError } from '../../user-error.ts';
import type { Status } from './document.ts';

interface StatusFlags extends TargetFlags {
  readonly watch?: boolean;
  readonly json?: boolean;
  readonly last: string;
}

const WATCH_MS = 2000;
const LAST_MAX = 200;
/** Moves the cursor home and clears the terminal, so that the output replaces its content. */
const CLEAR = '\u001b[H\u001b[2J';

const EXAMPLES = helpText(
  [
    ['metahub status', 'show the state of the mirror on this machine'],
    ['metahub status --watch', 'show the state again and again until Ctrl-C'],
    ['metahub status --json | jq .cache.usedBytes'],
    ['metahub status --mirror http://10.0.0.7:5080', 'show the state of another mirror'],
  ],
  'A pull is an answer to a tag: fitted (the chosen entry demands hardware that the host has), generic (the chosen entry demands no hardware, but others ' +
    'do), unchanged (no entry demands hardware), refused (the host can run no entry), failed (the registry gave no answer).',
  'Exit status: 0 the mirror is ready, 1 no mirror answers, 2 a wrong option, 3 the mirror is not ready or refused the latest reload.',
);

/** Adds the options and the action of `metahub status`. */
export function configure(command: Command): void {
  addSettings(command, TARGET_SETTINGS);
  addTargetOptions(command);
  command
    .option('--watch', `show the state again every ${WATCH_MS / 1000} seconds`)
    .option('--last <number>', 'how many pulls to show', '10')
    .addOption(new JsonOption('status', { note: 'with --watch, one line each time' }))
    .addHelpText('after', EXAMPLES)
    .action(status);
}

function readLast(text: string): number {
  const last = /^\d{1,3}$/.test(text) ? Number(text) : Number.NaN;
  if (last <= LAST_MAX) return last;
  throw new UserError(`--last ${text} is not a number from 0 to ${LAST_MAX}`, { exitStatus: 2 });
}

async function status(flags: StatusFlags): Promise<void> {
  const last = readLast(flags.last);
  const [{ target }, { readStatus }, { renderStatus }] = await Promise.all([
    loadTarget(flags),
    import('./document.ts'),
    import('./render.ts'),
  ]);
  const textOf = (now: Status) => {
    if (flags.json) return documentText<'status'>(now, flags.watch ? 0 : 2);
    return renderStatus(now, { last, nowMs: Date.now(), setup: (runtime) => setupCommand(runtime, flags) });
  };
  const first = await readStatus(target);
  if (flags.watch) return watch(first, { target, readStatus, textOf, isJson: flags.json === true });
  process.stdout.write(textOf(first));
  if (first.notReady !== undefined || first.reload?.refused !== undefined) process.exitCode = 3;
}

interface Watching {
  readonly target: MirrorTarget;
  readonly readStatus: (target: MirrorTarget) => Promise<Status>;
  readonly textOf: (now: Status) => string;
  readonly isJson: boolean;
}

/** Shows a mirror until the process ends. Waits for a mirror that is away, as during a restart. */
async function watch(first: Status, { target, readStatus, textOf, isJson }: Watching): Promise<never> {
  const start = process.stdout.isTTY && !isJson ? CLEAR : '';
  process.stdout.write(start + textOf(first));
  for (;;) {
    await delay(WATCH_MS);
    try {
      process.stdout.write(start + textOf(await readStatus(target)));
    } catch (error) {
      if (isJson) process.stderr.write(`metahub: ${(error as Error).message}\n`);
      else process.stdout.write(`${start}${(error as Error).message}\n`);
    }
  }
}
