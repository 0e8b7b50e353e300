import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { ConfigError, formatPath } from '../../src/lib/config-error.ts';
import { readSource, readValue } from '../../src/lib/config-source.ts';
import { openJson } from '../../src/lib/json-source.ts';
import {
  check,
  choice,
  combining,
  fields,
  looseFields,
  mapOf,
  oneOrMore,
  reading,
  Text,
} from '../../src/lib/schema.ts';
import { openYaml } from '../../src/lib/yaml-source.ts';

const Colour = v.pipe(
  Text,
  reading(
    (text) => (/^#/.test(text) ? text.slice(1) : undefined),
    (text) => `“${text}” is no colour`,
  ),
);
const Animal = fields({
  name: Text,
  legs: v.optional(v.number()),
  colours: v.optional(oneOrMore(Colour)),
  kind: v.optional(choice('bird', 'fish')),
  home: v.optional(v.union([Text, fields({ street: Text })])),
});
const Zoo = v.pipe(
  fields({ animals: v.array(Animal), keepers: v.optional(mapOf(Text, fields({ age: v.number() }))) }),
  combining(({ animals, keepers }, refuse) => {
    const second = animals.findIndex(({ name }, at) => animals.findIndex((one) => one.name === name) < at);
    if (second >= 0) refuse('there is another of that name', 'animals', second, 'name');
    return { names: animals.map(({ name }) => name), keepers };
  }),
);

function complaints(work: () => unknown): readonly string[] {
  try {
    work();
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return [error, ...error.further].map(({ message }) => message);
  }
}

const YAML = `animals:
  - name: Anna
    colours: "#red"
  - nmae: Bert
    legs: four
    colours: ["#blue", green]
    kind: brid
  - { name: Carl, home: { stret: x } }
keepers:
  Dora: { age: old }
`;

describe('a file that a schema reads', () => {
  test('is refused with the place and path of everything that is wrong', () => {
    expect(complaints(() => readSource(Zoo, openYaml('zoo.yml', YAML)))).toEqual([
      'zoo.yml:4:5: animals[1].nmae: this key does not exist; did you mean name?',
      'zoo.yml:5:11: animals[1].legs: a number is expected, not a text',
      'zoo.yml:6:24: animals[1].colours[1]: “green” is no colour',
      'zoo.yml:7:11: animals[1].kind: “brid” is not one of bird, fish; did you mean bird?',
      'zoo.yml:8:27: animals[2].home.stret: this key does not exist; did you mean street?',
      'zoo.yml:10:16: keepers.Dora.age: a number is expected, not a text',
      'zoo.yml:4:5: animals[1].name: this key is missing',
      'zoo.yml:8:25: animals[2].home.street: this key is missing',
    ]);
  });

  test('has the same places when it is written as JSON', () => {
    const json = `{\n  "animals": [\n    { "nmae": "Bert",\n      "legs": "four" }\n  ]\n}\n`;
    expect(complaints(() => readSource(Zoo, openJson('zoo.json', json)))).toEqual([
      'zoo.json:3:7: animals[0].nmae: this key does not exist; did you mean name?',
      'zoo.json:4:15: animals[0].legs: a number is expected, not a text',
      'zoo.json:3:5: animals[0].name: this key is missing',
    ]);
  });

  test('is refused at the place where it stops being YAML or JSON', () => {
    expect(complaints(() => openYaml('a.yml', 'a: 1\nb: [1\n'))).toEqual([
      expect.stringMatching(/^a\.yml:[23]:1: Flow sequence/),
    ]);
    expect(complaints(() => openYaml('a.yml', 'a: 1\na: 2\n'))).toEqual([
      expect.stringMatching(/^a\.yml:2:1: Map keys must be unique/),
    ]);
    expect(complaints(() => openJson('a.json', '{\n  "a": 1,\n}'))).toEqual([
      expect.stringMatching(/^a\.json:3:1: the file is not JSON: property name expected$/),
    ]);
  });

  test('is refused when it is larger than 1 MiB', () => {
    expect(complaints(() => openYaml('a.yml', `a: "${'ü'.repeat(600_000)}"`))).toEqual([
      'a.yml: the file is larger than 1048576 bytes',
    ]);
  });

  test('has the place of a value behind an alias, and of a key without a value', () => {
    const text = 'animals:\n  - &a { name: Anna, legs: four }\n  - *a\n  - name:\n';
    expect(complaints(() => readSource(Zoo, openYaml('a.yml', text)))).toEqual([
      'a.yml:2:28: animals[0].legs: a number is expected, not a text',
      'a.yml:2:28: animals[1].legs: a number is expected, not a text',
      'a.yml:4:5: animals[2].name: a text is expected, not nothing',
    ]);
  });

  test('is checked as a whole once its parts are valid', () => {
    const text = 'animals: [{ name: A }, { name: A }]\n';
    expect(complaints(() => readSource(Zoo, openYaml('a.yml', text)))).toEqual([
      'a.yml:1:32: animals[1].name: there is another of that name',
    ]);
  });

  test('that is empty is refused with the place of its start', () => {
    expect(complaints(() => readSource(Zoo, openYaml('a.yml', '')))).toEqual([
      'a.yml:1:1: a map of keys and values is expected, not nothing',
    ]);
  });
});

describe('a value that a schema reads', () => {
  test('is not shown when it has the wrong type, because it may be a secret in the wrong place', () => {
    const { problems = [] } = check(fields({ password: Text }), { password: 123456 });
    expect(problems).toMatchObject([
      { code: 'wrong-type', why: 'a text is expected, not a number', nextStep: 'Put it in quotes.' },
    ]);
  });

  test.each([
    ['an unknown key', { nme: 'x', name: 'y' }, 'unknown-key'],
    ['a missing key', {}, 'missing-key'],
    ['another type', { name: [] }, 'wrong-type'],
    ['a word that is none of the known', { name: 'x', kind: 'cat' }, 'invalid-value'],
    ['a text that cannot be read', { name: 'x', colours: 'red' }, 'invalid-value'],
  ])('with %s is refused with the code %s', (_, value, code) => {
    expect(check(Animal, value).problems?.map((problem) => problem.code)).toEqual([code]);
  });

  test('is not a map when it is a list', () => {
    for (const schema of [fields({}), looseFields({}), mapOf(Text, Text)]) {
      expect(check(schema, []).problems?.[0]?.why).toBe('a map of keys and values is expected, not a list');
      expect(check(schema, null).problems?.[0]?.why).toBe(
        'a map of keys and values is expected, not nothing',
      );
    }
  });

  test('keeps every key of a map, also names with a meaning in JavaScript', () => {
    const text = '{"constructor": "a", "__proto__": "b", "toString": "c"}';
    const { output } = check(mapOf(Text, Text), JSON.parse(text));
    expect(Object.fromEntries(output ?? [])).toEqual(JSON.parse(text));
    expect(output?.size).toBe(3);
    expect(check(fields({}), JSON.parse(text)).problems).toHaveLength(3);
  });

  test('of several forms is refused with the problem of the form that matches best', () => {
    const Home = v.union([v.number(), Colour, v.array(Colour), fields({ street: Text })]);
    const why = (value: unknown) => check(Home, value).problems?.map((problem) => problem.why);
    expect(why('red')).toEqual(['“red” is no colour']);
    expect(why(['#red', 'red'])).toEqual(['“red” is no colour']);
    expect(why({ street: 7 })).toEqual(['a text is expected, not a number']);
    expect(why(true)).toEqual([
      'a number or a text or a list or a map of keys and values is expected, not true',
    ]);
  });

  test('outside a file is named by its path', () => {
    expect(complaints(() => readValue(Animal, { name: '' }, ['--animal']))).toEqual([
      '--animal.name: a text is expected, not an empty one',
    ]);
    expect(formatPath(['a b', 0, 'c', 'd/e'])).toBe('"a b"[0].c["d/e"]');
  });
});

test('a ConfigError is sent between threads as plain data, with all its problems', () => {
  const further = [new ConfigError('missing-key', 'this key is missing', { path: ['b'] })];
  const details = { file: 'a.yml', line: 1, column: 2, path: ['a', 0], nextStep: 'Mend it.', further };
  const error = new ConfigError('wrong-type', 'a text is expected', { ...details, cause: new Error('why') });
  const copy = ConfigError.of(structuredClone(error.plain()));
  expect(copy.plain()).toEqual(error.plain());
  expect(copy).toMatchObject({ code: 'wrong-type', file: 'a.yml', line: 1, column: 2, nextStep: 'Mend it.' });
  expect(copy.message).toBe('a.yml:1:2: a[0]: a text is expected');
  expect(copy.further[0]?.message).toBe('b: this key is missing');
});
