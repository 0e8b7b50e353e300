import type { Command } from 'commander';
import { UserError } from '../user-error.ts';

/** Adds the options and the action of `metahub serve`. */
export function configure(command: Command): void {
  command.action(() => {
    throw new UserError('serve is not built yet');
  });
}
