import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { documentText } from '../../src/cli/output.ts';
import { temporaryFolder } from '../support/folder.ts';
import { writeTree } from '../support/host-tree.ts';
import {
  allCommandsWithJson,
  checkPrinted,
  DOCUMENT_NAMES,
  jsonOptionOf,
  parseDocument,
} from '../support/json-documents.ts';
import { runCli } from '../support/run-cli.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Files of commands that write JSON other than the document of `--json`. */
const OTHER_JSON = [
  'config/command.ts', // values in a table
  'detect/formats.ts', // texts of Nomad
  'gaps/render.ts', // formats of GitHub and docker buildx bake
  'login/enrol.ts', // the body of a request
  'login/store-login.ts', // docker's file of logins
];

/** Schemas that are not named for the words of their command. */
const OTHER_NAMES: Readonly<Record<string, string>> = {
  bench: 'bench-results', // bench: the file that it reads
  detect: 'profile', // also the file that --profile reads
  gaps: 'gaps-ranked', // gaps: the record of a mirror
};

describe('--json', () => {
  test('names its schema in the help of every command', async () => {
    const commands = await allCommandsWithJson();
    expect(commands.length).toBeGreaterThan(20);
    for (const { path, command } of commands) {
      const option = jsonOptionOf(command);
      expect(option, path.join(' ')).toBeDefined();
      for (const name of [option?.schema, ...Object.values(option?.others ?? {})]) {
        expect(command.helpInformation().replaceAll(/\s+/g, ''), path.join(' ')).toContain(
          `schema/${name}.schema.json`,
        );
        expect(readdirSync(`${ROOT}schema`)).toContain(`${name}.schema.json`);
      }
    }
  });

  test('has a schema that is named for the words of the command', async () => {
    for (const { path, command } of await allCommandsWithJson()) {
      const name = path.join('-');
      const { schema, others = {} } = jsonOptionOf(command) ?? {};
      expect(schema).toBe(OTHER_NAMES[name] ?? name);
      for (const other of Object.values(others)) expect(other).toMatch(new RegExp(`^${name}-`));
    }
  });

  test('has no schema that no command names', async () => {
    const named = (await allCommandsWithJson()).flatMap(({ command }) => {
      const option = jsonOptionOf(command);
      return option === undefined ? [] : [option.schema, ...Object.values(option.others)];
    });
    expect(DOCUMENT_NAMES.filter((name) => !named.some((one) => one === name))).toEqual([]);
  });

  test('prints through documentText() alone, which holds a document to its schema', () => {
    const folder = `${ROOT}src/cli/commands`;
    const others = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
      (file) =>
        file.endsWith('.ts') &&
        /\bjsonText\(|JSON\.stringify\(/.test(readFileSync(`${folder}/${file}`, 'utf8')),
    );
    expect(others.sort()).toEqual(OTHER_JSON);
  });
});

describe('documentText()', () => {
  const facts = { version: '1.2.3', node: '20.1.0', os: 'linux', architecture: 'x64' };

  test('writes a document that its schema describes', () => {
    expect(parseDocument('version', documentText<'version'>(facts))).toEqual(facts);
  });

  test('takes no document that its schema does not describe, and none without a schema', () => {
    const { node: _, ...less } = facts;
    // @ts-expect-error a member of another type
    documentText<'version'>({ ...facts, version: 1 });
    // @ts-expect-error a member is missing
    documentText<'version'>(less);
    // @ts-expect-error a member that the schema does not name
    documentText<'version'>({ version: '1', node: '2', os: 'linux', architecture: 'x64', libc: 'musl' });
    // @ts-expect-error no schema
    documentText(facts);
    // The compiler refuses each of them; at run time nothing checks.
    expect(documentText<never>(undefined as never)).toBe('null\n');
  });
});

describe('a test that runs a command with --json', () => {
  test('fails when the document is not as the schema of the command says', async () => {
    const { stdout } = await runCli('version', '--json');
    const facts = parseDocument('version', stdout);
    const wrong = (document: object) => checkPrinted(['version', '--json'], JSON.stringify(document));
    await expect(wrong({ ...facts, node: 20 })).rejects.toThrow('node must be string');
    await expect(wrong({ ...facts, libc: 'musl' })).rejects.toThrow('must NOT have additional properties');
    await expect(wrong({ version: facts.version })).rejects.toThrow('required property');
  });
});

describe('schemas describe', () => {
  test('why a POWER9 runs one microarchitecture and not another, and its compilers', async () => {
    const cpuinfo = 'processor\t: 0\ncpu\t\t: POWER9, altivec supported\nrevision\t: 2.2 (pvr 004e 1202)\n';
    const root = writeTree({ 'proc/cpuinfo': cpuinfo });
    const detect = (...words: readonly string[]) =>
      runCli('detect', '--root', root, '--arch', 'ppc64le', ...words, '--json');
    const reasonsOf = async (name: string) =>
      parseDocument('detect-why-not', (await detect('--why-not', name)).stdout).reasons.map(
        ({ kind }) => kind,
      );
    expect(await reasonsOf('power8le')).toEqual([]);
    expect(await reasonsOf('power10le')).toContain('generation');
    expect(await reasonsOf('zen4')).toEqual(['family']);
    const { stdout } = await detect('--compiler', 'gcc@12');
    expect(parseDocument('detect-compiler', stdout)).toMatchObject({ microarchitecture: 'power9le' });
    expect(parseDocument('profile', (await detect()).stdout).cpu.microarchitecture).toBe('power9le');
  });

  test('how detection compares with other programs', async () => {
    const { stdout } = await runCli('detect', '--verify', '--json');
    expect(parseDocument('detect-verify', stdout)).toBeInstanceOf(Array);
  });

  test('an entry of the catalogue, and what hosts get from it', async () => {
    const shown = await runCli('catalog', 'show', 'tei', '--json');
    expect(parseDocument('catalog-show', shown.stdout).lists.length).toBeGreaterThan(0);
    const tried = await runCli('catalog', 'test', 'tei', '--offline', '--json');
    expect(parseDocument('catalog-test', tried.stdout)).toMatchObject({ name: 'tei', images: [] });
  });

  test('what setup would change of each runtime', async () => {
    const names = ['docker', 'containerd', 'podman', 'cri-o', 'k3s', 'apptainer'];
    const { stdout } = await runCli('setup', ...names, '--dry-run', '--root', temporaryFolder(), '--json');
    expect(parseDocument('setup', stdout).runtimes.map(({ runtime }) => runtime)).toEqual(names);
  });
});
