import { type CompletableCommand, quoted, type Values, withDescendants } from './words.ts';

const HEAD = `# Completion of metahub for bash; printed by: metahub completion bash
_metahub() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} path=metahub words='' options='' i
  COMPREPLY=()
  # bash splits --option=value in three words.
  if [[ $current == = ]]; then
    current=''
  elif [[ $previous == = ]]; then
    previous=\${COMP_WORDS[COMP_CWORD-2]}
  fi`;

const TAIL = `  if [[ $current == -* ]]; then
    words=$options
  fi
  if [[ -n $words ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  fi
}
complete -F _metahub metahub`;

/** Returns the line that completes a value. Free text has no completion. */
function replyLine(values: Values): string {
  if (values.kind === 'words') {
    return `mapfile -t COMPREPLY < <(compgen -W ${quoted(values.words.join(' '))} -- "$current")`;
  }
  if (values.kind === 'text') return ':';
  const flag = values.kind === 'files' ? '-f' : '-d';
  return `compopt -o filenames; mapfile -t COMPREPLY < <(compgen ${flag} -- "$current")`;
}

/** Returns the steps from a command to its subcommands, one for each of their names. */
function stepLines({ path, commands }: CompletableCommand): readonly string[] {
  return commands.flatMap((command) =>
    command.names.map((name) => `      ${quoted(`${path} ${name}`)}) path=${quoted(command.path)} ;;`),
  );
}

function valueLines({ path, options }: CompletableCommand): readonly string[] {
  return options.flatMap(({ spellings, value }) => {
    if (value === undefined) return [];
    const patterns = spellings.map((spelling) => quoted(`${path} ${spelling}`)).join('|');
    return [`    ${patterns}) ${replyLine(value.values)}; return ;;`];
  });
}

function commandLines({ path, options, commands, operands }: CompletableCommand): readonly string[] {
  const spellings = options.flatMap((option) => option.spellings);
  const words = [
    ...commands.flatMap(({ names }) => names),
    ...(operands?.kind === 'words' ? operands.words : []),
  ];
  const isPath = operands?.kind === 'files' || operands?.kind === 'folders';
  return [
    `    ${quoted(path)})`,
    `      options=${quoted(spellings.join(' '))}`,
    ...(words.length > 0 ? [`      words=${quoted(words.join(' '))}`] : []),
    ...(isPath ? [`      if [[ $current != -* ]]; then ${replyLine(operands)}; return; fi`] : []),
    '      ;;',
  ];
}

/** Returns the script that lets bash 4 and later complete the program's command lines. */
export function bashCompletion(program: CompletableCommand): string {
  const commands = withDescendants(program);
  const lines = [
    HEAD,
    '  for ((i = 1; i < COMP_CWORD; i++)); do',
    `    case "$path \${COMP_WORDS[i]}" in`,
    ...commands.flatMap(stepLines),
    '    esac',
    '  done',
    '  case "$path $previous" in',
    ...commands.flatMap(valueLines),
    '  esac',
    '  case $path in',
    ...commands.flatMap(commandLines),
    '  esac',
    TAIL,
  ];
  return `${lines.join('\n')}\n`;
}
