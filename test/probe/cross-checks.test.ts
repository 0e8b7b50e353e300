import { describe, expect, test } from 'vitest';
import {
  parseClangTarget,
  parseGccTarget,
  parseLinkerHelp,
  parseLscpu,
  queryOtherPrograms,
} from '../../src/probe/cross-checks.ts';

describe('what other programs say of a CPU', () => {
  test('gcc names the microarchitecture among its target options', () => {
    const help =
      'The following options are target specific:\n  -m128bit-long-double \t\t[enabled]\n  -march=    \t\tznver3\n';
    expect(parseGccTarget(help)).toBe('znver3');
    expect(parseGccTarget('')).toBeUndefined();
  });

  test('clang names it in the command that it would run', () => {
    expect(parseClangTarget('"clang" "-cc1" "-target-cpu" "sapphirerapids" "-target-feature"')).toBe(
      'sapphirerapids',
    );
    expect(parseClangTarget('clang: error: unknown target')).toBeUndefined();
  });

  test('the dynamic linker lists levels, the greatest first, and those that it does not search too', () => {
    const help =
      'Subdirectories of glibc-hwcaps directories, in priority order:\n  x86-64-v4\n  x86-64-v3 (supported, searched)\n  x86-64-v2 (supported, searched)\n';
    expect(parseLinkerHelp(help)).toBe('x86-64-v3');
    expect(parseLinkerHelp('unrecognized option --help')).toBeUndefined();
  });

  test('lscpu names the model and the flags', () => {
    expect(parseLscpu('Model name:     AMD EPYC\n  Flags:    fpu vme\n')).toEqual({
      modelName: 'AMD EPYC',
      flags: ['fpu', 'vme'],
    });
    expect(parseLscpu('')).toBeUndefined();
  });

  test('a program that is missing is left out, and the others still answer', async () => {
    const answers = await queryOtherPrograms();
    for (const [name, answer] of Object.entries(answers)) expect(answer, name).toBeDefined();
  });
});
