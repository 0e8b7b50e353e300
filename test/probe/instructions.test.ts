import { describe, expect, test } from 'vitest';
import { canonicalArchitecture } from '../../src/host/architecture.ts';
import { effectiveCpu } from '../../src/host/effective-flags.ts';
import { probeHost } from '../../src/probe/host.ts';
import { runInstructions, testableFlags } from '../../src/probe/instructions.ts';

const HERE = canonicalArchitecture(process.arch) ?? '';

describe.skipIf(process.platform !== 'linux' || testableFlags(HERE).length === 0)(
  'instructions run in children that may die',
  () => {
    test('agree with the flags that the kernel of this machine reports', async () => {
      const { facts } = await probeHost({ root: '/', now: () => new Date() });
      const claimed = new Set(effectiveCpu(facts).flags);
      const outcomes = runInstructions(HERE, testableFlags(HERE));
      expect([...outcomes.keys()]).toEqual(testableFlags(HERE));
      const trapping = [...outcomes].filter(([flag, outcome]) => outcome === 'traps' && claimed.has(flag));
      expect(trapping).toEqual([]);
      // At least the baseline of distributions runs, unless nothing can be run at all.
      const ran = [...outcomes.values()].filter((outcome) => outcome === 'runs').length;
      expect([...outcomes.values()].every((outcome) => outcome === 'unknown') || ran > 0).toBe(true);
    });

    test('are not run for flags without a test instruction', () => {
      expect([...runInstructions(HERE, ['no_such_flag'])]).toEqual([]);
    });
  },
);

test('no instructions are run on an architecture without a table', () => {
  expect(testableFlags('s390x')).toEqual([]);
  expect([...runInstructions('s390x', ['vx'])]).toEqual([]);
});
