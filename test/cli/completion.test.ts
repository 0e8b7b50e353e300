import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { describeWith } from '../support/required-programs.ts';
import { runCli } from '../support/run-cli.ts';
import { openWorkplace } from '../support/workplace.ts';

const workplace = openWorkplace();
const folder = workplace.directory;
afterAll(() => workplace.close());

async function scriptFor(shell: string, name: string): Promise<string> {
  const { stdout } = await runCli('completion', shell);
  const path = join(folder, name);
  writeFileSync(path, stdout);
  return path;
}

function run(program: string, ...args: readonly string[]): string {
  return execFileSync(program, args, { cwd: folder, encoding: 'utf8', timeout: 240_000 });
}

const linesOf = (text: string) => text.split('\n').filter((line) => line !== '');

writeFileSync(join(folder, 'host.json'), '');

describeWith(['bash'], 'the completion of bash', async () => {
  const script = await scriptFor('bash', 'metahub.bash');

  /** What bash offers for the last of these words, which are split as bash splits them. */
  function offered(...words: readonly string[]): readonly string[] {
    const program = `
      source "$1"; shift
      [[ $(complete -p metahub) == 'complete -F _metahub metahub' ]] || exit 1
      compopt() { :; }  # there is no completion going on that it could change
      COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
      _metahub
      printf '%s\\n' "\${COMPREPLY[@]}"`;
    return linesOf(run('bash', '-c', program, 'bash', script, 'metahub', ...words));
  }

  test.each([
    ['a command', ['det'], ['detect']],
    ['a subcommand and its alias', ['cache', 'l'], ['ls', 'list']],
    ['an option', ['serve', '--cache-s'], ['--cache-size']],
    ['an option of a subcommand that is named by its alias', ['cache', 'list', '--al'], ['--all']],
    ['a choice', ['serve', '--cache', 'o'], ['on', 'off']],
    ['a choice after =', ['serve', '--cache', '=', 'tr'], ['transit']],
    ['a choice directly after =', ['serve', '--cache', '='], ['on', 'off', 'transit']],
    ['an operand of a choice', ['completion', ''], ['bash', 'zsh', 'fish']],
    ['a file', ['serve', '--profile', 'ho'], ['host.json']],
    ['nothing for a folder where only files fit', ['serve', '--images', 'ho'], []],
    ['nothing for free text', ['serve', '--listen', ''], []],
    ['options after the value of another', ['serve', '--listen', '5080', '--cache-m'], ['--cache-min-free']],
  ])('completes command lines with %s', (_what, words, expected) => {
    expect(offered(...words)).toEqual(expected);
  });
});

describeWith(['fish'], 'the completion of fish', async () => {
  const script = await scriptFor('fish', 'metahub.fish');

  test.each([
    ['a command', 'det', ['detect']],
    ['a subcommand and its alias', 'cache l', ['list', 'ls']],
    ['an option of a subcommand that is named by its alias', 'cache list --al', ['--all']],
    ['a choice', 'serve --cache o', ['off', 'on']],
    ['an operand of a choice', 'completion ', ['bash', 'fish', 'zsh']],
    ['a file', 'serve --profile ho', ['host.json']],
  ])('completes command lines with %s', (_what, line, expected) => {
    const printed = run('fish', '--no-config', '-c', `source ${script}; complete -C 'metahub ${line}'`);
    const offered = linesOf(printed).map((offer) => offer.split('\t')[0]);
    expect(offered.sort()).toEqual(expected);
  });
});

describeWith(['zsh'], 'the completion of zsh', async () => {
  await scriptFor('zsh', '_metahub');
  const driver = fileURLToPath(new URL('../support/complete.zsh', import.meta.url));

  test.each([
    ['a command', 'det', 'detect'],
    ['a subcommand', 'cache pr', 'cache prune'],
    ['an option of a subcommand that is named by its alias', 'cache list --al', 'cache list --all'],
    ['a choice', 'serve --cache tr', 'serve --cache transit'],
    ['an operand of a choice', 'completion fi', 'completion fish'],
    ['a file', 'serve --profile ho', 'serve --profile host.json'],
  ])('completes command lines with %s', (_what, line, expected) => {
    expect(run('zsh', '-f', driver, folder, `metahub ${line}`).trim()).toBe(expected);
  });
});

describe('metahub completion', () => {
  test('refuses a shell that it does not know and names those it does', async () => {
    const { stdout, stderr, status } = await runCli('completion', 'tcsh');
    expect({ stdout, status }).toEqual({ stdout: '', status: 2 });
    expect(stderr).toContain('Allowed choices are bash, zsh, fish.');
  });
});

describe('metahub version', () => {
  test('prints what --version prints, and with --json what it runs on', async () => {
    const { stdout } = await runCli('version');
    expect(stdout).toBe((await runCli('--version')).stdout);
    expect(JSON.parse((await runCli('version', '--json')).stdout)).toEqual({
      version: stdout.trim(),
      node: process.versions.node,
      os: 'linux',
      architecture: process.arch,
    });
  });
});
