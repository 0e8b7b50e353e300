import type { Feature } from '../../host/features.ts';
import { tableOf } from '../../lib/text.ts';
import { type HostView, MATCH, type MatchResult, mismatch } from '../host-view.ts';
import type { SelectionPolicy } from '../policy.ts';
import { closenessToAll, compareCloseness, type GpuCloseness } from './accelerator.ts';

/**
 * Generic code object targets, and the processors that run them. Source: LLVM, User Guide for AMDGPU Backend,
 * "Generic processors" (facts only; Apache-2.0 WITH LLVM-exception).
 * @see https://llvm.org/docs/AMDGPUUsage.html#amdgpu-generic-processor-table
 */
const GENERIC: ReadonlyMap<string, readonly string[]> = tableOf({
  'gfx9-generic': ['gfx900', 'gfx902', 'gfx904', 'gfx906', 'gfx909', 'gfx90c'],
  'gfx9-4-generic': ['gfx940', 'gfx941', 'gfx942', 'gfx950'],
  'gfx10-1-generic': ['gfx1010', 'gfx1011', 'gfx1012', 'gfx1013'],
  'gfx10-3-generic': ['gfx1030', 'gfx1031', 'gfx1032', 'gfx1033', 'gfx1034', 'gfx1035', 'gfx1036'],
  'gfx11-generic': ['gfx1100', 'gfx1101', 'gfx1102', 'gfx1103', 'gfx1150', 'gfx1151', 'gfx1152', 'gfx1153'],
  'gfx12-generic': ['gfx1200', 'gfx1201'],
});

/** The settings of a process, unless the operator or user changes them. */
const DEFAULT_SETTING = { xnack: '-', sramecc: '+' } as const;
type TargetFeature = keyof typeof DEFAULT_SETTING;

interface Target {
  readonly processor: string;
  /** `+` or `-`; absent for code that runs with either. */
  readonly settings: Readonly<Partial<Record<TargetFeature, string>>>;
}

/** Parses `gfx90a`, `gfx90a:sramecc+:xnack-`, with or without the prefix `amdgcn-amd-amdhsa--`. */
function parseTarget(text: string): Target {
  const [processor = '', ...rest] = text.replace(/^amdgcn-amd-amdhsa--/, '').split(':');
  const settings: Partial<Record<TargetFeature, string>> = {};
  for (const part of rest) {
    const name = part.slice(0, -1);
    if (name === 'xnack' || name === 'sramecc') settings[name] = part.slice(-1);
  }
  return { processor, settings };
}

function settingsFit(code: Target, gpu: Target): boolean {
  return (['xnack', 'sramecc'] as const).every((name) => {
    const wanted = code.settings[name];
    return wanted === undefined || wanted === (gpu.settings[name] ?? DEFAULT_SETTING[name]);
  });
}

function closenessOf(value: string, gpu: Target): GpuCloseness | undefined {
  const code = parseTarget(value);
  if (!settingsFit(code, gpu)) return undefined;
  const freedom = 2 - Object.keys(code.settings).length;
  if (code.processor === gpu.processor) return [1, freedom];
  return GENERIC.get(code.processor)?.includes(gpu.processor) ? [3, freedom] : undefined;
}

function best(wanted: readonly Feature[], gpu: Target): GpuCloseness | undefined {
  const found = wanted.map(({ value }) => closenessOf(value, gpu)).filter((one) => one !== undefined);
  return found.sort(compareCloseness)[0];
}

/** How close the alternatives come to this host's GPUs; undefined when they do not run. */
export function amdCloseness(
  wanted: readonly Feature[],
  host: HostView,
  policy: SelectionPolicy,
): GpuCloseness | undefined {
  return closenessToAll(
    host.amd.map((gpu) => best(wanted, parseTarget(gpu))),
    policy,
  );
}

/**
 * Judges an AMD target: the processor itself, or a generic target that covers it, with `xnack` and `sramecc` on,
 * off or unspecified.
 * @see https://llvm.org/docs/AMDGPUUsage.html#target-id
 */
export function judgeAmd(wanted: readonly Feature[], host: HostView, policy: SelectionPolicy): MatchResult {
  if (host.amd.length === 0) return mismatch('this host has no AMD GPU');
  if (amdCloseness(wanted, host, policy) !== undefined) return MATCH;
  return mismatch(`this host's GPU is ${[...new Set(host.amd)].join(' and ')}`);
}
