import { Argument, type Command } from 'commander';
import { helpText } from '../../help-text.ts';
import { bashCompletion } from './bash.ts';
import { fishCompletion } from './fish.ts';
import { describeCommand } from './words.ts';
import { zshCompletion } from './zsh.ts';

const SCRIPTS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } as const;

type Shell = keyof typeof SCRIPTS;

/** Adds the argument and the action of `metahub completion`. */
export function configure(command: Command, loadProgram: () => Promise<Command>): void {
  command
    .addArgument(new Argument('<shell>', 'the shell').choices(Object.keys(SCRIPTS)))
    .addHelpText(
      'after',
      helpText(
        [
          ['source <(metahub completion bash)', 'in ~/.bashrc, or for this shell alone'],
          ['source <(metahub completion zsh)', 'in ~/.zshrc, after compinit'],
          ['metahub completion fish | source', 'in ~/.config/fish/config.fish'],
        ],
        'The Debian package installs all three.',
      ),
    )
    .action(async (shell: Shell) => {
      process.stdout.write(SCRIPTS[shell](describeCommand(await loadProgram())));
    });
}
