import type { Command } from 'commander';
import { printable, wrap } from '../../../lib/text.ts';
import { helpText } from '../../help-text.ts';
import { painted } from '../../output.ts';
import { addSettings } from '../../settings/load.ts';
import {
  addTargetOptions,
  loadTarget,
  TARGET_SETTINGS,
  type TargetFlags,
} from '../../settings/mirror-target.ts';
import type { NamedResult } from './check.ts';

interface DoctorFlags extends TargetFlags {
  readonly json?: boolean;
}

const WIDTH = 100;
const MARKS = { pass: ['✓', 'green'], warn: ['!', 'yellow'], fail: ['✗', 'red'] } as const;

const EXAMPLES = helpText(
  [
    ['metahub doctor', 'run every check on this machine'],
    ['metahub doctor --json', 'the same for programs'],
  ],
  'Each check passes, warns or fails, with a remedy. “uses the mirror” makes the runtime look up a tag that only the mirror knows, ' +
    'and sees whether the request came there.',
  'Exit status: 0 every check passed, 1 one failed, 2 a wrong option, 3 one warned.',
);

/** Adds the options and the action of `metahub doctor`. */
export function configure(command: Command): void {
  addSettings(command, TARGET_SETTINGS);
  addTargetOptions(command);
  command.option('--json', 'print JSON').addHelpText('after', EXAMPLES).action(doctor);
}

async function doctor(flags: DoctorFlags): Promise<void> {
  const [
    { target, data },
    { configFilesAt },
    { installedRuntimes },
    { runChecks },
    { mirrorChecks },
    { runtimeChecks },
  ] = await Promise.all([
    loadTarget(flags),
    import('../../../setup/files.ts'),
    import('../../../setup/runtimes.ts'),
    import('./check.ts'),
    import('./mirror.ts'),
    import('./runtimes.ts'),
  ]);
  const files = configFilesAt('/');
  const results = await runChecks([
    ...mirrorChecks(target.url, data),
    ...runtimeChecks(installedRuntimes(files), files, target),
  ]);
  const text = flags.json
    ? `${JSON.stringify({ checks: results }, undefined, 2)}\n`
    : results.map(renderCheck).join('');
  process.stdout.write(text);
  const has = (status: NamedResult['status']) => results.some((result) => result.status === status);
  if (has('fail')) process.exitCode = 1;
  else if (has('warn')) process.exitCode = 3;
}

function renderCheck(result: NamedResult): string {
  const [mark, colour] = MARKS[result.status];
  const lines = wrap(`${result.name}: ${printable(result.message)}`, WIDTH);
  const remedy = result.status === 'pass' ? [] : wrap(printable(result.remedy), WIDTH);
  return `${painted(mark, colour)} ${[...lines, ...remedy].join('\n    ')}\n`;
}
