import type { Feature } from '../host/features.ts';
import { tableOf } from '../lib/text.ts';
import { inRange, parseVersion, parseVersionRange } from '../lib/version.ts';
import { judgeCompatibility } from './compatibility.ts';
import { COMPATIBILITY, type Demand, REQUIRE_EXPRESSION, UNREADABLE } from './demands.ts';
import { type HostView, MATCH, type MatchResult, mismatch } from './host-view.ts';
import { judgeAccelerator, judgeGpu } from './matchers/accelerator.ts';
import { judgeAmd } from './matchers/amd.ts';
import { judgeCpu, judgeFlag, judgeLevel, judgeVariant } from './matchers/cpu.ts';
import { judgeExpression, judgeNvidia } from './matchers/nvidia.ts';
import type { SelectionPolicy } from './policy.ts';

type Predicate = (wanted: readonly Feature[], host: HostView, policy: SelectionPolicy) => MatchResult;

/** The function that judges each kind of feature. Any other kind is judged by {@link judgeEquality}. */
const PREDICATES = tableOf<Predicate>({
  cpu: anyValue((value, host, policy) => judgeCpu(value, host, policy)),
  level: anyValue(judgeLevel),
  variant: anyValue(judgeVariant),
  cpuflag: anyValue(judgeFlag),
  cpuvendor: anyValue(judgeVendor),
  nvcap: judgeNvidia,
  nvptx: judgeNvidia,
  gfx: judgeAmd,
  gpu: anyValue(judgeGpu),
  accel: judgeAccelerator,
  nvdriver: anyValue(versionOf('nvdriver')),
  cuda: anyValue(versionOf('cuda')),
  kernel: anyValue(versionOf('kernel')),
  glibc: anyValue(versionOf('glibc')),
  [REQUIRE_EXPRESSION]: anyValue(judgeExpression),
  [COMPATIBILITY]: anyValue(judgeCompatibility),
  [UNREADABLE]: () => mismatch('it is not a feature that can be read'),
});

/** True when values of this kind are compared with the host's features by equality. */
export function isComparedByEquality(kind: string): boolean {
  return !PREDICATES.has(kind);
}

/** Judges one demand on a host. */
export function matchDemand({ anyOf }: Demand, host: HostView, policy: SelectionPolicy): MatchResult {
  const kind = anyOf[0]?.kind ?? UNREADABLE;
  return (PREDICATES.get(kind) ?? judgeEquality)(anyOf, host, policy);
}

/** Holds when one of the values holds. Otherwise the reason is that of the last value. */
function anyValue(
  judgeOne: (value: string, host: HostView, policy: SelectionPolicy) => MatchResult,
): Predicate {
  return (wanted, host, policy) => {
    let answer = mismatch('nothing is named');
    for (const { value } of wanted) {
      answer = judgeOne(value, host, policy);
      if (answer.holds) return answer;
    }
    return answer;
  };
}

/** Judges a version: the host has at least this one, or one in this range. */
function versionOf(kind: string) {
  return (wanted: string, host: HostView): MatchResult => {
    const range = parseVersionRange(wanted);
    if (range === undefined) return mismatch(`${wanted} is neither a version nor a range`);
    const actual = host.claims.get(kind) ?? [];
    if (actual.length === 0) return mismatch(`this host has no ${kind}`);
    const versions = actual.map(parseVersion).filter((version) => version !== undefined);
    return versions.some((version) => inRange(range, version))
      ? MATCH
      : mismatch(`this host has ${actual.join(' and ')}`);
  };
}

const VENDOR_ALIAS = tableOf({ intel: 'genuineintel', amd: 'authenticamd' });

function judgeVendor(wanted: string, host: HostView): MatchResult {
  const canonical = (name: string) => VENDOR_ALIAS.get(name.toLowerCase()) ?? name.toLowerCase();
  const own = [host.profile.cpu.vendor, ...(host.claims.get('cpuvendor') ?? [])];
  return own.some((name) => canonical(name) === canonical(wanted))
    ? MATCH
    : mismatch(`this CPU is by ${own[0]}`);
}

/** A kind without a judge fails closed: the host must have exactly this value. */
function judgeEquality(wanted: readonly Feature[], host: HostView): MatchResult {
  const kind = wanted[0]?.kind ?? UNREADABLE;
  const claimed = host.claims.get(kind);
  if (claimed === undefined) return mismatch(`this host claims no ${kind}`);
  if (wanted.some(({ value }) => claimed.includes(value))) return MATCH;
  return mismatch(`this host has ${claimed.map((value) => `${kind}:${value}`).join(' and ')}`);
}
