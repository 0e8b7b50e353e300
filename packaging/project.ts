import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of the checkout. */
export const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** The folder of everything that is published. */
export const RELEASE = join(ROOT, 'dist/release');

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly homepage: string;
}

export const MANIFEST: Manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));

/** Name of a processor architecture, as Debian and Go spell it. */
export type Architecture = 'amd64' | 'arm64';

export const HOST_ARCHITECTURE: Architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';

/** Runs a program, whose errors go to stderr; returns its output. */
export function run(
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string } = {},
): string {
  return execFileSync(command, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 64 * 2 ** 20,
    ...options,
  });
}

/** Returns the time of files in packages, in seconds since 1970, so that the same commit gives the same bytes. */
export function sourceDateEpoch(): number {
  const set = process.env['SOURCE_DATE_EPOCH'];
  return Number(set ?? run('git', ['log', '-1', '--format=%ct'], { cwd: ROOT }).trim());
}
