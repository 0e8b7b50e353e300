import type { Command } from 'commander';
import { UserError } from '../user-error.ts';

/** Adds the options and the action of `metahub explain`. */
export function configure(command: Command): void {
  command.action(() => {
    throw new UserError('explain is not built yet');
  });
}
