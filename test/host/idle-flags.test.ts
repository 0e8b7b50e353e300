import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { IDLE_FLAGS, IDLE_FLAGS_BY_VENDOR, MACRO_FLAGS } from '../../src/host/data/x86.ts';
import { allNodes, flagSet, requiredFlagSet, rootOf } from '../../src/host/microarchitectures.ts';

type Answer = 'emitted' | 'idle' | 'no option';
interface CompilerResult {
  readonly nodes: Readonly<Record<string, Readonly<Record<string, Answer>>>>;
}

/** Compiler -> node -> flag -> whether its absence changes the object code; written by `npm run idle-flags`. */
const RESULT = JSON.parse(
  readFileSync(new URL('../../scripts/idle-flags/result.json', import.meta.url), 'utf8'),
) as Readonly<Record<string, CompilerResult>>;

/** Of the levels themselves: no kernel of a 64-bit machine lacks them. */
const OF_EVERY_64_BIT_CPU = ['mmx', 'sse', 'sse2', 'lahf_lm'];
/** Instructions of one vendor that later CPUs of it dropped; compilers emit them through their builtins alone. */
const DROPPED = ['3dnow', '3dnowext', 'avx512pf', 'avx512er'];

function answersFor(node: string, flag: string): readonly Answer[] {
  return Object.values(RESULT).flatMap(({ nodes }) => {
    const answer = nodes[node]?.[flag];
    return answer === undefined ? [] : [answer];
  });
}

const x86 = [...allNodes()].filter(({ name }) => rootOf(name) === 'x86_64');

describe('docs/idle-flags.md, measured with compilers,', () => {
  test('covers GCC and Clang', () => {
    expect(Object.keys(RESULT)).toEqual(['gcc', 'clang-19']);
  });

  test('lists no compiler that emits a flag which a node does not require', () => {
    const wrong = x86.flatMap(({ name }) => {
      const required = requiredFlagSet(name);
      const waived = [...(flagSet(name) ?? [])].filter((flag) => required?.has(flag) !== true);
      return waived.filter((flag) => answersFor(name, flag).includes('emitted')).map((flag) => [name, flag]);
    });
    expect(wrong).toEqual([]);
  });

  test('explains every flag that no compiler emits: idle, macro, or in every CPU', () => {
    const explained = new Set([
      ...IDLE_FLAGS,
      ...Object.values(IDLE_FLAGS_BY_VENDOR).flat(),
      ...MACRO_FLAGS,
      ...OF_EVERY_64_BIT_CPU,
      ...DROPPED,
    ]);
    const answers = Object.values(RESULT).flatMap(({ nodes }) =>
      Object.values(nodes).flatMap(Object.entries),
    );
    const emitted = new Set(answers.filter(([, answer]) => answer === 'emitted').map(([flag]) => flag));
    const unexplained = answers
      .map(([flag]) => flag)
      .filter((flag) => !emitted.has(flag) && !explained.has(flag));
    expect([...new Set(unexplained)]).toEqual([]);
  });

  test('requires a macro flag', () => {
    expect(MACRO_FLAGS.filter((flag) => IDLE_FLAGS.includes(flag))).toEqual([]);
  });

  test('requires clwb for Zen 2, which only that flag distinguishes from Zen, and not for Intel’s nodes', () => {
    expect(requiredFlagSet('zen2')?.has('clwb')).toBe(true);
    expect(requiredFlagSet('skylake_avx512')?.has('clwb')).toBe(false);
    expect(requiredFlagSet('alderlake')?.has('clwb')).toBe(false);
  });
});
