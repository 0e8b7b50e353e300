import {
  type CompletableCommand,
  type CompletableOption,
  quoted,
  type Values,
  withDescendants,
} from './words.ts';

const functionOf = ({ path }: CompletableCommand) => `_${path.replaceAll(/[ -]/g, '_')}`;

/** Escapes text in a specification of `_arguments`, where colons and brackets separate the fields. */
function field(text: string): string {
  return text.replaceAll(/[\\:[\]]/g, '\\$&');
}

function actionOf(values: Values): string {
  if (values.kind === 'words') return `(${values.words.join(' ')})`;
  if (values.kind === 'files') return '_files';
  return values.kind === 'folders' ? '_files -/' : '';
}

/** Returns one specification for each spelling. An option may be repeated. */
function optionSpecs({ spellings, description, value }: CompletableOption): readonly string[] {
  return spellings.map((spelling) => {
    if (value === undefined) return `*${spelling}[${field(description)}]`;
    const takesSameWord = spelling.startsWith('--') ? '=' : '';
    return `*${spelling}${takesSameWord}[${field(description)}]:${field(value.name)}:${actionOf(value.values)}`;
  });
}

function argumentsCall(flags: string, specs: readonly string[]): string {
  return [`  _arguments ${flags}`, ...specs.map((spec) => `    ${quoted(spec)}`)].join(' \\\n');
}

function leafFunction(command: CompletableCommand): string {
  const { options, operands } = command;
  const own = options.flatMap(optionSpecs);
  const specs = operands === undefined ? own : [...own, `*:operand:${actionOf(operands)}`];
  return `${functionOf(command)}() {\n${argumentsCall('-s', specs)}\n}`;
}

function groupFunction(command: CompletableCommand): string {
  const { options, commands } = command;
  const described = commands.flatMap(({ names, summary }) =>
    names.map((name) => `        ${quoted(`${name}:${summary.replaceAll(':', '\\:')}`)}`),
  );
  const cases = commands.map((sub) => `        ${sub.names.join('|')}) ${functionOf(sub)} ;;`);
  return `${functionOf(command)}() {
  local context state state_descr line
  typeset -A opt_args
  local -a commands
${argumentsCall('-C', [...options.flatMap(optionSpecs), '1:command:->command', '*::argument:->argument'])}
  case $state in
    command)
      commands=(
${described.join('\n')}
      )
      _describe command commands
      ;;
    argument)
      case $line[1] in
${cases.join('\n')}
      esac
      ;;
  esac
}`;
}

/**
 * Returns the script that lets zsh complete the program's command lines, from a folder of `fpath` or by
 * `source`.
 */
export function zshCompletion(program: CompletableCommand): string {
  const functions = withDescendants(program).map((command) =>
    command.commands.length > 0 ? groupFunction(command) : leafFunction(command),
  );
  return `#compdef metahub
# Completion of metahub for zsh; printed by: metahub completion zsh
${functions.join('\n\n')}

if [[ $funcstack[1] == _metahub ]]; then
  _metahub "$@"
else
  compdef _metahub metahub
fi
`;
}
