import { parseFeature } from '../../../../host/features.ts';
import type { HostProfile } from '../../../../host/profile.ts';

/** Kinds that a job may ask a node for. */
const KINDS: ReadonlySet<string> = new Set(['nvcap', 'gfx', 'gpu', 'accel', 'jetson', 'fabric']);

/** Every name that holds for this host: microarchitectures and levels with what they imply, accelerators, fabric. */
function namesOf({ cpu, platform, features }: HostProfile): readonly string[] {
  const greatest = Number(/^v([1-4])$/.exec(platform.variant ?? '')?.[1] ?? 0);
  const levels = Array.from({ length: greatest }, (_, at) => `x86-64-v${greatest - at}`);
  const others = features
    .map(parseFeature)
    .filter((feature) => feature !== undefined && KINDS.has(feature.kind))
    .map((feature) => `${feature?.kind}${feature?.value}`);
  return [...new Set([...cpu.compatible, ...levels, ...others])];
}

/**
 * `Feature=` of a NodeName line of slurm.conf, for `sbatch --constraint=zen3`. Characters that `--constraint` reads as operators are
 * left out.
 * @see https://slurm.schedmd.com/slurm.conf.html#OPT_Features
 */
export function renderSlurm(profile: HostProfile): string {
  const names = namesOf(profile).map((name) => name.replaceAll(/[^\w.-]/g, '_'));
  return `Feature=${names.join(',')}\n`;
}

/**
 * The `meta` block of a Nomad client, for constraints on `${meta.metahub_cpu}`.
 * @see https://developer.hashicorp.com/nomad/docs/configuration/client#meta
 */
export function renderNomad(profile: HostProfile): string {
  const best = new Map<string, string[]>();
  for (const text of profile.features) {
    const feature = parseFeature(text);
    if (feature === undefined) continue;
    best.set(feature.kind, [...(best.get(feature.kind) ?? []), feature.value]);
  }
  best.set('runs', [...profile.cpu.compatible]);
  const lines = [...best].map(([kind, values]) => {
    const name = `metahub_${kind.replaceAll(/\W/g, '_')}`;
    return `    ${name} = ${JSON.stringify([...new Set(values)].join(','))}\n`;
  });
  return `client {\n  meta {\n${lines.join('')}  }\n}\n`;
}
