import type { Command } from 'commander';
import { UserError } from '../user-error.ts';

/** Adds the options and the action of `metahub detect`. */
export function configure(command: Command): void {
  command.action(() => {
    throw new UserError('detect is not built yet');
  });
}
