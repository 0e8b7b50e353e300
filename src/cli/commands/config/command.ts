import type { Command } from 'commander';
import { tableText } from '../../../lib/text.ts';
import { helpText } from '../../help-text.ts';
import { JsonOption } from '../../json-option.ts';
import { documentText } from '../../output.ts';
import { addSettings, CONFIG_FLAG, loadServiceSettings } from '../../settings/load.ts';
import type { SettingTable } from '../../settings/setting.ts';
import { SERVE_SETTINGS } from '../../settings/table.ts';

/** Converts maps into objects, so that the output can be copied into the file. */
function plain(value: unknown): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, item]) => [key, plain(item)]));
  return value;
}

/** Returns the value in the form of the file. */
function written(name: string, value: unknown): unknown {
  const { format } = (SERVE_SETTINGS as SettingTable)[name] ?? {};
  return format === undefined ? plain(value) : format(value as never);
}

function shown(value: unknown): string {
  if (typeof value === 'string') return value;
  const json = JSON.stringify(value) ?? '';
  return ['', '{}', '[]'].includes(json) ? '-' : json;
}

interface ShowOptions {
  readonly origin?: boolean;
  readonly json?: boolean;
}

async function show(flags: ShowOptions & Readonly<Record<string, unknown>>): Promise<void> {
  const { values, origins, filePath, mistaken } = await loadServiceSettings(SERVE_SETTINGS, flags);
  for (const { message } of mistaken) process.stderr.write(`metahub: ${message}\n`);
  const rows = Object.entries(values).map(([name, value]) => ({
    name,
    value: written(name, value),
    origin: origins[name as keyof typeof origins],
  }));
  if (flags.json) {
    const settings = Object.fromEntries(rows.map(({ name, value, origin }) => [name, { value, origin }]));
    process.stdout.write(documentText<'config-show'>({ file: filePath ?? null, settings }));
    return;
  }
  const table = rows.map(({ name, value, origin }) => {
    const where = origin === 'file' ? (filePath ?? origin) : origin;
    return [name, ...(flags.origin ? [where] : []), shown(value)];
  });
  const headings = ['SETTING', ...(flags.origin ? ['FROM'] : []), 'VALUE'];
  process.stdout.write(tableText([headings, ...table]));
}

interface CheckOptions {
  readonly config?: string;
  readonly json?: boolean;
}

async function check(files: readonly string[], flags: CheckOptions): Promise<void> {
  const { checkFile, checkInForce, renderChecks } = await import('./check.ts');
  const checks =
    files.length > 0 ? await Promise.all(files.map((file) => checkFile(file))) : await checkInForce(flags);
  const complaints = checks.flatMap((one) => one.complaints);
  const isValid = complaints.length === 0;
  process.stdout.write(
    flags.json ? documentText<'config-check'>({ valid: isValid, checks }) : renderChecks(checks),
  );
  if (!isValid) process.exitCode = complaints.every(({ code }) => code === 'unreadable') ? 1 : 2;
}

/** Adds the options and the actions of `metahub config`. */
export function configure(command: Command): void {
  command.addHelpText(
    'after',
    helpText([
      ['metahub config show --origin', 'print every setting, its value and its origin'],
      ['metahub config check', 'check the settings, policies, image lists and machine types'],
    ]),
  );
  const showing = command
    .command('show')
    .description('print every setting of the mirror and its value')
    .exitOverride();
  addSettings(showing, SERVE_SETTINGS);
  showing
    .option('--origin', 'show where each value comes from: flag, environment, file, service or default')
    .addOption(new JsonOption('config-show'))
    .addHelpText(
      'after',
      helpText([
        ['metahub config show --origin', 'print also where each value comes from'],
        ['METAHUB_LISTEN=127.0.0.1:5099 metahub config show --json'],
      ]),
    )
    .action(show);

  command
    .command('check')
    .description('check the current configuration, or files before they take effect')
    .exitOverride()
    .argument('[file...]', 'files of settings, image lists, machine types or groups')
    .option(...CONFIG_FLAG)
    .addOption(new JsonOption('config-check'))
    .addHelpText(
      'after',
      helpText(
        [
          ['metahub config check', 'check the configuration file and the directories that it names'],
          [
            'metahub config check new.yaml images.d/*.yml',
            'check these files; their content tells their kind',
          ],
        ],
        'Exit status: 0 all is valid, 1 a file is missing or cannot be read, 2 a file is not valid, or a wrong option.',
      ),
    )
    .action(check);
}
