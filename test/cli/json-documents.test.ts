import { describe, expect, test } from 'vitest';
import { documentText } from '../../src/cli/output.ts';
import {
  allCommandsWithJson,
  checkPrinted,
  DOCUMENT_NAMES,
  jsonOptionOf,
  parseDocument,
} from '../support/json-documents.ts';
import { runCli } from '../support/run-cli.ts';

describe('--json', () => {
  test('has no schema that no command names', async () => {
    const named = (await allCommandsWithJson()).flatMap(({ command }) => {
      const option = jsonOptionOf(command);
      return option === undefined ? [] : [option.schema, ...Object.values(option.others)];
    });
    expect(DOCUMENT_NAMES.filter((name) => !named.includes(name))).toEqual([]);
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

describe('every test that runs a command with --json', () => {
  test('fails when the document is not as the schema of the command says', async () => {
    const { stdout } = await runCli('version', '--json');
    const facts = parseDocument('version', stdout);
    const wrong = (document: object) => checkPrinted(['version', '--json'], JSON.stringify(document));
    await expect(wrong({ ...facts, node: 20 })).rejects.toThrow('node must be string');
    await expect(wrong({ ...facts, libc: 'musl' })).rejects.toThrow('must NOT have additional properties');
    await expect(wrong({ version: facts.version })).rejects.toThrow('required property');
  });
});
