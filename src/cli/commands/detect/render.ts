import type { GpuFacts } from '../../../host/facts.ts';
import { valuesOf } from '../../../host/features.ts';
import type { GpuProfile, HostProfile } from '../../../host/profile.ts';
import { counted, gibText, wrap } from '../../../lib/text.ts';
import { formatPlatform } from '../../../oci/manifest.ts';
import type { DetectedHost } from '../../detect-host.ts';
import { documentText } from '../../output.ts';
import type { InventoryRows } from './inventory.ts';

/**
 * Formats the profile, with the facts that it was derived from. `parseProfile` reads it.
 */
export async function renderJson(host: DetectedHost, human?: InventoryRows): Promise<string> {
  const { allFlags } = await import('../../../host/compiler-flags.ts');
  const { facts, detected, profile } = host;
  const { vendor: _vendor, flags: _flags, ...evidence } = facts.cpu;
  // An assumed device has neither slots nor model numbers.
  const asDetected = profile.gpus === detected.gpus;
  return documentText<'profile'>({
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
  });
}

/** Returns the address of a GPU, and the ID that identified it. */
function placeOf({ pciId, pciAddress, mig }: Partial<GpuFacts> = {}): Partial<GpuFacts> {
  return {
    ...(pciId === undefined ? {} : { pciId }),
    ...(pciAddress === undefined ? {} : { pciAddress }),
    ...(mig === undefined ? {} : { mig }),
  };
}

export interface TableOptions {
  /** Width of the terminal, in columns. */
  readonly width: number;
  readonly colour: boolean;
  readonly human?: InventoryRows | undefined;
}

/** A label and its lines. Each item of `lines` begins on its own line and is wrapped at spaces. */
interface Row {
  readonly label: string;
  readonly lines: readonly string[];
  readonly paint?: Paint;
}

type Paint = 'strong' | 'warning' | 'plain';

const SGR: Readonly<Record<'label' | 'strong' | 'warning', string>> = {
  label: '2',
  strong: '1;32',
  warning: '33',
};
const LABEL_WIDTH = 10;

/** Formats the host for people: labels on the left, and no line wider than the terminal. */
export function renderTable(host: DetectedHost, { width, colour, human }: TableOptions): string {
  const paint = (text: string, as: keyof typeof SGR) => (colour ? `\x1b[${SGR[as]}m${text}\x1b[0m` : text);
  const rows: readonly Row[] = [...hostRows(host), ...(human ?? []), ...featureRows(host)];
  return rows
    .filter(({ lines }) => lines.length > 0)
    .map(({ label, lines, paint: as = 'plain' }) =>
      lines
        .flatMap((line) => wrap(line, width - LABEL_WIDTH))
        .map((line, at) => {
          const left = paint((at === 0 ? label : '').padEnd(LABEL_WIDTH), 'label');
          return `${left}${as === 'plain' ? line : paint(line, as)}\n`;
        })
        .join(''),
    )
    .join('');
}

function hostRows(host: DetectedHost): readonly Row[] {
  const { facts, detected, profile } = host;
  const { platform, cpu } = profile;
  const level = claimed(profile, 'level');
  return [
    { label: 'CPU', lines: [cpu.microarchitecture], paint: 'strong' },
    {
      label: '',
      lines: present([
        cpu === detected.cpu ? facts.cpu.modelName : undefined,
        about([cpu.vendor, level, cpu.flags.length === 0 ? undefined : flagCount(cpu.flags.length)]),
      ]),
    },
    {
      label: 'runs',
      lines: [cpu.compatible.filter((name) => name !== cpu.microarchitecture).join(' ') || 'nothing else'],
    },
    { label: 'platform', lines: [formatPlatform(platform)] },
    ...gpuRows(host),
    { label: 'fabric', lines: present([facts.system.fabrics?.join(', ')]) },
    { label: 'system', lines: systemLines(host) },
  ];
}

function gpuRows({ profile }: DetectedHost): readonly Row[] {
  const cards = counted(profile.gpus.map(gpuText));
  const [driver, cuda] = ['nvdriver', 'cuda'].map((kind) => claimed(profile, kind));
  const runs = cuda === undefined ? undefined : `CUDA up to ${cuda}`;
  const line = driver === undefined ? undefined : about([`driver ${driver}`, runs]);
  return [{ label: 'GPU', lines: cards.length === 0 ? ['none found'] : [...cards, ...present([line])] }];
}

function gpuText({ vendor, name, computeCapability, gfxTarget }: GpuProfile): string {
  const what = computeCapability === undefined ? gfxTarget : `compute capability ${computeCapability}`;
  const isNamedSo = name === `AMD ${gfxTarget}`;
  return about([name ?? gpuOf(vendor, what === undefined), isNamedSo ? undefined : what]);
}

const VENDORS: Readonly<Record<string, string>> = { nvidia: 'NVIDIA', amd: 'AMD' };

/** Names a GPU without a model name: assumed, or not in the tables. */
function gpuOf(vendor: string, isUnknown: boolean): string {
  return `${VENDORS[vendor] ?? vendor}${isUnknown ? ', unknown model' : ''}`;
}

function systemLines({ facts: { system } }: DetectedHost): readonly string[] {
  const { kernel, glibc, osId, osVersion, smt, numaNodes, memoryBytes, hugepages, instanceType } = system;
  const distribution = osId === undefined ? undefined : [osId, osVersion].filter(Boolean).join(' ');
  const pages = hugepages === undefined || hugepages.length === 0 ? undefined : hugepages.join(' and ');
  return present([
    about([distribution, kernel && `kernel ${kernel}`, glibc && `glibc ${glibc}`]),
    about([
      memoryBytes === undefined ? undefined : `${gibText(memoryBytes)} of memory`,
      numaNodes === undefined ? undefined : `${numaNodes} NUMA node${numaNodes === 1 ? '' : 's'}`,
      smt === undefined ? undefined : `SMT ${smt ? 'on' : 'off'}`,
      pages === undefined ? undefined : `hugepages of ${pages}`,
    ]),
    instanceType === undefined ? undefined : `instance type ${instanceType}`,
  ]);
}

function featureRows({ detected, profile }: DetectedHost): readonly Row[] {
  const assumed = profile.features.filter((feature) => !detected.features.includes(feature));
  return [
    { label: 'features', lines: [profile.features.join(' ')] },
    { label: 'assumed', lines: present([assumed.join(' ')]) },
    ...profile.warnings.map((warning): Row => ({ label: 'warning', lines: [warning], paint: 'warning' })),
  ];
}

function claimed({ features }: HostProfile, kind: string): string | undefined {
  return valuesOf(features, kind)[0];
}

function flagCount(count: number): string {
  return `${count} flag${count === 1 ? '' : 's'}`;
}

function about(parts: readonly (string | undefined)[]): string {
  return present(parts).join(', ');
}

function present(texts: readonly (string | undefined)[]): readonly string[] {
  return texts.filter((text) => text !== undefined && text !== '') as readonly string[];
}
