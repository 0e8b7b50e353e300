import { readFileSync } from 'node:fs';
import { toJsonSchema } from '@valibot/to-json-schema';
import { describe, expect, test } from 'vitest';
import { GAP_EVENT, GAPS, parseGaps } from '../../src/selection/gap-schema.ts';

const GAP = {
  image: 'docker.io/qnib/bench:latest',
  fit: 'older',
  platform: 'linux/amd64',
  wanted: ['cpu:zen4'],
  isMarked: true,
  served: null,
  pulls: 0,
  hosts: [],
  firstAt: '2026-11-26T10:00:00.000Z',
  lastAt: '2026-11-26T11:00:00.000Z',
};

describe('parseGaps()', () => {
  test('reads a recorded file', () => {
    const gaps = [GAP, { ...GAP, fit: 'refused', served: 'cpu:zen2', notifiedAt: GAP.lastAt }];
    expect(parseGaps({ version: 1, gaps })).toEqual(gaps);
  });

  test.each<readonly [string, unknown, RegExp]>([
    ['another version', { version: 2, gaps: [] }, /version|Invalid type: Expected 1/],
    ['no gaps', { version: 1 }, /gaps/],
    ...Object.entries({
      fit: 'exact',
      wanted: [],
      pulls: -1,
      hosts: 'a',
      firstAt: 'yesterday',
      served: undefined,
      isMarked: 1,
    }).map(
      ([key, value]) =>
        [
          `${key} ${JSON.stringify(value)}`,
          { version: 1, gaps: [{ ...GAP, [key]: value }] },
          /Invalid/,
        ] as const,
    ),
    ['half a pull', { version: 1, gaps: [{ ...GAP, pulls: 0.5 }] }, /Invalid integer/],
  ])('refuses %s', (_, document, message) => {
    expect(() => parseGaps(document)).toThrow(message);
  });
});

test.each([
  ['gaps', GAPS],
  ['gap-event', GAP_EVENT],
])('the published schema of %s is up to date', (name, schema) => {
  const file = new URL(`../../schema/${name}.schema.json`, import.meta.url);
  const published = JSON.parse(readFileSync(file, 'utf8'));
  const { $schema: _, ...described } = toJsonSchema(schema, {
    target: 'draft-2020-12',
    typeMode: 'output',
    ignoreActions: ['readonly'],
  });
  const { $schema: _schema, title: _title, description: _description, ...members } = published;
  expect(members).toEqual(described);
});
