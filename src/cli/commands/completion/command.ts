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
          ['source <(metahub completion bash)', 'for ~/.bashrc, or for this shell'],
          ['source <(metahub completion zsh)', 'for ~/.zshrc, after compinit'],
          ['metahub completion fish | source', 'for ~/.config/fish/config.fish'],
        ],
        'The Debian package installs the scripts for all three shells.',
      ),
    )
    .action(async (shell: Shell) => {
      process.stdout.write(SCRIPTS[shell](describeCommand(await loadProgram())));
    });
}
