import { Command, CommanderError } from 'commander';
import { columnsOf } from './output.ts';
import { endQuietlyWithReader, reportError } from './user-error.ts';
import { VERSION } from './version.ts';

interface CommandModule {
  /**
   * Adds options, examples and the action to the bare command. `loadProgram` loads all commands, for commands
   * that describe them.
   */
  readonly configure: (command: Command, loadProgram: () => Promise<Command>) => void;
}

/** The commands, in the order of the help. */
const SUMMARIES = {
  detect: 'show what this host is',
  serve: 'run the mirror',
  setup: 'configure docker, containerd, podman and others to pull through the mirror',
  doctor: 'check that this machine pulls through the mirror',
  status: 'show the state of the running mirror: pulls, runtimes, cache, registries',
  explain: 'explain which entry of an image a host gets',
  catalog: 'manage images that publishers tag by hardware: list, enable, test',
  push: 'assemble a list of images with features, and push it',
  inspect: 'print what an image name refers to: entries, features, annotations, layers',
  config: 'show the settings and where they come from, and check files',
  bench: 'measure which entry of an image is fastest on this host',
  gaps: 'list missing builds of images, and print a build matrix',
  warm: 'fetch images before they are needed',
  cache: 'manage stored content: list, verify, prune',
  machine: 'manage the site’s accounts and machine types',
  group: 'manage groups of the site’s accounts: set, list, remove',
  token: 'manage tokens with which programs log in to this site: create, list, revoke',
  login: 'log this host’s runtimes in to a site with its features',
  completion: 'print a completion script for bash, zsh or fish',
  version: 'print the version',
} as const;

type CommandName = keyof typeof SUMMARIES;
const NAMES = Object.keys(SUMMARIES) as readonly CommandName[];

/** A command's module is imported only when the command runs, because users notice the start-up time. */
export type CommandLoaders = Readonly<Record<CommandName, () => Promise<CommandModule>>>;

function isCommand(word: string | undefined): word is CommandName {
  return word !== undefined && Object.hasOwn(SUMMARIES, word);
}

function createProgram(): Command {
  return new Command('metahub')
    .description('The same image name, and each host gets the entry that fits it best.')
    .version(VERSION, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [command]', 'show the help of a command')
    .showHelpAfterError('  metahub --help shows the commands.')
    .configureOutput({
      outputError: (text, write) => write(asOwnMessage(text)),
      getOutHelpWidth: () => columnsOf(process.stdout),
      getErrHelpWidth: () => columnsOf(process.stderr),
    })
    .exitOverride();
}

/** Converts an error of commander into the form of all other errors: one line, then the next step. */
function asOwnMessage(text: string): string {
  return text.replace(/^error: /, 'metahub: ').replace(/^\(Did you mean (.*)\)$/m, '  Did you mean $1');
}

/**
 * Finds the command in a command line before any module is loaded: the first word that is not an option, or
 * the word after `help`.
 */
function commandNamed(words: readonly string[]): string | undefined {
  const named = words.filter((word) => !word.startsWith('-'));
  return named[0] === 'help' ? named[1] : named[0];
}

/** Loads the program with all commands, for the manual page and the completions. */
export async function loadProgram(loaders: CommandLoaders): Promise<Command> {
  const program = createProgram();
  for (const name of NAMES) {
    const command = program.command(name).description(SUMMARIES[name]);
    (await loaders[name]()).configure(command, () => loadProgram(loaders));
  }
  return program;
}

/** Adds the commands that these words may name, and the options of the named one. */
async function addCommands(
  program: Command,
  words: readonly string[],
  configure: (name: CommandName, command: Command) => Promise<void>,
): Promise<void> {
  const named = commandNamed(words);
  // The words after a command belong to that command alone, so no other command is needed.
  for (const name of isCommand(words[0]) ? [words[0]] : NAMES) {
    const command = program.command(name).description(SUMMARIES[name]).exitOverride();
    if (name === named) await configure(name, command);
    for (const one of [command, ...command.commands]) {
      const path = one === command ? name : `${name} ${one.name()}`;
      one.showHelpAfterError(`  metahub ${path} --help shows its options.`);
    }
  }
}

/**
 * Runs a command line; `configure` adds the options of its command. Only this function converts an error into
 * an exit status.
 */
export async function runProgram(
  argv: readonly string[],
  configure: (name: CommandName, command: Command) => Promise<void>,
): Promise<void> {
  endQuietlyWithReader();
  const program = createProgram();
  try {
    const words = argv.slice(2);
    await addCommands(program, words, configure);
    if (words.length === 0) {
      program.outputHelp();
      return;
    }
    const named = commandNamed(words);
    // Commander prints nothing for `help` with an unknown command.
    const isMistaken = words[0] === 'help' && named !== undefined && !isCommand(named);
    await program.parseAsync(isMistaken ? [named] : words, { from: 'user' });
  } catch (error) {
    process.exitCode = error instanceof CommanderError ? (error.exitCode === 0 ? 0 : 2) : reportError(error);
  }
}
