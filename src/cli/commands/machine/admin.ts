import { ConfigError } from '../../../lib/config-error.ts';
import type { MachineAdmin } from '../../../site/machine-admin.ts';
import { UserError } from '../../user-error.ts';

/** The option that names the folder, with its default: the service's own. */
export function machinesOption(): readonly [flags: string, help: string, fallback: string] {
  const folder = process.env['METAHUB_MACHINES'] ?? '/etc/metahub/machines.d';
  return ['--machines <dir>', 'folder of the machine files (METAHUB_MACHINES)', folder];
}

const FOR_OTHERS = 'Run it as root, or name another folder with --machines.';

/** Works on the accounts of a folder; what is wrong says what to do. @throws {ConfigError} */
export async function withAdmin<T>(folder: string, work: (admin: MachineAdmin) => Promise<T>): Promise<T> {
  const { openMachineAdmin } = await import('../../../site/machine-admin.ts');
  try {
    return await work(openMachineAdmin(folder));
  } catch (error) {
    if (error instanceof ConfigError) {
      const unchanged = `Nothing was changed. The accounts are the files of ${folder}.`;
      throw error.with({ nextStep: error.code === 'read-only' ? FOR_OTHERS : (error.nextStep ?? unchanged) });
    }
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'EACCES' && code !== 'EROFS' && code !== 'EPERM') throw error;
    throw new UserError(message, { cause: error, nextStep: FOR_OTHERS });
  }
}
