import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../src/lib/config-error.ts';
import type { Document } from '../../src/lib/yaml-document.ts';
import { editYaml } from '../../src/lib/yaml-edit.ts';

const FILE = 'a.yaml';
const STEP = 'Write out what the alias stands for in the file, then repeat the change.';
const setting =
  (value: unknown, ...path: readonly (string | number)[]) =>
  (document: Document) =>
    document.setIn(path, document.createNode(value));

function failureOf(source: string, edit: (document: Document) => void): unknown {
  try {
    editYaml(FILE, source, edit);
  } catch (error) {
    return error;
  }
  return expect.fail('it was edited');
}

describe('editYaml()', () => {
  test('keeps comments, order, anchors and aliases of other parts', () => {
    const source = '# Ours.\nb: &x [ 1 ] # one\na: *x\nc: 2\n';
    expect(editYaml(FILE, source, setting(3, 'c'))).toBe('# Ours.\nb: &x [ 1 ] # one\na: *x\nc: 3\n');
  });

  test('replaces an alias, and no other with the same anchor', () => {
    expect(editYaml(FILE, 'a: &x [ 1 ]\nb: *x\nc: *x\n', setting(2, 'b'))).toBe('a: &x [ 1 ]\nb: 2\nc: *x\n');
  });

  test('formats as asked', () => {
    const long = `a: "${'word '.repeat(30)}"\n`;
    expect(editYaml(FILE, long, setting(1, 'b'), { lineWidth: 0 })).toBe(`${long}b: 1\n`);
    expect(editYaml(FILE, `x: &x 1\ny: *x\n${long}`, setting(1, 'b'), { lineWidth: 0 })).toBe(
      `x: &x 1\ny: *x\n${long}b: 1\n`,
    );
  });

  test('reads a merge key as any key where YAML has none', () => {
    expect(editYaml(FILE, '<<: { a: 1 }\n', setting(2, 'a'))).toBe('<<: { a: 1 }\na: 2\n');
  });

  test.each([
    [
      'removes what an alias needs',
      'a: &x [1]\nb: *x\n',
      setting(2, 'a'),
      'the alias *x still needs the part to change',
    ],
    // The second definition of x would be gone, so that the alias stood for the first.
    [
      'changes what an alias stands for',
      'a: &x 1\nb: &x 2\nc: *x\n',
      setting(3, 'b'),
      'an alias or merge key connects the part to change with other parts',
    ],
    [
      'changes two parts, of which one is an alias of the other',
      'a: &x [1]\nb: *x\n',
      setting(2, 'a', 0),
      'an alias or merge key connects the part to change with other parts',
    ],
    [
      'has to follow an alias',
      'a: &x { c: 1 }\nb: *x\n',
      setting(2, 'b', 'c'),
      'an alias or merge key connects the part to change with other parts',
    ],
    [
      'hides a part that is merged',
      '%YAML 1.1\n---\n<<: { a: [ 1 ] }\n',
      (document: Document) => (document.has('a') ? document.addIn(['a'], 2) : document.set('a', [2])),
      'an alias or merge key connects the part to change with other parts',
    ],
  ])('refuses an edit that %s', (_, source, edit, why) => {
    const error = failureOf(source, edit);
    expect(error).toBeInstanceOf(ConfigError);
    expect(error).toMatchObject({ code: 'in-use', why, file: FILE, nextStep: STEP });
  });

  test.each(['a: 1\n', 'a: &x 1\nb: *x\n'])('passes the failure of an edit on: %j', (source) => {
    const failure = new ConfigError('missing', 'there is no such name');
    expect(
      failureOf(source, () => {
        throw failure;
      }),
    ).toBe(failure);
  });

  test('refuses text that is no YAML, and aliases that multiply', () => {
    expect(failureOf('a: [', () => {})).toMatchObject({ code: 'syntax', file: FILE });
    const bomb = `a: &a [${'x,'.repeat(9)}]\nb: &b [${'*a,'.repeat(9)}]\nc: &c [${'*b,'.repeat(9)}]\nd: [${'*c,'.repeat(9)}]\n`;
    expect(failureOf(bomb, setting(1, 'e'))).toMatchObject({ code: 'syntax', file: FILE });
  });
});
