import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CpuFacts } from '../../src/host/facts.ts';
import {
  compareMicroarchitectures,
  familyOf,
  identify,
  isAncestorOrSelf,
  vendorOf,
} from '../../src/host/identify.ts';
import { allNodes, ancestorSet, flagSet, requiredFlagSet } from '../../src/host/microarchitectures.ts';
import { FUZZ_RUNS } from '../support/fuzz.ts';

const GOARCH: Readonly<Record<string, string>> = { x86_64: 'amd64', aarch64: 'arm64', s390x: 's390x' };

interface Host {
  readonly architecture: string;
  readonly cpu: CpuFacts;
}

/** A CPU with a node's flags, some of them hidden as a hypervisor would, and some evidence, true or false. */
const anyHost: fc.Arbitrary<Host> = fc
  .constantFrom(...[...allNodes()].filter(({ name }) => familyOf(name) in GOARCH))
  .chain(({ name, vendor, evidence }) => {
    const flags = [...(flagSet(name) ?? [])];
    return fc.record({
      architecture: fc.constant(GOARCH[familyOf(name)] ?? ''),
      cpu: fc.record({
        vendor: fc.constantFrom(vendor, 'GenuineIntel', 'AuthenticAMD', 'generic'),
        flags: fc.oneof(fc.constant(flags), fc.subarray(flags), fc.constant([])),
        family: fc.constantFrom(6, 25, 26),
        model: fc.constantFrom(0x8f, 0xcf, 0xaf, 0xdd, 17),
        parts: fc.constantFrom([evidence.part ?? '0xd4f'], ['0xd0c'], []),
      }),
    });
  });

const strictOrNot = fc.boolean();

describe('for any CPU,', () => {
  test('removing flags never raises the microarchitecture, and never adds one that it runs', () => {
    fc.assert(
      fc.property(anyHost, strictOrNot, fc.nat(), ({ architecture, cpu }, strictArchspec, seed) => {
        const fewer = { ...cpu, flags: cpu.flags.filter((_, at) => (at * 7 + seed) % 5 !== 0) };
        const [before, after] = [cpu, fewer].map((one) => identify(one, architecture, { strictArchspec }));
        if (before === undefined || after === undefined) throw new Error('unreachable');
        const raised = isAncestorOrSelf(before.microarchitecture, after.microarchitecture);
        expect(raised && before.microarchitecture !== after.microarchitecture).toBe(false);
        expect(before.compatible).toEqual(expect.arrayContaining([...after.compatible]));
      }),
      { numRuns: FUZZ_RUNS },
    );
  });

  test('a flag that no node has never changes the microarchitecture', () => {
    const unknown = fc.stringMatching(/^zz[a-z0-9_]{1,8}$/);
    fc.assert(
      fc.property(anyHost, fc.array(unknown), strictOrNot, ({ architecture, cpu }, more, strictArchspec) => {
        const withMore = { ...cpu, flags: [...more, ...cpu.flags] };
        expect(identify(withMore, architecture, { strictArchspec })).toEqual(
          identify(cpu, architecture, { strictArchspec }),
        );
      }),
      { numRuns: FUZZ_RUNS },
    );
  });

  test('neither the order of the flags nor their repetition matters', () => {
    fc.assert(
      fc.property(anyHost, ({ architecture, cpu }) => {
        const turned = { ...cpu, flags: [...cpu.flags, ...cpu.flags].reverse() };
        const { microarchitecture, compatible } = identify(turned, architecture);
        const straight = identify(cpu, architecture);
        expect([microarchitecture, ...compatible]).toEqual([
          straight.microarchitecture,
          ...straight.compatible,
        ]);
      }),
      { numRuns: FUZZ_RUNS },
    );
  });

  test('the list of what it runs is closed under ancestors, starts with the microarchitecture, and has each name once', () => {
    fc.assert(
      fc.property(anyHost, ({ architecture, cpu }) => {
        const { microarchitecture, compatible } = identify(cpu, architecture);
        const runs = new Set(compatible);
        expect(compatible[0]).toBe(microarchitecture);
        expect(runs.size).toBe(compatible.length);
        for (const name of compatible) {
          expect([...ancestorSet(name)].filter((ancestor) => !runs.has(ancestor))).toEqual([]);
        }
      }),
      { numRuns: FUZZ_RUNS },
    );
  });

  test('the rest of that list is ranked, and a node never comes before its descendant', () => {
    fc.assert(
      fc.property(anyHost, ({ architecture, cpu }) => {
        const [, ...rest] = identify(cpu, architecture).compatible;
        expect(rest).toEqual([...rest].sort(compareMicroarchitectures));
        for (const [at, name] of rest.entries()) {
          expect(rest.slice(at + 1).filter((later) => ancestorSet(later).has(name))).toEqual([]);
        }
      }),
      { numRuns: FUZZ_RUNS },
    );
  });

  test("the microarchitecture is of the CPU's vendor or of none, and of its architecture", () => {
    fc.assert(
      fc.property(anyHost, strictOrNot, ({ architecture, cpu }, strictArchspec) => {
        const { microarchitecture } = identify(cpu, architecture, { strictArchspec });
        expect([cpu.vendor, 'generic']).toContain(vendorOf(microarchitecture));
        expect(GOARCH[familyOf(microarchitecture)]).toBe(architecture);
      }),
      { numRuns: FUZZ_RUNS },
    );
  });

  test('family, model and part numbers never give a node whose required flags are missing', () => {
    const evidence = fc.record({ family: fc.nat(30), model: fc.nat(255), stepping: fc.nat(15) });
    fc.assert(
      fc.property(anyHost, evidence, ({ architecture, cpu }, numbers) => {
        const { compatible } = identify({ ...cpu, ...numbers }, architecture);
        const has = new Set([...cpu.flags, ...(cpu.flags.includes('ssse3') ? ['sse3'] : [])]);
        for (const name of compatible) {
          if (vendorOf(name) !== cpu.vendor) continue;
          expect([...(requiredFlagSet(name) ?? [])].filter((flag) => !has.has(flag))).toEqual([]);
        }
      }),
      { numRuns: FUZZ_RUNS },
    );
  });
});

describe('the order of microarchitectures', () => {
  const names = [...allNodes()].map(({ name }) => name);

  test('is total: antisymmetric and transitive, and only equal nodes compare equal', () => {
    const one = fc.constantFrom(...names);
    fc.assert(
      fc.property(one, one, one, (a, b, c) => {
        const [ab, bc] = [compareMicroarchitectures(a, b), compareMicroarchitectures(b, c)];
        expect(Math.sign(compareMicroarchitectures(b, a))).toBe(-Math.sign(ab) + 0);
        expect(ab === 0).toBe(a === b);
        if (ab < 0 && bc < 0) expect(compareMicroarchitectures(a, c)).toBeLessThan(0);
      }),
      { numRuns: FUZZ_RUNS },
    );
  });

  test('a descendant always ranks before its ancestor', () => {
    for (const name of names) {
      const not = [...ancestorSet(name)].filter((ancestor) => compareMicroarchitectures(name, ancestor) >= 0);
      expect(not, name).toEqual([]);
    }
  });
});
