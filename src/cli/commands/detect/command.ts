import type { Command } from 'commander';
import { repeated } from '../../../lib/text.ts';
import { helpText } from '../../help-text.ts';
import { JsonOption } from '../../json-option.ts';
import { fileOutput, STREAM_OUTPUT } from '../../output.ts';
import { detect, FORMATS } from './run.ts';

const EXAMPLES = helpText(
  [
    ['metahub detect', 'show this host as a table'],
    [
      'metahub detect --json --output host.json',
      'write a file for programs and for metahub serve --profile host.json',
    ],
    ['metahub detect cpu', 'print one value: the microarchitecture'],
    ['metahub detect --why-not zen4', 'show what this host lacks to run code that is built for zen4'],
    ['metahub detect --gcc 12', 'print the flags with which gcc 12 builds for this host'],
    ['metahub detect --format conda', 'print the host in the format of another tool'],
    ['metahub detect --verify --execute', 'compare the answer with other programs and with the CPU itself'],
    ['metahub detect --capture my-host', 'collect data for the report of a wrong answer'],
    [
      'metahub detect --root ./capture --arch aarch64',
      'detect another host from a copy of its /proc, /sys and /etc',
    ],
  ],
  'Exit status: 0 answered; 1 the host cannot be read, or does not have the requested value; 2 a wrong option; 3 answered, but a probe failed and the answer is incomplete; 4 --verify contradicts the answer.',
);

/** Adds the options and the action of `metahub detect`. */
export function configure(command: Command): void {
  command
    .argument('[value]', 'print only this value: cpu, level, variant, nvcap, flags, or any kind of feature')
    .addOption(
      new JsonOption('profile', {
        others: {
          '[value]': 'detect-value',
          '--features': 'detect-value',
          '--why-not': 'detect-why-not',
          '--compiler': 'detect-compiler',
          '--gcc': 'detect-compiler',
          '--verify': 'detect-verify',
        },
      }),
    )
    .option('--features', 'print the features as the lines of a YAML list')
    .addOption(command.createOption('--format <format>', 'print in this format').choices(FORMATS))
    .option('--output <file>', 'write the answer to this file, atomically, instead of printing it')
    .option('--root <dir>', 'read the host below this directory', '/')
    .option(
      '--arch <architecture>',
      'the architecture of the host below --root: amd64, x86_64, arm64, aarch64, ppc64le …',
    )
    .option(
      '--set <feature>',
      'a feature that replaces all detected features of its kind; repeatable',
      repeated,
    )
    .option('--strict-archspec', 'name the CPU exactly as archspec does, even when a hypervisor masks flags')
    .option('--why-not <name>', 'show what the host lacks to run code built for this microarchitecture')
    .option('--compiler <name@version>', 'print the flags with which this compiler builds for the host')
    .option('--gcc <version>', 'short for --compiler gcc@<version>')
    .option('--cloud', 'ask the cloud’s metadata service for the instance type, for 1 s at most')
    .option('--verify', 'compare with gcc, clang, the dynamic linker and lscpu, and explain differences')
    .option('--execute', 'with --verify: run one instruction of each kind, in a child process that may crash')
    .option('--capture <dir>', 'copy what detection reads to a new directory, for a report')
    .option('--all', 'add board, firmware, memory and disks')
    .addHelpText('after', EXAMPLES)
    .action((value, { output, ...flags }) =>
      detect(value, flags, output === undefined ? STREAM_OUTPUT : fileOutput(output)),
    );
}
