import { greatestCuda } from './cuda.ts';
import type { HostFacts, SystemFacts } from './facts.ts';
import { formatFeature, parseFeature } from './feature.ts';
import { parseInstanceType } from './instance-type.ts';

/** The order in which features are listed; kinds of the operator's own follow as they were written. */
const KINDS_IN_ORDER: readonly string[] = [
  'cpu',
  'level',
  'cpuvendor',
  'cpuflag',
  'nvcap',
  'nvptx',
  'gfx',
  'nvdriver',
  'cuda',
  'fabric',
  'smt',
  'os',
  'kernel',
  'glibc',
  'instType',
  'instSize',
  'instHT',
];

/** What the CPU is comes from the CPU: a file that claims otherwise would send a host code that it cannot run. */
const MEASURED_KINDS: ReadonlySet<string> = new Set(['cpu', 'level', 'cpuvendor', 'cpuflag']);

/** The features of facts beside the microarchitecture and its level. */
export function hostFeatures({ os, cpu, gpus, system }: HostFacts): readonly string[] {
  return [
    ...(cpu.vendor === 'generic' ? [] : [`cpuvendor:${cpu.vendor.replaceAll(/\s+/g, '-')}`]),
    ...gpus.flatMap(({ computeCapability }) => feature('nvcap', computeCapability)).sort(newestFirst),
    ...gpus.flatMap(({ gfxTarget }) => feature('gfx', gfxTarget)),
    ...driverFeatures(system.nvidiaDriver),
    ...(system.fabrics ?? []).map((fabric) => `fabric:${fabric}`),
    ...feature('smt', onOff(system.smt)),
    `os:${os}`,
    ...feature('kernel', /^\d+(\.\d+){1,2}/.exec(system.kernel ?? '')?.[0]),
    ...feature('glibc', system.glibc),
    ...instanceFeatures(system),
  ];
}

/** `nvdriver:535.104.05` and the greatest `cuda:` that it runs. */
export function driverFeatures(driver: string | undefined): readonly string[] {
  if (driver === undefined) return [];
  return [`nvdriver:${driver}`, ...feature('cuda', greatestCuda(driver))];
}

function instanceFeatures({ instanceType, smt }: SystemFacts): readonly string[] {
  if (instanceType === undefined) return [];
  const { type, size } = parseInstanceType(instanceType);
  return [`instType:${type}`, ...feature('instSize', size), ...feature('instHT', onOff(smt))];
}

/** The operator's own feature lines, canonical; lines that are none, or claim what was measured, become warnings. */
export function claimedFeatures(lines: readonly string[]): {
  readonly features: readonly string[];
  readonly warnings: readonly string[];
} {
  const features: string[] = [];
  const warnings: string[] = [];
  for (const line of lines) {
    const claimed = parseFeature(line);
    if (claimed === undefined) {
      warnings.push(`the local feature ${JSON.stringify(line)} is not key=value: it is left out`);
    } else if (MEASURED_KINDS.has(claimed.kind)) {
      warnings.push(
        `the local feature ${line} is left out: what the CPU is was measured; --set overrides it`,
      );
    } else {
      features.push(formatFeature(claimed));
    }
  }
  return { features, warnings };
}

/** Each feature once, in the order of kinds; within a kind as given. */
export function uniqueFeatures(features: readonly string[]): readonly string[] {
  const ranked = [...new Set(features)].map((text) => {
    const at = KINDS_IN_ORDER.indexOf(parseFeature(text)?.kind ?? '');
    return { text, rank: at === -1 ? KINDS_IN_ORDER.length : at };
  });
  return ranked.sort((a, b) => a.rank - b.rank).map(({ text }) => text);
}

function feature(kind: string, value: string | undefined): readonly string[] {
  return value === undefined ? [] : [`${kind}:${value}`];
}

function onOff(value: boolean | undefined): string | undefined {
  return value === undefined ? undefined : value ? 'on' : 'off';
}

function newestFirst(a: string, b: string): number {
  return b.localeCompare(a, 'en', { numeric: true });
}
