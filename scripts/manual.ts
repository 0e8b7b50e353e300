import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Argument, type Command, Help, type Option } from 'commander';
import { completeProgram } from '../src/cli/main.ts';

/** The parts of the page that no option contains. Each block is roff. */
const DESCRIPTION = [
  'Container images are built for the lowest common CPU. MetaHub lets the same image name mean, on each host, the entry of its image',
  'index that fits that host best.',
  '.B metahub detect',
  'shows what this host is;',
  '.B metahub serve',
  'is a registry mirror on localhost that answers a tag with the entry for this host;',
  '.B metahub explain',
  'explains the choice.',
];

const FILES = {
  '/etc/metahub/config.yaml': 'Settings, named as metahub config show prints them.',
  '/etc/default/metahub': 'Environment variables of the service.',
  '/etc/metahub/auth.json': 'Logins at registries that the mirror uses, in docker’s format.',
  '/etc/metahub/certs.d/HOST/': 'Authorities (*.crt) and client certificates (*.cert, *.key) for a registry.',
  '/etc/metahub/images.d/*.yml': 'Virtual images.',
  '/etc/metahub/machines.d/*.yml': 'Accounts and machine types of a site.',
  '/etc/metahub/features.d/*': 'Local features, in the format of node-feature-discovery.',
  '/run/metahub/profile.json': 'The host of the service, as metahub-detect.service detected it.',
  '/var/cache/metahub': 'Content that the service has pulled.',
  '~/.cache/metahub': 'Content of a mirror that a user starts.',
  '/var/lib/metahub/setup': 'The runtimes’ files as they were before metahub setup.',
};

const ENVIRONMENT = {
  'METAHUB_CACHE_SIZE, …':
    'Each setting of the mirror has a variable, METAHUB_ and its name in upper case: METAHUB_CACHE_SIZE is --cache-size. A flag takes precedence over the ' +
    'environment, and the environment over the file.',
  METAHUB_SITE_ACCOUNT: 'The account that sends the requests of --site.',
  METAHUB_DEBUG: 'Adds stack traces to errors.',
  PORT: 'The port that metahub serve listens on, unless METAHUB_LISTEN or --listen is set.',
  STATIC_MACHINES: 'Another name of METAHUB_STATIC_MACHINES.',
  REGISTRY_AUTH_FILE: 'A file with logins at registries, in docker’s format.',
  'HTTPS_PROXY, HTTP_PROXY, NO_PROXY':
    'The proxy that leads to registries, and the hosts that it does not serve.',
  NODE_EXTRA_CA_CERTS: 'A file with further authorities (PEM).',
  NO_COLOR: 'Switches colours off.',
};

const listOf = (texts: Readonly<Record<string, string>>) =>
  Object.entries(texts).flatMap(([name, text]) => ['.TP', `.I ${plain(name)}`, plain(text)]);

const TAIL = [
  '.SH FILES',
  ...listOf(FILES),
  '.SH ENVIRONMENT',
  ...listOf(ENVIRONMENT),
  '.SH EXIT STATUS',
  'The same for every command:',
  ...['.TP', '0', 'The command succeeded.'],
  ...[
    '.TP',
    '1',
    'The command failed, for example because a file is missing. The message names the next step.',
  ],
  ...['.TP', '2', 'An option, an operand or the content of a file is wrong.'],
  ...[
    '.TP',
    '3',
    'The command succeeded in part, with a warning or by a fallback: for example a probe failed, or only some runtimes are configured.',
  ],
  ...['.TP', '4', plain('metahub detect --verify: another program contradicts the answer.')],
  '.SH SEE ALSO',
  '.BR dockerd (8),',
  '.BR containerd-config.toml (5),',
  '.BR containers-registries.conf (5),',
  '.BR skopeo (1)',
];

/**
 * Escapes text for roff, where a backslash begins an escape, and a dot or an apostrophe at the start of a
 * line a request.
 */
function plain(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(/^([.'])/gm, '\\&$1');
}

/** Describes options and operands as `--help` does, with their choices and defaults. */
const HELP = new Help();

function optionLines(option: Option): readonly string[] {
  return ['.TP', `.B ${plain(option.flags)}`, plain(HELP.optionDescription(option))];
}

/** Like `--help`, leaves out an operand that says enough by its name. */
function operandLines(operand: Argument): readonly string[] {
  const text = HELP.argumentDescription(operand);
  return text === '' ? [] : ['.TP', `.I ${plain(operand.name())}`, plain(text)];
}

/** Returns what `addHelpText('after', …)` adds to a command's help: its examples. */
function examplesOf(command: Command): readonly string[] {
  let text = '';
  command.configureOutput({ writeOut: (part) => (text += part) }).outputHelp();
  const after = text.split(/^Examples:\n/m)[1];
  if (after === undefined) return [];
  return ['.PP', 'Examples:', '.PP', '.nf', ...after.trimEnd().split('\n').map(plain), '.fi'];
}

function commandLines(command: Command, parents: string): readonly string[] {
  const name = `${parents} ${command.name()}`;
  const { commands } = command;
  if (commands.length > 0) return commands.flatMap((child) => commandLines(child, name));
  const [, ...usage] = command.usage().split(' ');
  const aliases = command.aliases().map((alias) => `Also: ${plain(`${parents} ${alias}`)}.`);
  return [
    `.SS ${plain(`${name.trim()} ${usage.join(' ')}`.trim())}`,
    `${plain(command.description())}.`,
    ...aliases,
    ...command.registeredArguments.flatMap(operandLines),
    ...command.options.flatMap(optionLines),
    ...examplesOf(command),
  ];
}

/** Builds the manual page `metahub.1` from the program itself, so that the two always agree. */
export async function manualPage(): Promise<string> {
  const program = await completeProgram();
  const lines = [
    '.\\" Written by `npm run manual` from the program; do not edit.',
    '.TH METAHUB 1 "" "metahub" "User Commands"',
    '.SH NAME',
    'metahub \\- the same image name, and each host gets the entry that fits it best',
    '.SH SYNOPSIS',
    '.B metahub',
    '.I command',
    '[\\fIoption\\fR ...]',
    '.SH DESCRIPTION',
    ...DESCRIPTION,
    '.SH COMMANDS',
    ...program.commands.flatMap((command) => commandLines(command, 'metahub')),
    ...TAIL,
  ];
  return `${lines.join('\n')}\n`;
}

const target = fileURLToPath(new URL('../man/metahub.1', import.meta.url));
if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(target, await manualPage());
