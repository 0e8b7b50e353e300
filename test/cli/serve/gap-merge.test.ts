import { describe, expect, test } from 'vitest';
import { mergeGaps } from '../../../src/cli/serve/gap-record.ts';
import type { Gap } from '../../../src/selection/gap-schema.ts';

const GAP: Gap = {
  image: 'docker.io/qnib/bench:latest',
  fit: 'generic',
  platform: 'linux/amd64',
  wanted: ['cpu:zen4'],
  isMarked: true,
  served: null,
  pulls: 3,
  hosts: ['a', 'b'],
  firstAt: '2026-11-01T00:00:00.000Z',
  lastAt: '2026-11-03T00:00:00.000Z',
};

describe('mergeGaps()', () => {
  test('adds up pulls and joins hosts and times of one gap at several replicas', () => {
    const later: Gap = {
      ...GAP,
      served: 'cpu:x86_64',
      pulls: 4,
      hosts: ['b', 'c'],
      firstAt: '2026-11-02T00:00:00.000Z',
      lastAt: '2026-11-04T00:00:00.000Z',
    };
    for (const records of [
      [[GAP], [later]],
      [[later], [GAP]],
    ]) {
      expect(mergeGaps(records)).toEqual([
        { ...later, pulls: 7, hosts: ['a', 'b', 'c'], firstAt: GAP.firstAt },
      ]);
    }
  });

  test.each<[string, Partial<Gap>]>([
    ['images', { image: 'docker.io/qnib/other:latest' }],
    ['fits', { fit: 'refused' }],
    ['platforms', { platform: 'linux/arm64' }],
    ['wanted features', { wanted: ['cpu:zen5'] }],
  ])('keeps gaps with different %s apart', (_, difference) => {
    const other: Gap = { ...GAP, ...difference };
    expect(mergeGaps([[GAP], [other]])).toEqual([GAP, other]);
  });

  test('counts at most 64 hosts', () => {
    const hostsFrom = (start: number) => Array.from({ length: 40 }, (_, at) => String(start + at));
    const [merged] = mergeGaps([[{ ...GAP, hosts: hostsFrom(0) }], [{ ...GAP, hosts: hostsFrom(40) }]]);
    expect(merged?.hosts).toHaveLength(64);
  });
});
