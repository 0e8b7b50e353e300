import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../src/lib/config-error.ts';
import { parseYamlDocument } from '../../src/lib/yaml-document.ts';

function errorOf(text: string): Partial<ConfigError> {
  try {
    parseYamlDocument('a.yaml', text).toContent();
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  return {};
}

const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
const LAUGHS = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((name, at, all) => {
  const item = at === 0 ? 'ha' : `*${all[at - 1]}`;
  return `${name}: &${name} [${Array(9).fill(item).join()}]`;
});

describe('a YAML file', () => {
  test('is parsed with the places of its values', () => {
    const { placeAt, toContent } = parseYamlDocument('a.yaml', 'a: 1\nb: [x, "y"]\n');
    expect(toContent()).toEqual({ a: 1, b: ['x', 'y'] });
    expect([placeAt(0), placeAt(5), placeAt(9)]).toEqual([
      { line: 1, column: 1 },
      { line: 2, column: 1 },
      { line: 2, column: 5 },
    ]);
  });

  test('may be empty, and may repeat a part by aliases', () => {
    expect(parseYamlDocument('a.yaml', '').toContent()).toBeNull();
    expect(parseYamlDocument('a.yaml', 'a: &x [1]\nb: *x\n').toContent()).toEqual({ a: [1], b: [1] });
    expect(parseYamlDocument('a.yaml', nested(90)).toContent()).toHaveLength(1);
  });

  test.each<[string, string, string, number, number]>([
    ['is not YAML', 'a: 1\nb: [', 'syntax', 2, 5],
    ['has a key twice', 'a: 1\nb:\n  c: 1\n  "c": 2\n', 'syntax', 4, 3],
    ['has an alias without its anchor', 'a: 1\nb: *x\n', 'syntax', 1, 1],
    ['holds several documents', 'a: 1\n---\nb: 2\n', 'syntax', 2, 1],
    // V8 ends the process when the library recurses some thousand levels deep.
    ['nests too deep in brackets', nested(20_000), 'too-large', 1, 100],
    ['nests too deep in lists', '- '.repeat(20_000), 'too-large', 1, 199],
    [
      'nests too deep in keys',
      Array.from({ length: 200 }, (_, at) => `${' '.repeat(at)}a:\n`).join(''),
      'too-large',
      100,
      100,
    ],
    ['has too many aliases', `a: &a 1\nb: [${'*a,'.repeat(600)}]`, 'too-large', 2, 1505],
  ])('that %s is refused with its place', (_, text, code, line, column) => {
    const { code: found, line: atLine, column: atColumn } = errorOf(text);
    expect([found, atLine, atColumn]).toEqual([code, line, column]);
  });

  test('whose aliases multiply is refused', () => {
    expect(errorOf(LAUGHS.join('\n')).code).toBe('syntax');
  });

  test('larger than 1 MiB is refused', () => {
    expect(errorOf('x'.repeat(1024 * 1024 + 1)).code).toBe('too-large');
  });

  test('gives no object another prototype', () => {
    const content = parseYamlDocument('a.yaml', '__proto__: { polluted: true }\n').toContent();
    expect(Object.keys(content as object)).toEqual(['__proto__']);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });
});
