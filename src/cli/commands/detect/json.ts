import type { GpuFacts } from '../../../host/facts.ts';
import type { DetectedHost } from '../../detect-host.ts';
import type { InventoryRows } from './inventory.ts';

/**
 * The profile, and beside what selection reads the facts it was judged by. Described by schema/profile.schema.json;
 * `parseProfile` reads it back.
 */
export async function renderJson(host: DetectedHost, human?: InventoryRows): Promise<string> {
  const { allFlags } = await import('../../../host/compiler-flags.ts');
  const { facts, detected, profile } = host;
  const { vendor: _vendor, flags: _flags, ...evidence } = facts.cpu;
  // What was assumed has neither slots nor model numbers.
  const asDetected = profile.gpus === detected.gpus;
  const document = {
    platform: profile.platform,
    cpu: { ...profile.cpu, ...(profile.cpu === detected.cpu ? { evidence } : {}) },
    gpus: profile.gpus.map((gpu, at) => ({
      name: null,
      computeCapability: null,
      ...(asDetected ? placeOf(facts.gpus[at]) : {}),
      ...gpu,
    })),
    system: facts.system,
    ...(profile.hardware === detected.hardware ? { hardware: profile.hardware } : {}),
    features: profile.features,
    warnings: profile.warnings,
    compilers: allFlags(profile.cpu.microarchitecture),
    ...(human === undefined
      ? {}
      : { machine: Object.fromEntries(human.map(({ label, lines }) => [label, lines])) }),
  };
  return `${JSON.stringify(document, undefined, 2)}\n`;
}

/** Where a GPU is and what it was recognised by. */
function placeOf({ pciId, pciAddress, mig }: Partial<GpuFacts> = {}): Partial<GpuFacts> {
  return {
    ...(pciId === undefined ? {} : { pciId }),
    ...(pciAddress === undefined ? {} : { pciAddress }),
    ...(mig === undefined ? {} : { mig }),
  };
}
