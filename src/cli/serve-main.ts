import { configure } from './commands/serve/command.ts';
import { runProgram } from './program.ts';

/** Runs a command line that begins with `serve`: a mirror starts without reading what other commands are made of. */
export function main(argv: readonly string[]): Promise<void> {
  return runProgram(argv, async (_name, command) => configure(command));
}
