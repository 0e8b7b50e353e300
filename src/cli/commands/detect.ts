import { type Command, Option } from 'commander';
import { type DetectedHost, readHost } from '../host-at-hand.ts';
import { UserError } from '../user-error.ts';
import { VALUE_NAMES, valuesNamed } from './detect-value.ts';

export interface DetectFlags {
  readonly json?: boolean;
  readonly features?: boolean;
  readonly format?: Format;
  readonly root: string;
  readonly arch?: string;
  readonly set: readonly string[];
  readonly strictArchspec?: boolean;
  readonly whyNot?: string;
  readonly compiler?: string;
  readonly gcc?: string;
  readonly cloud?: boolean;
  readonly all?: boolean;
}

const FORMATS = ['table', 'json', 'features', 'nfd'] as const;
type Format = (typeof FORMATS)[number];

const EXAMPLES = `
Examples:
  metahub detect                          what this host is, as a table
  metahub detect --json > host.json       for programs, and for metahub serve --profile host.json
  metahub detect cpu                      one value: the microarchitecture
  metahub detect --why-not zen4           what this host lacks to run code built for it
  metahub detect --gcc 12                 the flags to build for this host
  metahub detect --root ./capture --arch aarch64
                                          another host, from a copy of its /proc, /sys and /etc

Exit status: 0 all was read, 2 a wrong option, 3 a probe failed and the answer is incomplete.`;

/** Adds the options and the action of `metahub detect`. */
export function configure(command: Command): void {
  command
    .argument('[value]', 'print this alone: cpu, level, variant, nvcap, flags, or any kind of feature')
    .option('--json', 'print everything as JSON')
    .option('--features', 'print the features as the lines of a YAML list')
    .addOption(new Option('--format <format>', 'print in this format').choices(FORMATS))
    .option('--root <dir>', 'read the host below this directory', '/')
    .option('--arch <architecture>', 'of the host below --root: amd64, x86_64, arm64, aarch64, ppc64le …')
    .option(
      '--set <feature>',
      'assume a feature; replaces what was detected of its kind; repeatable',
      collect,
      [],
    )
    .option('--strict-archspec', 'name the CPU as archspec does, also where a hypervisor masks flags')
    .option('--why-not <name>', 'say what the host lacks to run code of this microarchitecture')
    .option('--compiler <name@version>', 'print the flags with which this compiler builds for the host')
    .option('--gcc <version>', 'short for --compiler gcc@<version>')
    .option('--cloud', 'ask the cloud’s metadata service for the instance type, for 1 s at most')
    .option('--all', 'add what helps a person: board, firmware, memory, disks')
    .addHelpText('after', EXAMPLES)
    .action(detect);
}

function collect(value: string, all: readonly string[]): readonly string[] {
  return [...all, value];
}

async function detect(value: string | undefined, flags: DetectFlags): Promise<void> {
  const answer = soleAnswer(value, flags);
  if (flags.all && flags.root !== '/') {
    throw new UserError('--all asks this machine, not the one below --root', {
      nextStep: 'Leave out one of the two.',
      exitStatus: 2,
    });
  }
  const host = await readHost({ ...flags, strictArchspec: flags.strictArchspec ?? false });
  process.stdout.write(await answer(host));
  if (host.failed) process.exitCode = 3;
}

type Answer = (host: DetectedHost) => string | Promise<string>;

/** The one form of answer that is asked for. @throws {UserError} status 2 when several are. */
function soleAnswer(value: string | undefined, flags: DetectFlags): Answer {
  const asked: (readonly [option: string, answer: Answer])[] = [];
  if (value !== undefined) asked.push([`“${value}”`, (host) => oneValue(value, host)]);
  if (flags.json) asked.push(['--json', (host) => inFormat('json', host, flags)]);
  if (flags.features) asked.push(['--features', (host) => inFormat('features', host, flags)]);
  const { format, compiler, gcc } = flags;
  if (format !== undefined) asked.push(['--format', (host) => inFormat(format, host, flags)]);
  if (compiler !== undefined) asked.push(['--compiler', (host) => flagsFor(compiler, host)]);
  if (gcc !== undefined) asked.push(['--gcc', (host) => flagsFor(`gcc@${gcc}`, host)]);
  const [first, second] = asked;
  if (first !== undefined && second !== undefined) {
    throw new UserError(`${first[0]} and ${second[0]} ask for different answers`, {
      nextStep: 'Ask for one at a time.',
      exitStatus: 2,
    });
  }
  return first?.[1] ?? ((host) => inFormat('table', host, flags));
}

async function inFormat(format: Format, host: DetectedHost, { all = false }: DetectFlags): Promise<string> {
  const human = all ? await (await import('./detect-human.ts')).askHumanFacts() : undefined;
  switch (format) {
    case 'json':
      return (await import('./detect-json.ts')).renderJson(host, human);
    case 'nfd':
      return (await import('./detect-nfd.ts')).renderNfd(host.profile);
    case 'features':
      return host.profile.features.map((feature) => `- ${feature}\n`).join('');
    case 'table': {
      const { renderTable } = await import('./detect-text.ts');
      return renderTable(host, { human, ...terminalOf(process.stdout) });
    }
  }
}

/** @see https://no-color.org */
function terminalOf({ isTTY, columns }: NodeJS.WriteStream): { width: number; colour: boolean } {
  const plain = Boolean(process.env['NO_COLOR']) || process.env['TERM'] === 'dumb';
  return { width: Math.min(columns ?? 80, 80), colour: isTTY === true && !plain };
}

function oneValue(name: string, host: DetectedHost): string {
  const values = valuesNamed(name, host);
  if (values === undefined) {
    throw new UserError(`detect has no value “${name}”`, {
      nextStep: `Ask for one of ${VALUE_NAMES.join(', ')}.`,
      exitStatus: 2,
    });
  }
  if (values.length === 0) throw new UserError(`this host has no ${name}`);
  return values.map((value) => `${value}\n`).join('');
}

async function flagsFor(written: string, { profile }: DetectedHost): Promise<string> {
  const { COMPILER_NAMES, flagsForHost, parseCompiler } = await import('../../host/compiler-flags.ts');
  const compiler = parseCompiler(written);
  if (compiler === undefined) {
    throw new UserError(`“${written}” is no compiler and version that is known`, {
      nextStep: `Write name@version, such as gcc@12; known are ${COMPILER_NAMES.join(', ')}.`,
      exitStatus: 2,
    });
  }
  const { microarchitecture, compatible } = profile.cpu;
  const found = flagsForHost(compatible, compiler);
  if (found === undefined) throw new UserError(`${written} builds for nothing that this host runs`);
  if (found.microarchitecture !== microarchitecture) {
    process.stderr.write(
      `metahub: ${written} does not know ${microarchitecture}: these build for ${found.microarchitecture}\n`,
    );
  }
  return `${found.flags}\n`;
}
