import { configure } from './commands/serve/command.ts';
import { runProgram } from './program.ts';

/** Runs a command line that begins with `serve`, so that a mirror starts without loading other commands. */
export function main(argv: readonly string[]): Promise<void> {
  return runProgram(argv, async (_name, command) => configure(command));
}
