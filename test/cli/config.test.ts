import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runCli } from '../support/run-cli.ts';
import { dataDirectory } from '../support/store.ts';

async function configured(text: string) {
  const file = join(await dataDirectory(), 'config.yaml');
  writeFileSync(file, text);
  return {
    file,
    show: (...words: readonly string[]) => runCli('config', 'show', '--config', file, ...words),
  };
}

test('metahub config show prints each setting, its origin and its value in columns', async () => {
  const { file, show } = await configured('cacheSize: 2GiB\nrepositories: { "qnib/*": { match: exact } }\n');
  const { stdout, status } = await show('--origin', '--listen', '5099');
  expect(status).toBe(0);
  const [headings = '', ...lines] = stdout.trimEnd().split('\n');
  const column = headings.indexOf('VALUE');
  expect(lines.every((line) => /^ \S/.test(line.slice(column - 1, column + 1)))).toBe(true);
  const rows = lines.map((line) => line.split(/\s{2,}/));
  expect(rows).toContainEqual(['listen', 'flag', '127.0.0.1:5099']);
  expect(rows).toContainEqual(['cacheSize', file, '2GiB']);
  expect(rows).toContainEqual(['repositories', file, '{"qnib/*":{"match":"exact"}}']);
  expect(rows).toContainEqual(['machines', 'default', '-']);
});

test('metahub config show --json prints the same for programs', async () => {
  const { file, show } = await configured('onNoMatch: upstream\n');
  const { file: read, settings } = JSON.parse((await show('--json')).stdout);
  expect(read).toBe(file);
  expect(settings.onNoMatch).toEqual({ value: 'upstream', origin: 'file' });
});

test('a command ignores the settings of other commands in the file, and suggests them for a misspelt key', async () => {
  const { file } = await configured('listen: nowhere\nchache: off\n');
  const { stderr, status } = await runCli('explain', '--config', file, '--manifest', '/nowhere.json');
  expect(stderr).toMatch(
    /:2:1: chache: this key does not exist; did you mean cache\?\n {2}Known are: .*listen/,
  );
  expect(stderr).not.toContain('nowhere is not a HOST');
  expect(status).toBe(2);
});

test.each([
  ['listen: [', 'Correct the YAML.'],
  ['- listen', 'metahub config show lists them.'],
  ['lisen: 5080', 'Known are: listen, '],
  ['listen: here', '--listen <host:port>: the address to listen on'],
])('a configuration file with %j is refused with its name and the next step', async (text, nextStep) => {
  const { file, show } = await configured(`${text}\n`);
  const { stdout, stderr, status } = await show();
  expect({ stdout, status }).toEqual({ stdout: '', status: 2 });
  const [message, next, ...rest] = stderr.split('\n');
  expect(message).toContain(file);
  expect(next).toContain(nextStep);
  expect(rest).toEqual(['']);
});
