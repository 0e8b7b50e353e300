import { fileURLToPath } from 'node:url';
import { attempt, type ProgramOptions, type ProgramResult } from './processes.ts';

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).href;
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Runs `metahub` as a process, from the sources. */
export function metahub(args: readonly string[], options: ProgramOptions = {}): Promise<ProgramResult> {
  const start = `import(${JSON.stringify(MAIN)}).then(({ main }) => main(['node', 'metahub', ...process.argv.slice(1)]))`;
  return attempt(process.execPath, ['--import', 'tsx', '--eval', start, '--', ...args], {
    cwd: ROOT,
    ...options,
  });
}
