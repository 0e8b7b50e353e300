import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

const DIRECTORIES = [...(process.env['PATH'] ?? '').split(':'), '/usr/local/sbin', '/usr/sbin', '/sbin'];

/** The Debian package of a program, where the names differ. */
const PACKAGES: Readonly<Record<string, string>> = {
  dockerd: 'docker.io',
  docker: 'docker.io',
  ctr: 'containerd',
  nginx: 'nginx-light',
  'systemd-analyze': 'systemd',
  scontrol: 'slurm-client',
  sbatch: 'slurm-client',
};

function isInstalled(program: string): boolean {
  return DIRECTORIES.some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false; // not in this directory
    }
  });
}

/** The packages to install for missing `programs`; `root` means running as root. */
export function lacking(programs: readonly string[]): readonly string[] {
  const missing = programs.filter((name) =>
    name === 'root' ? process.getuid?.() !== 0 : !isInstalled(name),
  );
  return [...new Set(missing.map((name) => PACKAGES[name] ?? name))];
}
