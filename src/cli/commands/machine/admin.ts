import type { Command } from 'commander';
import { ConfigError } from '../../../lib/config-error.ts';
import type { MachineAdmin } from '../../../site/machine-admin.ts';
import { SITE_OPTIONS } from '../../site-options.ts';
import { UserError } from '../../user-error.ts';

/** The option that names the folder, with its default: the service's own. */
export function machinesOption(): readonly [flags: string, help: string, fallback: string] {
  const folder = process.env['METAHUB_MACHINES'] ?? '/etc/metahub/machines.d';
  return ['--machines <dir>', 'folder of the machine files (METAHUB_MACHINES)', folder];
}

/** Makes subcommands that work on a folder of machine files, by default the service's own; each has its examples. */
export function machineSubcommands<Name extends string>(
  command: Command,
  examples: Readonly<Record<Name, string>>,
) {
  return (name: Name, operands: string, summary: string) =>
    command
      .command(`${name}${operands}`)
      .description(summary)
      .option(...machinesOption())
      .addHelpText('after', examples[name])
      .exitOverride();
}

/** Adds the options that name a remote site. */
export function withSiteOptions(subcommand: Command): Command {
  return SITE_OPTIONS.reduce((known, [flags, help]) => known.option(flags, help), subcommand);
}

const FOR_OTHERS = 'Run it as root, or name another folder with --machines.';

/** Works on the accounts of a folder; an error has a next step. @throws {ConfigError} */
export async function withAdmin<T>(folder: string, work: (admin: MachineAdmin) => Promise<T>): Promise<T> {
  const { openMachineAdmin } = await import('../../../site/machine-admin.ts');
  try {
    return await work(openMachineAdmin(folder));
  } catch (thrown) {
    // The operator sees the file itself.
    const error = thrown instanceof ConfigError && thrown.code === 'unreadable' ? thrown.cause : thrown;
    if (error instanceof ConfigError) {
      const unchanged = `Nothing was changed. The accounts are the files of ${folder}.`;
      throw error.with({ nextStep: error.code === 'read-only' ? FOR_OTHERS : (error.nextStep ?? unchanged) });
    }
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'EACCES' && code !== 'EROFS' && code !== 'EPERM') throw error;
    throw new UserError(message, { cause: error, nextStep: FOR_OTHERS });
  }
}
