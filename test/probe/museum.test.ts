import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { deriveProfile } from '../../src/host/profile.ts';
import { probeHost } from '../../src/probe/host.ts';

const MUSEUM = fileURLToPath(new URL('../fixtures/hosts', import.meta.url));

/** What is written beside each tree of /proc, /sys and /etc. */
interface Expected {
  readonly platform: { readonly os: string; readonly architecture: string; readonly variant?: string };
  readonly microarchitecture: string;
  /** How the ranked list begins; not told of every host. */
  readonly compatible?: readonly string[];
  readonly gpus: readonly Readonly<Record<string, unknown>>[];
  /** All of them, in no order. */
  readonly features: readonly string[];
  /** A piece of each warning, in order. */
  readonly warnings: readonly string[];
  readonly failed: boolean;
}

const HOSTS = readdirSync(MUSEUM).sort();

function expectedOf(host: string): Expected {
  return JSON.parse(readFileSync(join(MUSEUM, host, 'expected.json'), 'utf8')) as Expected;
}

describe('the museum of hosts', () => {
  test('holds sixty machines of seven architectures, with NVIDIA GPUs of five generations', () => {
    const hosts = HOSTS.map(expectedOf);
    const architectures = new Set(hosts.map(({ platform }) => platform.architecture));
    const majors = hosts.flatMap(({ features }) =>
      features.flatMap((feature) => /^nvcap:(\d+)\./.exec(feature)?.[1] ?? []),
    );
    expect(HOSTS.length).toBeGreaterThanOrEqual(60);
    expect(architectures.size).toBeGreaterThanOrEqual(7);
    expect(new Set(majors).size).toBeGreaterThanOrEqual(5);
  });

  test.each(HOSTS)('%s', async (host) => {
    const expected = expectedOf(host);
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
});
