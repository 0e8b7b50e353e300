import { type CompletableCommand, type CompletableOption, type Values, withDescendants } from './words.ts';

/** Quotes text as one word of fish, where a backslash escapes within apostrophes as well. */
function quoted(text: string): string {
  return `'${text.replaceAll(/[\\']/g, '\\$&')}'`;
}

/** Returns the function that prints the path of the command that the words before the cursor name. */
function pathFunction(commands: readonly CompletableCommand[]): readonly string[] {
  const steps = commands.flatMap(({ path, commands: below }) =>
    below.flatMap((command) =>
      command.names.map(
        (name) =>
          `            case ${quoted(`${path} ${name}`)}\n                set path ${quoted(command.path)}`,
      ),
    ),
  );
  return [
    'function __metahub_path',
    '    set -l path metahub',
    '    set -l words (commandline -opc)',
    '    for word in $words[2..-1]',
    '        switch "$path $word"',
    ...steps,
    '        end',
    '    end',
    '    echo $path',
    'end',
    'function __metahub_at',
    '    test (__metahub_path) = "$argv[1]"',
    'end',
  ];
}

function valueFlags(values: Values): string {
  if (values.kind === 'words') return `-xa ${quoted(values.words.join(' '))}`;
  if (values.kind === 'files') return '-rF';
  return values.kind === 'folders' ? "-xa '(__fish_complete_directories)'" : '-x';
}

function spellingFlags(spellings: readonly string[]): string {
  return spellings
    .map((spelling) => (spelling.startsWith('--') ? `-l ${spelling.slice(2)}` : `-s ${spelling.slice(1)}`))
    .join(' ');
}

function optionLine(condition: string, { spellings, description, value }: CompletableOption): string {
  const takes = value === undefined ? '' : ` ${valueFlags(value.values)}`;
  return `complete -c metahub -n ${condition} ${spellingFlags(spellings)}${takes} -d ${quoted(description)}`;
}

function commandLines({ path, options, commands, operands }: CompletableCommand): readonly string[] {
  const condition = quoted(`__metahub_at ${quoted(path)}`);
  const subcommands = commands.flatMap(({ names, summary }) =>
    names.map((name) => `complete -c metahub -n ${condition} -a ${name} -d ${quoted(summary)}`),
  );
  const operandLines =
    operands === undefined || operands.kind === 'text'
      ? []
      : [`complete -c metahub -n ${condition} ${operands.kind === 'files' ? '-F' : valueFlags(operands)}`];
  return [...subcommands, ...operandLines, ...options.map((option) => optionLine(condition, option))];
}

/** Returns the script that lets fish complete the program's command lines. */
export function fishCompletion(program: CompletableCommand): string {
  const commands = withDescendants(program);
  const lines = [
    '# Completion of metahub for fish; printed by: metahub completion fish',
    ...pathFunction(commands),
    'complete -c metahub -f',
    ...commands.flatMap(commandLines),
  ];
  return `${lines.join('\n')}\n`;
}
