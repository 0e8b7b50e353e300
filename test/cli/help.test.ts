import { describe, expect, test } from 'vitest';
import { helpText } from '../../src/cli/help-text.ts';
import { completeProgram } from '../../src/cli/main.ts';
import { runCli } from '../support/run-cli.ts';

const program = await completeProgram();
const COMMANDS = program.commands.flatMap((command) => [
  [command.name()],
  ...command.commands.map((sub) => [command.name(), sub.name()]),
]);

describe('the help of metahub', () => {
  test.each(COMMANDS)('of %s %s fits 80 columns and has examples of it', async (...words) => {
    const path = words.filter((word) => word !== undefined);
    const { stdout, status } = await runCli(...path, '--help');
    expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([]);
    expect(stdout).toMatch(new RegExp(`\nExamples:\n(.*\n)*?.*metahub ${path.join(' ')}`));
    expect(stdout).not.toContain('(default: [])');
    expect(status).toBe(0);
  });

  test('of a command is the same by metahub help and by --help', async () => {
    expect(await runCli('help', 'detect')).toEqual(await runCli('detect', '--help'));
  });
});

describe('a mistake on the command line', () => {
  test.each([
    [
      ['detekt'],
      "metahub: unknown command 'detekt'\n  Did you mean detect?\n  metahub --help shows the commands.\n",
    ],
    [
      ['help', 'detekt'],
      "metahub: unknown command 'detekt'\n  Did you mean detect?\n  metahub --help shows the commands.\n",
    ],
    [['--wrong'], "metahub: unknown option '--wrong'\n  metahub --help shows the commands.\n"],
    [
      ['serve', '--listn', '5080'],
      "metahub: unknown option '--listn'\n  Did you mean --listen?\n  metahub serve --help shows its options.\n",
    ],
    [
      ['cache', 'ls', '--wrong'],
      "metahub: unknown option '--wrong'\n  metahub cache ls --help shows its options.\n",
    ],
    [['login'], "metahub: missing required argument 'site'\n  metahub login --help shows its options.\n"],
  ])('in %j is reported on one line, with the next step', async (words, stderr) => {
    expect(await runCli(...words)).toEqual({ stdout: '', stderr, status: 2 });
  });
});

describe('helpText()', () => {
  test('puts a description next to its command, or below a long one', () => {
    const long = 'metahub serve --listen 0.0.0.0:5080 --tls-cert site.crt';
    expect(
      helpText([
        ['metahub serve', 'here'],
        [long, 'for all'],
      ]),
    ).toBe(`\nExamples:\n  metahub serve  here\n  ${long}\n                 for all`);
  });

  test('breaks a command that is wider than 80 columns before an option, as a shell reads it', () => {
    const text = helpText([
      ['metahub serve --listen 0.0.0.0:5080 --machines /etc/metahub/machines.d --tls-key k'],
    ]);
    expect(text).toBe(
      '\nExamples:\n  metahub serve --listen 0.0.0.0:5080 --machines /etc/metahub/machines.d \\\n      --tls-key k',
    );
  });

  test('wraps notes, and leaves those of several lines alone', () => {
    const text = helpText([['metahub x']], 'word '.repeat(20).trim(), 'a:\n  b');
    expect(text.split('\n').slice(4)).toEqual([
      'word '.repeat(16).trim(),
      'word word word word',
      '',
      'a:',
      '  b',
    ]);
  });
});
