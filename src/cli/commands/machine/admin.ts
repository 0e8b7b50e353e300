import type { MachineAdmin } from '../../../site/machine-admin.ts';
import { UserError } from '../../user-error.ts';

/** The option that names the folder, with its default: the service's own. */
export function machinesOption(): readonly [flags: string, help: string, fallback: string] {
  const folder = process.env['METAHUB_MACHINES'] ?? '/etc/metahub/machines.d';
  return ['--machines <dir>', 'folder of the machine files (METAHUB_MACHINES)', folder];
}

/** Works on the accounts of a folder; what is wrong with machine files becomes an error for the user. @throws {UserError} */
export async function withAdmin<T>(folder: string, work: (admin: MachineAdmin) => Promise<T>): Promise<T> {
  const [{ openMachineAdmin }, { MachineFileError }] = await Promise.all([
    import('../../../site/machine-admin.ts'),
    import('../../../site/machine-file-error.ts'),
  ]);
  try {
    return await work(openMachineAdmin(folder));
  } catch (error) {
    if (error instanceof MachineFileError && error.problem === 'read-only') {
      throw new UserError(error.message, {
        cause: error,
        nextStep: 'Run it as root, or name another folder with --machines.',
      });
    }
    if (error instanceof MachineFileError) {
      throw new UserError(error.message, {
        cause: error,
        nextStep: `Nothing was changed. The accounts are the files of ${folder}.`,
      });
    }
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'EACCES' && code !== 'EROFS' && code !== 'EPERM') throw error;
    throw new UserError(message, {
      cause: error,
      nextStep: 'Run it as root, or name another folder with --machines.',
    });
  }
}
