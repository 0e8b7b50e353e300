import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { exactJson, keepExactNumbers } from '../../src/lib/json.ts';

function read(text: string): object {
  const value = JSON.parse(text) as object;
  keepExactNumbers(text, value);
  return value;
}

/** The value of an integer's JSON text, such as `12` or `1.2e+21`. */
function integerOf(text: string): bigint {
  const [number = '', exponent = '0'] = text.split('e');
  const [whole = '', fraction = ''] = number.split('.');
  return BigInt(whole + fraction) * 10n ** BigInt(Number(exponent) - fraction.length);
}

describe('exactJson()', () => {
  test.each([
    ['integers above 2^53', '{"a":9007199254740993,"b":[1,-18446744073709551615,2]}'],
    ['a long decimal', '{"a":{"b":0.1000000000000000055511151231257827}}'],
    ['a number beyond every double', '{"a":1e400,"b":-1E-400}'],
    ['exact numbers next to others', '{"a":9007199254740993,"b":1.5,"c":"9007199254740993","d":[true,null]}'],
    ['a name with a meaning in JavaScript', '{"__proto__":{"a":9007199254740993},"constructor":1e400}'],
    ['escaped names and brackets in strings', '{"\\"}":9007199254740993,"[":"],{\\\\"}'],
    ['text that looks like a number', '{"1":9007199254740993,"b":"9007199254740993"}'],
  ])('writes %s with the same digits', (_, text) => {
    expect(exactJson(read(text))).toBe(text);
  });

  test('writes a copy with an added member, and a changed member with its new value', () => {
    const raw = read('{"size":9007199254740993,"entry":{"id":9007199254740995,"n":1}}') as {
      entry: object;
    };
    const copy = { ...raw, entry: { ...raw.entry, more: true }, size: 7 };
    expect(exactJson(copy)).toBe('{"size":7,"entry":{"id":9007199254740995,"n":1,"more":true}}');
  });

  test.each([
    ['{"a":9007199254740993,"a":1}', '{"a":1}'],
    ['{"a":1,"a":9007199254740993}', '{"a":9007199254740993}'],
    ['{"a":9007199254740993,"a":9007199254740992}', '{"a":9007199254740992}'],
    ['{"a":{"b":9007199254740993},"a":{"b":"x"}}', '{"a":{"b":"x"}}'],
    ['{"a":[9007199254740993],"a":{"0":1}}', '{"a":{"0":1}}'],
  ])('writes the last of several members of the same name, as JSON.parse reads it: %s', (text, written) => {
    expect(exactJson(read(text))).toBe(written);
  });

  test.each(['{"a":1e3,"b":1.0,"c":-0,"d":0.1}', '{"a":1000000000000000000000}', '{ "a": [ 0.50 ] }'])(
    'writes numbers that JavaScript represents exactly as JSON.stringify does: %s',
    (text) => {
      expect(exactJson(read(text))).toBe(JSON.stringify(JSON.parse(text)));
    },
  );

  test('writes any JSON as JSON.stringify does, when its numbers came from JavaScript', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        const text = JSON.stringify(value);
        expect(exactJson(read(text))).toBe(JSON.stringify(JSON.parse(text)));
      }),
    );
  });

  test('writes any JSON next to an exact number as JSON.stringify does', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = `{"exact":9007199254740993,"value":${JSON.stringify(value)}}`;
        const expected = `{"exact":9007199254740993,"value":${JSON.stringify(JSON.parse(JSON.stringify(value)))}}`;
        expect(exactJson(read(text))).toBe(expected);
      }),
    );
  });

  test('writes every integer with the value that it was read with', () => {
    const integers = fc.bigInt({ min: -(10n ** 40n), max: 10n ** 40n });
    fc.assert(
      fc.property(fc.array(fc.array(integers)), (rows) => {
        const text = `{"rows":[${rows.map((row) => `{"row":[${row.join(',')}]}`).join(',')}]}`;
        const written = exactJson(read(text)).match(/-?\d[\d.e+]*/g) ?? [];
        expect(written.map(integerOf)).toEqual(rows.flat());
      }),
    );
  });
});
