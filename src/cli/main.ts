import type { Command } from 'commander';
import { type CommandLoaders, loadProgram, runProgram } from './program.ts';

const LOADERS: CommandLoaders = {
  detect: () => import('./commands/detect/command.ts'),
  serve: () => import('./commands/serve/command.ts'),
  setup: () => import('./commands/setup/command.ts'),
  doctor: () => import('./commands/doctor/command.ts'),
  status: () => import('./commands/status/command.ts'),
  explain: () => import('./commands/explain/command.ts'),
  catalog: () => import('./commands/catalog/command.ts'),
  push: () => import('./commands/push/command.ts'),
  inspect: () => import('./commands/inspect/command.ts'),
  config: () => import('./commands/config/command.ts'),
  bench: () => import('./commands/bench/command.ts'),
  gaps: () => import('./commands/gaps/command.ts'),
  warm: () => import('./commands/warm/command.ts'),
  cache: () => import('./commands/cache/command.ts'),
  machine: () => import('./commands/machine/command.ts'),
  group: () => import('./commands/group/command.ts'),
  token: () => import('./commands/token/command.ts'),
  login: () => import('./commands/login/command.ts'),
  completion: () => import('./commands/completion/command.ts'),
  version: () => import('./commands/version/command.ts'),
};

/** Returns the program with all commands loaded. */
export function completeProgram(): Promise<Command> {
  return loadProgram(LOADERS);
}

/** Runs the command line. */
export function main(argv: readonly string[]): Promise<void> {
  return runProgram(argv, async (name, command) => {
    (await LOADERS[name]()).configure(command, completeProgram);
  });
}
