import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'vitest';

const DIRECTORIES = [...(process.env['PATH'] ?? '').split(':'), '/usr/local/sbin', '/usr/sbin', '/sbin'];

/** The Debian package of a program, where the names differ. */
const PACKAGES: Readonly<Record<string, string>> = {
  dockerd: 'docker.io',
  docker: 'docker.io',
  ctr: 'containerd',
  nginx: 'nginx-light',
  'systemd-analyze': 'systemd',
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

/** What is lacking of `programs`, as what to install; `root` stands for being root. */
export function lacking(programs: readonly string[]): readonly string[] {
  const missing = programs.filter((name) =>
    name === 'root' ? process.getuid?.() !== 0 : !isInstalled(name),
  );
  return [...new Set(missing.map((name) => PACKAGES[name] ?? name))];
}

/**
 * A `describe` that needs real programs. Without them its tests are skipped, with a line that says why, unless
 * METAHUB_E2E=required, which makes the absence a failure.
 */
export function describeWith(programs: readonly string[], name: string, body: () => void): void {
  const missing = lacking(programs);
  if (missing.length === 0) {
    describe(name, body);
  } else if (process.env['METAHUB_E2E'] === 'required') {
    describe(name, () => {
      test('finds what it needs', () => {
        throw new Error(`missing: ${missing.join(', ')}`);
      });
    });
  } else {
    process.stderr.write(`SKIPPED ${name}: missing ${missing.join(', ')}\n`);
    describe.skip(name, body);
  }
}
