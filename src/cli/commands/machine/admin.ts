import type { Command } from 'commander';
import { ConfigError, whyUnwritable } from '../../../lib/config-error.ts';
import type { MachineAdmin } from '../../../site/machine-admin.ts';
import { SITE_OPTIONS } from '../../site-options.ts';
import { UserError } from '../../user-error.ts';

/** Returns the option that names the folder. Its default is the folder of the service. */
export function machinesOption(): readonly [flags: string, help: string, fallback: string] {
  const folder = process.env['METAHUB_MACHINES'] ?? '/etc/metahub/machines.d';
  return ['--machines <dir>', 'directory of the machine files (METAHUB_MACHINES)', folder];
}

/** Returns a function that adds a subcommand with its examples, and the option of the folder. */
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

/** Adds the options that name a remote site. The others of them mean nothing without `--site`. */
export function withSiteOptions(subcommand: Command): Command {
  return SITE_OPTIONS.reduce((known, [flags, help]) => known.option(flags, help), subcommand).hook(
    'preAction',
    (called) => {
      const { site, user, passwordFile } = called.opts();
      if (site !== undefined || (user === undefined && passwordFile === undefined)) return;
      throw new UserError(`${user === undefined ? '--password-file' : '--user'} works only with --site`, {
        nextStep: 'Add --site URL, or leave it out.',
        exitStatus: 2,
      });
    },
  );
}

const FOR_OTHERS = 'Run it as root, or name another directory with --machines.';

/** Works on the accounts of a folder. Adds a next step to its errors. @throws {ConfigError} */
export async function withAdmin<T>(folder: string, work: (admin: MachineAdmin) => Promise<T>): Promise<T> {
  const { openMachineAdmin } = await import('../../../site/machine-admin.ts');
  try {
    return await work(openMachineAdmin(folder));
  } catch (thrown) {
    // The operator may see the file, so report the cause instead.
    const error = thrown instanceof ConfigError && thrown.code === 'unreadable' ? thrown.cause : thrown;
    if (error instanceof ConfigError) {
      const unchanged = `Nothing was changed. The accounts are the files of ${folder}.`;
      throw error.with({ nextStep: error.code === 'read-only' ? FOR_OTHERS : (error.nextStep ?? unchanged) });
    }
    const { code, path = folder } = error as NodeJS.ErrnoException;
    if (code !== 'EACCES' && code !== 'EROFS' && code !== 'EPERM') throw error;
    const why = code === 'EROFS' ? whyUnwritable(error) : 'this user may not use it';
    throw new UserError(`${path}: ${why}`, { cause: error, nextStep: FOR_OTHERS });
  }
}
