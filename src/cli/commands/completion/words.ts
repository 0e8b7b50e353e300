import type { Argument, Command, Option } from 'commander';

/** The completion of a value: the words of a choice, names of files or folders, or nothing. */
export type Values =
  | { readonly kind: 'words'; readonly words: readonly string[] }
  | { readonly kind: 'files' }
  | { readonly kind: 'folders' }
  | { readonly kind: 'text' };

export interface CompletableOption {
  /** `-h` and `--help`. */
  readonly spellings: readonly string[];
  readonly description: string;
  /** Undefined: the option takes no value. */
  readonly value: { readonly name: string; readonly values: Values } | undefined;
}

/** A command as a shell completes it. */
export interface CompletableCommand {
  /** `metahub cache ls`. */
  readonly path: string;
  /** Its name and its aliases. */
  readonly names: readonly string[];
  readonly summary: string;
  readonly options: readonly CompletableOption[];
  readonly commands: readonly CompletableCommand[];
  /** The completion of its operands; undefined: it takes none. */
  readonly operands: Values | undefined;
}

const HELP: CompletableOption = {
  spellings: ['-h', '--help'],
  description: 'show the help',
  value: undefined,
};

/**
 * Returns the completion that a placeholder names: `on|off` the words of a choice, `file` or `dir` names on
 * the disk.
 */
function valuesNamed(name: string): Values {
  if (name.includes('|')) return { kind: 'words', words: name.split('|') };
  if (/file/i.test(name)) return { kind: 'files' };
  if (/dir|folder/i.test(name)) return { kind: 'folders' };
  return { kind: 'text' };
}

function optionOf(option: Option): CompletableOption {
  const name = /[<[]([^>\]]+?)(?:\.\.\.)?[>\]]/.exec(option.flags)?.[1];
  return {
    spellings: [option.short, option.long].filter((spelling) => spelling !== undefined && spelling !== null),
    description: option.description,
    value: name === undefined ? undefined : { name, values: valuesNamed(name) },
  };
}

function operandValues(argument: Argument): Values {
  const { argChoices } = argument;
  return argChoices === undefined ? valuesNamed(argument.name()) : { kind: 'words', words: argChoices };
}

/** Describes a command and its subcommands for completion. */
export function describeCommand(command: Command, parent = ''): CompletableCommand {
  const path = `${parent} ${command.name()}`.trim();
  const [operand] = command.registeredArguments;
  return {
    path,
    names: [command.name(), ...command.aliases()],
    summary: command.description(),
    options: [...command.options.filter(({ hidden }) => !hidden).map(optionOf), HELP],
    commands: command.commands.map((sub) => describeCommand(sub, path)),
    operands: operand === undefined ? undefined : operandValues(operand),
  };
}

/** Returns a command and all its subcommands. */
export function withDescendants(command: CompletableCommand): readonly CompletableCommand[] {
  return [command, ...command.commands.flatMap(withDescendants)];
}

/** Quotes text as one word of a shell, in apostrophes. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
