import { describe, expect, test } from 'vitest';
import {
  parseClangTarget,
  parseGccTarget,
  parseLinkerHelp,
  parseLscpu,
  queryOtherPrograms,
} from '../../src/probe/cross-checks.ts';

describe('cross-checks with other programs', () => {
  test('read the microarchitecture from gcc’s target options', () => {
    const help =
      'The following options are target specific:\n  -m128bit-long-double \t\t[enabled]\n  -march=    \t\tznver3\n';
    expect(parseGccTarget(help)).toBe('znver3');
    expect(parseGccTarget('')).toBeUndefined();
  });

  test('read the microarchitecture from the command that clang would run', () => {
    expect(parseClangTarget('"clang" "-cc1" "-target-cpu" "sapphirerapids" "-target-feature"')).toBe(
      'sapphirerapids',
    );
    expect(parseClangTarget('clang: error: unknown target')).toBeUndefined();
  });

  test('read the levels of the dynamic linker, highest first, including those that it does not search', () => {
    const help =
      'Subdirectories of glibc-hwcaps directories, in priority order:\n  x86-64-v4\n  x86-64-v3 (supported, searched)\n  x86-64-v2 (supported, searched)\n';
    expect(parseLinkerHelp(help)).toBe('x86-64-v3');
    expect(parseLinkerHelp('unrecognized option --help')).toBeUndefined();
  });

  test('read the model and the flags from lscpu', () => {
    expect(parseLscpu('Model name:     AMD EPYC\n  Flags:    fpu vme\n')).toEqual({
      modelName: 'AMD EPYC',
      flags: ['fpu', 'vme'],
    });
    expect(parseLscpu('')).toBeUndefined();
  });

  test('omit a missing program, and keep the results of the others', async () => {
    const answers = await queryOtherPrograms();
    for (const [name, answer] of Object.entries(answers)) expect(answer, name).toBeDefined();
  });
});
