import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { shapeOf, USUAL_BOUNDS } from '../../src/lib/json.ts';
import { checkShape } from '../../src/oci/manifest-shape.ts';
import { FUZZ_RUNS } from '../support/fuzz.ts';

/** The same figures by way of the parser. */
function shapeByParsing(value: unknown): { depth: number; values: number } {
  if (typeof value !== 'object' || value === null) return { depth: 0, values: 0 };
  const inner = Object.values(value);
  const shapes = inner.map(shapeByParsing);
  const commas = Math.max(0, inner.length - 1);
  const colons = Array.isArray(value) ? 0 : inner.length;
  return {
    depth: 1 + Math.max(0, ...shapes.map(({ depth }) => depth)),
    values: 1 + commas + colons + shapes.reduce((sum, { values }) => sum + values, 0),
  };
}

describe('shapeOf()', () => {
  test('measures any JSON text as its parser does, whatever its strings contain', () => {
    const string = fc.string({ unit: fc.constantFrom('"', '\\', '{', '[', ',', ':', 'a', '\u00e4', '\n') });
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        fc.oneof(string, fc.integer(), fc.boolean(), fc.constant(null)),
        fc.array(tie('value'), { maxLength: 4 }),
        fc.dictionary(string, tie('value'), { maxKeys: 4 }),
      ),
    }));
    let nested = 0;
    fc.assert(
      fc.property(value, fc.constantFrom(undefined, 2), (document, indent) => {
        const shape = shapeOf(Buffer.from(JSON.stringify(document, null, indent)), USUAL_BOUNDS);
        expect(shape).toMatchObject(shapeByParsing(document));
        if (shape.depth > 0) nested += 1;
      }),
      { numRuns: FUZZ_RUNS },
    );
    expect(nested).toBeGreaterThan(FUZZ_RUNS / 10);
  });
});

describe('checkShape()', () => {
  const nested = (levels: number) => Buffer.from('['.repeat(levels) + ']'.repeat(levels));
  const list = (commas: number) => Buffer.from(`[${'1,'.repeat(commas)}1]`);

  test('accepts 64 levels and refuses 65', () => {
    expect(() => checkShape(nested(64))).not.toThrow();
    expect(() => checkShape(nested(65))).toThrow('the manifest nests deeper than 64 levels');
  });

  test('accepts 65,536 names and values and refuses one more', () => {
    expect(() => checkShape(list(65_535))).not.toThrow();
    expect(() => checkShape(list(65_536))).toThrow('the manifest has more than 65536 names and values');
  });

  test('counts lists within lists, which contain no commas', () => {
    const lists = Buffer.from(
      `[${Array(2000)
        .fill('['.repeat(60) + ']'.repeat(60))
        .join(',')}]`,
    );
    expect(() => checkShape(lists)).toThrow('the manifest has more than 65536 names and values');
  });
});
