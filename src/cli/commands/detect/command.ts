import type { Command } from 'commander';
import { repeated } from '../../../lib/text.ts';
import { helpText } from '../../help-text.ts';
import { fileOutput, STREAM_OUTPUT } from '../../output.ts';
import { detect, FORMATS } from './run.ts';

const EXAMPLES = helpText(
  [
    ['metahub detect', 'what this host is, as a table'],
    ['metahub detect --json --output host.json', 'for programs, and for metahub serve --profile host.json'],
    ['metahub detect cpu', 'one value: the microarchitecture'],
    ['metahub detect --why-not zen4', 'what this host lacks to run code built for it'],
    ['metahub detect --gcc 12', 'the flags to build for this host'],
    ['metahub detect --format conda', 'in the form that another tool reads'],
    ['metahub detect --verify --execute', 'whether other programs, and the CPU itself, agree'],
    ['metahub detect --capture my-host', 'what a report of a wrong answer needs'],
    [
      'metahub detect --root ./capture --arch aarch64',
      'another host, from a copy of its /proc, /sys and /etc',
    ],
  ],
  'Exit status: 0 answered; 1 the host cannot be read, or has nothing of what was asked for; 2 a wrong option; 3 answered, but a probe failed and the answer is incomplete; 4 --verify contradicts the answer.',
);

/** Adds the options and the action of `metahub detect`. */
export function configure(command: Command): void {
  command
    .argument('[value]', 'print this alone: cpu, level, variant, nvcap, flags, or any kind of feature')
    .option('--json', 'print everything as JSON')
    .option('--features', 'print the features as the lines of a YAML list')
    .addOption(command.createOption('--format <format>', 'print in this format').choices(FORMATS))
    .option('--output <file>', 'write the answer to this file, as a whole, instead of printing it')
    .option('--root <dir>', 'read the host below this directory', '/')
    .option('--arch <architecture>', 'of the host below --root: amd64, x86_64, arm64, aarch64, ppc64le …')
    .option(
      '--set <feature>',
      'assume a feature; replaces what was detected of its kind; repeatable',
      repeated,
    )
    .option('--strict-archspec', 'name the CPU as archspec does, also where a hypervisor masks flags')
    .option('--why-not <name>', 'say what the host lacks to run code of this microarchitecture')
    .option('--compiler <name@version>', 'print the flags with which this compiler builds for the host')
    .option('--gcc <version>', 'short for --compiler gcc@<version>')
    .option('--cloud', 'ask the cloud’s metadata service for the instance type, for 1 s at most')
    .option(
      '--verify',
      'compare with what gcc, clang, the dynamic linker and lscpu say, and explain differences',
    )
    .option('--execute', 'with --verify: run one instruction of each kind in a child that may die')
    .option('--capture <dir>', 'copy what detection reads to a new directory, for a report')
    .option('--all', 'add what helps a person: board, firmware, memory, disks')
    .addHelpText('after', EXAMPLES)
    .action((value, { output, ...flags }) =>
      detect(value, flags, output === undefined ? STREAM_OUTPUT : fileOutput(output)),
    );
}
