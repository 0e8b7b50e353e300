import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FIRST_PRINTED, MACRO_FLAGS, NEVER_PRINTED } from '../../src/host/data/x86.ts';
import { vendorOf } from '../../src/host/identify.ts';
import { requiredFlagSet } from '../../src/host/microarchitectures.ts';
import { deriveProfile } from '../../src/host/profile.ts';
import { compareVersions, parseVersion } from '../../src/lib/version.ts';
import { probeHost } from '../../src/probe/host.ts';
import { FUZZ_RUNS } from '../support/fuzz.ts';
import { HOSTS, MUSEUM, type MuseumHost, museumHost } from '../support/museum.ts';
import { renderMuseum } from '../support/museum-page.ts';

async function factsOf(host: string) {
  const { facts } = await probeHost({
    root: join(MUSEUM, host),
    architecture: museumHost(host).platform.architecture,
    now: () => new Date('2026-01-01T00:00:00Z'),
  });
  return facts;
}

describe('the museum of hosts', () => {
  test('has sixty machines of seven architectures, with NVIDIA GPUs of five generations', () => {
    const hosts = HOSTS.map(museumHost);
    const architectures = new Set(hosts.map(({ platform }) => platform.architecture));
    const majors = hosts.flatMap(({ features }) =>
      features.flatMap((feature) => /^nvcap:(\d+)\./.exec(feature)?.[1] ?? []),
    );
    expect(HOSTS.length).toBeGreaterThanOrEqual(60);
    expect(architectures.size).toBeGreaterThanOrEqual(7);
    expect(new Set(majors).size).toBeGreaterThanOrEqual(5);
  });

  test.each(HOSTS)('has its expected profile: %s', async (host) => {
    const expected: MuseumHost = museumHost(host);
    const { facts, warnings, failed } = await probeHost({
      root: join(MUSEUM, host),
      architecture: expected.platform.architecture,
      now: () => new Date('2026-01-01T00:00:00Z'),
    });
    const profile = deriveProfile(facts, { warnings });

    expect(profile.cpu.microarchitecture).toBe(expected.microarchitecture);
    expect(profile.platform).toEqual(expected.platform);
    expect(profile.cpu.compatible[0]).toBe(expected.microarchitecture);
    expect(profile.cpu.compatible.slice(0, expected.compatible?.length ?? 0)).toEqual(
      expected.compatible ?? [],
    );
    expect(profile.gpus).toHaveLength(expected.gpus.length);
    expect(profile.gpus).toMatchObject(expected.gpus);
    expect([...profile.features].sort()).toEqual(expected.features);
    expect(profile.warnings).toHaveLength(expected.warnings.length);
    for (const [at, piece] of expected.warnings.entries()) expect(profile.warnings[at]).toContain(piece);
    expect(failed).toBe(expected.failed);
  });

  test('docs/museum.md is what npm run museum writes', async () => {
    const page = readFileSync(new URL('../../docs/museum.md', import.meta.url), 'utf8');
    expect(page).toBe(await renderMuseum());
  });

  test('has thirty captured machines, and every tree names its source', () => {
    const sources = HOSTS.map((host) => museumHost(host).source);
    expect(sources.filter(({ kind }) => kind === 'captured').length).toBeGreaterThanOrEqual(30);
    for (const [at, source] of sources.entries()) expect(source.from, HOSTS[at]).not.toEqual('');
  });

  const isLinuxOnX86 = ({ platform }: MuseumHost) =>
    platform.os === 'linux' && platform.architecture === 'amd64';

  test.each(HOSTS.filter((host) => isLinuxOnX86(museumHost(host))))(
    '%s has no flag that its kernel cannot print',
    async (host) => {
      const { cpu, system } = await factsOf(host);
      expect(cpu.flags.filter((flag) => NEVER_PRINTED.includes(flag))).toEqual([]);
      const kernel = parseVersion(system.kernel ?? '');
      // Red Hat and SUSE print flags in kernels whose number is older.
      if (kernel === undefined || /\.el\d|-default/.test(system.kernel ?? '')) return;
      const tooNew = cpu.flags.filter(
        (flag) => compareVersions(kernel, parseVersion(FIRST_PRINTED[flag] ?? '0') ?? []) < 0,
      );
      expect(tooNew).toEqual([]);
    },
  );
});

describe('a machine of the museum some of whose flags are hidden', () => {
  const x86 = HOSTS.filter((host) => museumHost(host).platform.architecture === 'amd64');

  test('never runs a node that needs one of the hidden flags, and a needed flag always matters', async () => {
    const all = await Promise.all(x86.map(factsOf));
    const facts = all.filter(({ cpu }) => cpu.flags.length > 0);
    const masking = fc.record({ at: fc.nat(facts.length - 1), seed: fc.infiniteStream(fc.boolean()) });
    fc.assert(
      fc.property(masking, ({ at, seed }) => {
        const host = facts[at];
        if (host === undefined) throw new Error('unreachable');
        const flags = host.cpu.flags.filter(() => seed.next().value !== false);
        const printed = new Set(flags);
        const { cpu } = deriveProfile({ ...host, cpu: { ...host.cpu, flags } });
        const has = new Set([...cpu.flags, ...(printed.has('ssse3') || printed.has('pni') ? ['sse3'] : [])]);
        // What is assumed was not hidden by this test: the machine's own kernel did not print it.
        const before = new Set(host.cpu.flags);
        expect(
          (cpu.assumedFlags ?? []).filter((flag) => before.has(flag) && isPrintable(flag, host)),
        ).toEqual([]);
        for (const name of cpu.compatible) {
          if (vendorOf(name) !== cpu.vendor && vendorOf(name) !== 'generic') continue;
          expect([...(requiredFlagSet(name) ?? [])].filter((flag) => !has.has(flag))).toEqual([]);
        }
      }),
      { numRuns: FUZZ_RUNS },
    );
  });

  test('is never a node whose macro flag is hidden', async () => {
    for (const host of x86) {
      const facts = await factsOf(host);
      for (const hidden of MACRO_FLAGS.filter((flag) => facts.cpu.flags.includes(flag))) {
        const flags = facts.cpu.flags.filter((flag) => flag !== hidden);
        const { cpu } = deriveProfile({ ...facts, cpu: { ...facts.cpu, flags } });
        if (cpu.assumedFlags?.includes(hidden)) continue;
        const needing = cpu.compatible.filter((name) => requiredFlagSet(name)?.has(hidden));
        expect(needing, `${host} without ${hidden}`).toEqual([]);
      }
    }
  });

  function isPrintable(flag: string, { system }: { readonly system: { readonly kernel?: string } }): boolean {
    const kernel = parseVersion(system.kernel ?? '');
    const since = parseVersion(FIRST_PRINTED[flag] ?? '0');
    return kernel === undefined || compareVersions(kernel, since ?? []) >= 0;
  }
});
