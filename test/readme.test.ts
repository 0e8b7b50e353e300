import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { completeProgram } from '../src/cli/main.ts';
import { temporaryFolder } from './support/folder.ts';
import { runCli } from './support/run-cli.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PROGRAM = fileURLToPath(new URL('../bin/metahub.js', import.meta.url));

/** The command lines of a document's transcripts: what stands behind `$ `, environment, comments and what is behind a pipe aside. */
function commandsOf(file: string): readonly string[] {
  const blocks = readFileSync(`${ROOT}${file}`, 'utf8').matchAll(/^```console\n([\s\S]*?)^```/gm);
  return [...blocks]
    .flatMap(([, block = '']) => [...block.matchAll(/^\$ (.+)$/gm)].map(([, line = '']) => line))
    .map((line) => line.replace(/\s+[#|].*$/, '').replace(/^(?:[A-Z_]+=\S+\s+|sudo\s+)+/, ''));
}

const DOCUMENTS = [
  'README.md',
  ...readdirSync(`${ROOT}docs`)
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];
const LINES = DOCUMENTS.flatMap((file) => commandsOf(file).map((line) => [file, line] as const));
const METAHUB = LINES.filter(([, line]) => line.startsWith('metahub '));

function commandNamed(
  program: Command,
  words: readonly string[],
): { command: Command; rest: readonly string[] } {
  const child = program.commands.find((command) => command.name() === words[0]);
  return child === undefined ? { command: program, rest: words } : commandNamed(child, words.slice(1));
}

describe('command lines and files in the documents', () => {
  test('exist', () => {
    expect(METAHUB.length).toBeGreaterThan(5);
  });

  test.each(METAHUB)('parse: %s: %s', async (_, line) => {
    const { command, rest } = commandNamed(await completeProgram(), line.split(/\s+/).slice(1));
    expect(command.name()).not.toBe('metahub');
    const known = command.options.flatMap(({ long, short }) => [long, short]);
    const flags = rest.filter((word) => word.startsWith('-')).map((word) => word.split('=', 1)[0]);
    expect(flags.filter((flag) => !known.includes(flag))).toEqual([]);
  });

  test.each(LINES.filter(([, line]) => /^npm (?:start|test|run )/.test(line)))(
    'are valid scripts: %s: %s',
    (_, line) => {
      const { scripts } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as { scripts: object };
      const [, first = '', second = ''] = line.split(/\s+/);
      expect(Object.keys(scripts)).toContain(first === 'run' ? second : first);
    },
  );

  // What needs nothing but this machine is run as it stands there.
  const alone = METAHUB.filter(([, line]) => /^metahub (?:detect|config)\b/.test(line));
  test.each(alone)('work: %s: %s', (_, line) => {
    const words = line.replace(/ >.*$/, '').split(/\s+/).slice(1);
    // Some of them write into the folder they run in.
    const cwd = temporaryFolder();
    const run = spawnSync(process.execPath, [PROGRAM, ...words], { encoding: 'utf8', cwd });
    expect([0, 3], run.stderr).toContain(run.status);
    expect(run.stdout).not.toBe('');
  });

  const SETTINGS = DOCUMENTS.flatMap((file) =>
    [
      ...readFileSync(`${ROOT}${file}`, 'utf8').matchAll(
        /^```yaml\n(#[^\n]*(?:\/config\.yaml|\/settings\.schema\.json)\n[\s\S]*?)^```/gm,
      ),
    ].map(([, block = '']) => [file, block] as const),
  );
  test.each(SETTINGS)('have valid settings: %s: %s', async (_, block) => {
    const folder = temporaryFolder();
    const file = join(folder, 'config.yaml');
    writeFileSync(file, block);
    const { stdout, status } = await runCli('config', 'check', file);
    expect({ status, stdout }).toEqual({ status: 0, stdout: `${file} (settings): ok\n` });
  });

  test('link to existing files only', () => {
    for (const file of [...DOCUMENTS, 'ARCHITECTURE.md']) {
      const text = readFileSync(`${ROOT}${file}`, 'utf8');
      const folder = file.includes('/') ? `${file.slice(0, file.lastIndexOf('/'))}/` : '';
      const targets = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, target = '']) => target);
      expect(
        targets.filter((target) => !existsSync(`${ROOT}${folder}${target}`)),
        file,
      ).toEqual([]);
    }
  });
});

/** The anchors of a document: those of its headings, as GitHub makes them, and those that it sets itself. */
function anchorsOf(text: string): ReadonlySet<string> {
  const prose = text.replace(/^```[\s\S]*?^```/gm, '');
  const headings = [...prose.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
    title
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
  return new Set([...headings, ...[...prose.matchAll(/<a id="([^"]+)"/g)].map(([, id = '']) => id)]);
}

test.each([...DOCUMENTS, 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'SECURITY.md'])(
  '%s links to headings that there are',
  (file) => {
    const text = readFileSync(`${ROOT}${file}`, 'utf8').replace(/`[^`\n]*`/g, '');
    const links = [...text.matchAll(/\]\(((?!https?:)[^)#\s]*)#([^)\s]+)\)/g)];
    const missing = links.filter(([, path = '', anchor = '']) => {
      const target = path === '' ? `${ROOT}${file}` : join(dirname(`${ROOT}${file}`), path);
      return !anchorsOf(readFileSync(target, 'utf8')).has(anchor);
    });
    expect(missing.map(([link]) => link)).toEqual([]);
  },
);

test.each(DOCUMENTS)('%s names only tests that there are', (file) => {
  const named = [...readFileSync(`${ROOT}${file}`, 'utf8').matchAll(/`(test\/[a-z0-9/-]+)`/g)].map(
    ([, path = '']) => path,
  );
  expect(
    named.filter((path) => !existsSync(`${ROOT}${path}`) && !existsSync(`${ROOT}${path}.test.ts`)),
  ).toEqual([]);
});

test('CONTRIBUTING.md names the packages that .ci/run installs', () => {
  const listIn = (file: string, pattern: RegExp) =>
    (pattern.exec(readFileSync(`${ROOT}${file}`, 'utf8'))?.[1] ?? '')
      .split(/[\s\\]+/)
      .filter(Boolean)
      .sort();
  const installed = listIn('.ci/run', /^PACKAGES=\(([^)]+)\)/m);
  expect(installed.length).toBeGreaterThan(20);
  expect(listIn('CONTRIBUTING.md', /^\$ sudo apt-get install --no-install-recommends([^`]+)```/m)).toEqual(
    installed,
  );
});
