import { describe, expect, test } from 'vitest';
import type { CpuFacts } from '../../src/host/facts.ts';
import { flagsOf } from '../../src/host/identify.ts';
import { allNodes } from '../../src/host/microarchitectures.ts';
import { formatReason, similarNames, type WhyNotReason, whyNot } from '../../src/host/why-not.ts';
import { longestTurnMs } from '../support/loop-blocks.ts';

const zen3: CpuFacts = { vendor: 'AuthenticAMD', flags: [...(flagsOf('zen3') ?? [])] };
const power8: CpuFacts = { vendor: 'IBM', flags: [], generation: 8 };

describe('the reason why a CPU is not a microarchitecture', () => {
  test('is absent for the host’s own microarchitecture, and for one whose code the host runs', () => {
    expect(whyNot(zen3, 'amd64', 'znver2')).toEqual({ name: 'zen2', runs: true, reasons: [] });
  });

  test('names the flags that the host lacks', () => {
    const { runs, reasons } = whyNot(zen3, 'amd64', 'x86-64-v4');
    expect(runs).toBe(false);
    expect(reasons).toEqual([
      { kind: 'flags', missing: ['avx512f', 'avx512bw', 'avx512cd', 'avx512dq', 'avx512vl'] },
    ]);
  });

  test('names another vendor and missing flags', () => {
    const { reasons } = whyNot(zen3, 'amd64', 'nehalem');
    expect(reasons).toEqual([{ kind: 'vendor', needs: 'GenuineIntel', has: 'AuthenticAMD' }]);
    expect(whyNot(zen3, 'amd64', 'icelake').reasons.map(({ kind }) => kind)).toEqual(['vendor', 'flags']);
  });

  test('omits missing flags that hypervisors hide, except with --strict-archspec', () => {
    const guest = { ...zen3, flags: zen3.flags.filter((flag) => flag !== 'pku') };
    expect(whyNot(guest, 'amd64', 'zen3').runs).toBe(true);
    expect(whyNot(guest, 'amd64', 'zen3', { strictArchspec: true }).reasons).toEqual([
      { kind: 'flags', missing: ['pku'] },
    ]);
  });

  test('names an earlier generation', () => {
    expect(whyNot(power8, 'ppc64le', 'power9le').reasons).toEqual([{ kind: 'generation', needs: 9, has: 8 }]);
  });

  test('names another family', () => {
    expect(whyNot(power8, 'ppc64le', 'power8')).toEqual({
      name: 'power8',
      runs: false,
      reasons: [{ kind: 'family', needs: 'ppc64', has: 'ppc64le' }],
    });
  });

  test('names the model number of a sibling when the host has the flags', () => {
    const flags = [...(flagsOf('sapphirerapids') ?? [])];
    const sapphire = { vendor: 'GenuineIntel', flags, family: 6, model: 0x8f };
    expect(whyNot(sapphire, 'amd64', 'emeraldrapids').reasons).toEqual([
      { kind: 'model', needs: 'emeraldrapids', has: 'sapphirerapids' },
    ]);
  });

  test('is absent for the vendor whose cores it has, except with --strict-archspec', () => {
    const cobalt = { vendor: 'Microsoft', flags: [], parts: ['0x41/0xd49'] };
    const kinds = (options = {}) =>
      whyNot(cobalt, 'arm64', 'neoverse_n2', options).reasons.map(({ kind }) => kind);
    expect(kinds()).toEqual(['flags']);
    expect(kinds({ strictArchspec: true })).toEqual(['vendor', 'flags']);
  });

  test('suggests similar names for an unknown one', () => {
    const { name, runs, reasons } = whyNot(zen3, 'amd64', 'skylke');
    expect({ name, runs }).toEqual({ name: 'skylke', runs: false });
    expect(reasons).toEqual([{ kind: 'unknown', suggestions: expect.arrayContaining(['skylake']) }]);
  });

  test('calls a node unknown with --strict-archspec when archspec lacks it', () => {
    const { runs, reasons } = whyNot(zen3, 'amd64', 'graniterapids', { strictArchspec: true });
    expect(runs).toBe(false);
    expect(reasons[0]?.kind).toBe('unknown');
  });

  test.each([
    ['avx2-haswell', 0],
    ['sapphire-rapids', 1],
    ['', 0],
  ])('for %j suggests at least %i similar names', (written, atLeast) => {
    expect(similarNames(written).length).toBeGreaterThanOrEqual(atLeast);
    expect(similarNames(written).length).toBeLessThanOrEqual(5);
  });

  test.each<[WhyNotReason, string]>([
    [{ kind: 'unknown', suggestions: [] }, 'there is no microarchitecture of that name'],
    [
      { kind: 'unknown', suggestions: ['zen', 'zen2'] },
      'there is no microarchitecture of that name; similar: zen, zen2',
    ],
    [{ kind: 'family', needs: 'ppc64', has: 'x86_64' }, 'it is of the ppc64 family, this CPU of x86_64'],
    [{ kind: 'vendor', needs: 'IBM', has: 'ARM' }, "it is IBM's, this CPU is ARM's"],
    [{ kind: 'vendor', needs: 'IBM', has: 'generic' }, "it is IBM's, this CPU is of an unknown vendor"],
    [{ kind: 'flags', missing: ['avx', 'fma'] }, 'this CPU lacks avx, fma'],
    [{ kind: 'generation', needs: 9, has: 8 }, 'it needs generation 9, this CPU is of generation 8'],
    [{ kind: 'generation', needs: 9 }, 'it needs generation 9, this CPU is unknown'],
    [{ kind: 'model', needs: 'a', has: 'b' }, "only model numbers distinguish it, and this CPU's say b"],
    [{ kind: 'model', needs: 'a' }, "only model numbers distinguish it, and this CPU's are not known"],
  ])('formatReason() of %j is “%s”', (reason, clause) => {
    expect(formatReason(reason)).toBe(clause);
  });

  test('similarNames() lists the nearest first, equals by name, and accepts other spellings', () => {
    expect(similarNames('zen')).toEqual(['zen', 'zen1', 'zen2', 'zen3', 'zen4']);
    expect(similarNames(' Sky-Lake ')[0]).toBe('skylake');
    expect(similarNames('haswel')[0]).toBe('haswell');
    expect(similarNames('qqqqqqqqqqqq')).toEqual([]);
    expect(similarNames('  zen\n')).toEqual(similarNames('zen'));
    expect(similarNames('neoverse-n')).toEqual(similarNames('neoverse_n'));
    expect(similarNames('rapids')).toContain('sapphirerapids');
    expect(similarNames('').filter((name) => name.length > 2)).toEqual([]);
  });

  test('similarNames() lists names with one error in three letters, and no others', () => {
    expect(similarNames('saphirrapid')).toContain('sapphirerapids');
    expect(similarNames('saphirrapi')).not.toContain('sapphirerapids');
    expect(similarNames('xem3')).toContain('zen3');
  });

  test('similarNames() takes less than 50 ms of CPU time for a text of sixty thousand characters', async () => {
    similarNames('zen');
    for (const text of ['a'.repeat(60_000), 'zen3'.repeat(15_000)]) {
      expect(await longestTurnMs(async () => void similarNames(text))).toBeLessThan(50);
      expect(similarNames(text)).toEqual([]);
    }
  });

  test('similarNames() lists no name for a text that is longer than twice the longest name', () => {
    const names = [...allNodes()].map(({ name }) => name.length);
    expect(2 * Math.max(...names)).toBeLessThan(64);
  });

  test('each reason is a clause in plain words', () => {
    const clauses = [
      ...whyNot(zen3, 'amd64', 'icelake').reasons,
      ...whyNot(power8, 'ppc64le', 'power9le').reasons,
      ...whyNot(power8, 'ppc64le', 'nowhere').reasons,
    ].map(formatReason);
    expect(clauses[0]).toBe("it is GenuineIntel's, this CPU is AuthenticAMD's");
    expect(clauses[1]).toMatch(/^this CPU lacks .*avx512f/);
    expect(clauses[2]).toBe('it needs generation 9, this CPU is of generation 8');
    expect(clauses[3]).toMatch(/^there is no microarchitecture of that name/);
  });
});
