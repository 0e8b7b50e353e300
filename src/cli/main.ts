import { Command, CommanderError } from 'commander';
import { columnsOf } from './output.ts';
import { endQuietlyWithReader, reportError } from './user-error.ts';
import { VERSION } from './version.ts';

interface CommandModule {
  /** Adds options, examples and the action to the bare command; `loadProgram` loads all commands, for those that describe them. */
  readonly configure: (command: Command, loadProgram: () => Promise<Command>) => void;
}

interface CommandEntry {
  readonly summary: string;
  readonly load: () => Promise<CommandModule>;
}

/** Each command's module is imported only when it is the one asked for: start-up time is part of the product. */
const COMMANDS: Readonly<Record<string, CommandEntry>> = {
  detect: { summary: 'show what this host is', load: () => import('./commands/detect/command.ts') },
  serve: { summary: 'run the mirror', load: () => import('./commands/serve/command.ts') },
  setup: {
    summary: 'configure docker, containerd, podman and others to pull through the mirror',
    load: () => import('./commands/setup/command.ts'),
  },
  doctor: {
    summary: 'check that pulls of this machine go through the mirror',
    load: () => import('./commands/doctor/command.ts'),
  },
  status: {
    summary: 'show how the running mirror is: pulls, runtimes, cache, registries',
    load: () => import('./commands/status/command.ts'),
  },
  explain: {
    summary: 'say which entry of an image a host gets, and why',
    load: () => import('./commands/explain/command.ts'),
  },
  catalog: {
    summary: 'published images that carry hardware in their names: list, enable, test',
    load: () => import('./commands/catalog/command.ts'),
  },
  push: {
    summary: 'assemble a list of images with features, and push it',
    load: () => import('./commands/push/command.ts'),
  },
  inspect: {
    summary: 'print what stands behind an image name: entries, features, annotations, layers',
    load: () => import('./commands/inspect/command.ts'),
  },
  config: {
    summary: 'show the settings and where they come from',
    load: () => import('./commands/config/command.ts'),
  },
  bench: {
    summary: 'measure which entry of an image is the fastest on this host',
    load: () => import('./commands/bench/command.ts'),
  },
  gaps: {
    summary: 'say which builds of images are missing, and print a build matrix of them',
    load: () => import('./commands/gaps/command.ts'),
  },
  warm: {
    summary: 'fetch images before they are needed',
    load: () => import('./commands/warm/command.ts'),
  },
  cache: {
    summary: 'what the mirror holds: list, verify, prune',
    load: () => import('./commands/cache/command.ts'),
  },
  machine: {
    summary: 'who may log in to this site, as which machine type',
    load: () => import('./commands/machine/command.ts'),
  },
  token: {
    summary: 'tokens that programs log in to this site with: create, list, revoke',
    load: () => import('./commands/token/command.ts'),
  },
  login: {
    summary: 'log the runtimes in to a site as what this host is',
    load: () => import('./commands/login/command.ts'),
  },
  completion: {
    summary: 'print what completes command lines in bash, zsh or fish',
    load: () => import('./commands/completion/command.ts'),
  },
  version: { summary: 'print the version', load: () => import('./commands/version/command.ts') },
};

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

/** Commander's complaint in the form of all others: one line, then what to do next. */
function asOwnMessage(text: string): string {
  return text.replace(/^error: /, 'metahub: ').replace(/^\(Did you mean (.*)\)$/m, '  Did you mean $1');
}

/** The command a command line names, before anything is loaded: the first word that is no option, or the word after `help`. */
function commandNamed(words: readonly string[]): string | undefined {
  const named = words.filter((word) => !word.startsWith('-'));
  return named[0] === 'help' ? named[1] : named[0];
}

async function addCommands(program: Command, wanted: string | undefined): Promise<void> {
  for (const [name, { summary, load }] of Object.entries(COMMANDS)) {
    const command = program.command(name).description(summary).exitOverride();
    if (name === wanted) (await load()).configure(command, completeProgram);
    for (const one of [command, ...command.commands]) {
      const path = one === command ? name : `${name} ${one.name()}`;
      one.showHelpAfterError(`  metahub ${path} --help shows what it takes.`);
    }
  }
}

/** The program with every command loaded: what the manual page and the completions are written from. */
export async function completeProgram(): Promise<Command> {
  const program = createProgram();
  for (const [name, { summary, load }] of Object.entries(COMMANDS)) {
    (await load()).configure(program.command(name).description(summary), completeProgram);
  }
  return program;
}

/** Runs the command line; the only place that turns an error into an exit status. */
export async function main(argv: readonly string[]): Promise<void> {
  endQuietlyWithReader();
  const program = createProgram();
  try {
    const words = argv.slice(2);
    const named = commandNamed(words);
    await addCommands(program, named);
    if (words.length === 0) {
      program.outputHelp();
      return;
    }
    // Of `help` and a word that is no command, commander says nothing.
    const isMistaken = words[0] === 'help' && named !== undefined && !Object.hasOwn(COMMANDS, named);
    await program.parseAsync(isMistaken ? [named] : words, { from: 'user' });
  } catch (error) {
    process.exitCode = error instanceof CommanderError ? (error.exitCode === 0 ? 0 : 2) : reportError(error);
  }
}
