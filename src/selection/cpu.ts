import { canonicalName, familyOf, flagsOf, vendorOf } from '../host/microarchitecture.ts';
import type { HostView } from './host-view.ts';
import { fails, HOLDS, type Judgement } from './judgement.ts';
import { judgeLevel } from './level.ts';
import type { SelectionPolicy } from './policy.ts';
import { tableOf } from './table.ts';

/** Levels that the family tree has as nodes, so that `cpu:x86_64_v3` is judged as the level that it is. */
const LEVEL_OF_NODE = tableOf({
  x86_64: 'x86-64-v1',
  x86_64_v2: 'x86-64-v2',
  x86_64_v3: 'x86-64-v3',
  x86_64_v4: 'x86-64-v4',
});

const SHOWN_FLAGS = 4;

/** How code for a microarchitecture runs here: as its own kind's, as another vendor's by the flags alone, or not. */
export type CpuFit = 'native' | 'foreign' | 'none';

/** `name` is canonical. */
export function fitOf(name: string, host: HostView, policy: SelectionPolicy): CpuFit {
  if (host.runs.has(name)) return 'native';
  const level = LEVEL_OF_NODE.get(name);
  if (level !== undefined) return judgeLevel(level, host).holds ? 'native' : 'none';
  return policy.allowForeignVendor && runsByFlags(name, host) ? 'foreign' : 'none';
}

function missingFlags(name: string, host: HostView): readonly string[] {
  return [...(flagsOf(name) ?? [])].filter((flag) => !host.flags.has(flag));
}

function runsByFlags(name: string, host: HostView): boolean {
  return host.runs.has(familyOf(name)) && missingFlags(name, host).length === 0;
}

/** `cpu:X`: X is the host's microarchitecture or an ancestor of it, in any spelling that authors use. */
export function judgeCpu(written: string, host: HostView, policy: SelectionPolicy): Judgement {
  const name = canonicalName(written);
  if (name === undefined) return fails(`${written} is no microarchitecture that is known`);
  return fitOf(name, host, policy) === 'none' ? fails(whyNot(name, host)) : HOLDS;
}

function whyNot(name: string, host: HostView): string {
  const { microarchitecture, vendor } = host.profile.cpu;
  const family = familyOf(name);
  if (!host.runs.has(family)) return `it is ${family} code, this host is ${microarchitecture}`;
  const missing = missingFlags(name, host);
  if (missing.length > 0) {
    const more = missing.length > SHOWN_FLAGS ? ` and ${missing.length - SHOWN_FLAGS} more` : '';
    return `this host is ${microarchitecture} and lacks ${missing.slice(0, SHOWN_FLAGS).join(', ')}${more}`;
  }
  const maker = vendorOf(name);
  if (maker !== 'generic' && maker !== vendor) {
    return `this host is ${microarchitecture}, of another vendor (allowForeignVendor would take it by its flags)`;
  }
  return `this host is ${microarchitecture}, which does not descend from it`;
}

/** A bare flag: on every core. */
export function judgeFlag(flag: string, host: HostView): Judgement {
  return host.flags.has(flag) ? HOLDS : fails('this CPU lacks it');
}
