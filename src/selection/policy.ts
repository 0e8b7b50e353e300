import { parseBaseline } from './baseline.ts';
import { readFeature, UNREADABLE } from './demands.ts';

/** What an operator decides, for all repositories or for one. */
export interface SelectionPolicy {
  /** `exact`: the features of entry and host are equal sets, as in 2019. */
  readonly match: 'best' | 'exact';
  /** With several GPUs: an entry must run on all of them, or on any. */
  readonly gpu: 'all' | 'any';
  /** `auto`: by what the client accepts; `manifest`: the winner's own manifest; `index`: always an index. */
  readonly answer: 'auto' | 'index' | 'manifest';
  /** When no entry for the host's platform is eligible: leave them out, or serve the original. */
  readonly onNoMatch: 'refuse' | 'upstream';
  /** What another kind of host was given, asked for by its digest: deliver it as pinned, or refuse it. */
  readonly foreignDerived: 'deliver' | 'refuse';
  /** Code for another vendor's CPU is eligible when every flag it needs is there; ranked below the levels. */
  readonly allowForeignVendor: boolean;
  /** Feature kinds or groups of kinds, most important first; what is not listed follows in the usual order. */
  readonly priority?: readonly string[] | undefined;
  /** A digest, or a feature that an entry demands: of the eligible, such an entry wins. */
  readonly pin?: string | undefined;
  /** What entries without any CPU demand need all the same: `x86-64-v3`; empty: nothing, whatever the catalogue says. */
  readonly baseline?: readonly string[] | undefined;
  /** Also heed `NVIDIA_REQUIRE_*` in the configuration of each entry's image: two more requests for each, once. */
  readonly readConfig?: boolean | undefined;
}

export const DEFAULT_POLICY: SelectionPolicy = Object.freeze({
  match: 'best',
  gpu: 'all',
  answer: 'auto',
  onNoMatch: 'refuse',
  foreignDerived: 'deliver',
  allowForeignVendor: false,
});

const CHOICES = {
  match: ['best', 'exact'],
  gpu: ['all', 'any'],
  answer: ['auto', 'index', 'manifest'],
  onNoMatch: ['refuse', 'upstream'],
  foreignDerived: ['deliver', 'refuse'],
} as const satisfies Partial<Record<keyof SelectionPolicy, readonly string[]>>;

const KNOWN = [...Object.keys(CHOICES), 'allowForeignVendor', 'priority', 'pin', 'baseline', 'readConfig'];

/** `on-no-match` is `onNoMatch`. */
function camelCase(key: string): string {
  return key.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function readChoice<Choice extends string>(name: string, choices: readonly Choice[], value: unknown): Choice {
  const chosen = choices.find((choice) => choice === value);
  if (chosen === undefined) throw new Error(`${name} must be ${choices.join(' or ')}, not ${show(value)}`);
  return chosen;
}

function show(value: unknown): string {
  return JSON.stringify(value) ?? String(value);
}

function readText(name: string, value: unknown): string {
  if (typeof value !== 'string' || value.trim() === '')
    throw new Error(`${name} must be text, not ${show(value)}`);
  return value.trim();
}

function readPriority(value: unknown): readonly string[] {
  const names = typeof value === 'string' ? value.split(/[\s,>]+/) : value;
  if (!Array.isArray(names) || names.length === 0)
    throw new Error('priority must be a list of feature kinds');
  return names.map((name) => readText('priority', name));
}

function readPin(value: unknown): string {
  const written = readText('pin', value);
  if (!/^sha(256|512):/.test(written) && readFeature(written).kind === UNREADABLE) {
    throw new Error(`pin must be a digest or a feature such as cpu:skylake, not ${written}`);
  }
  return written;
}

function readBoolean(name: string, value: unknown): boolean {
  if (value === true || value === 'true') return true;
  if (value === false || value === 'false') return false;
  throw new Error(`${name} must be true or false, not ${show(value)}`);
}

/**
 * A policy from configuration, on top of `base`; keys in camel case or with dashes.
 * @throws {Error} that names the key and says what it may be.
 */
export function parsePolicy(value: unknown, base: SelectionPolicy = DEFAULT_POLICY): SelectionPolicy {
  if (value === undefined || value === null) return base;
  if (typeof value !== 'object' || Array.isArray(value))
    throw new Error('a policy is a map of keys to values');
  const read: Record<string, unknown> = {};
  for (const [written, entry] of Object.entries(value)) {
    const key = camelCase(written);
    if (!KNOWN.includes(key)) throw new Error(`a policy has no ${written}; known are ${KNOWN.join(', ')}`);
    read[key] = entry;
  }
  const choose = <Key extends keyof typeof CHOICES>(key: Key): SelectionPolicy[Key] =>
    read[key] === undefined
      ? base[key]
      : readChoice<NonNullable<SelectionPolicy[Key]>>(
          key,
          CHOICES[key] as unknown as readonly NonNullable<SelectionPolicy[Key]>[],
          read[key],
        );
  const { allowForeignVendor, priority, pin, baseline, readConfig } = read;
  return Object.freeze({
    match: choose('match'),
    gpu: choose('gpu'),
    answer: choose('answer'),
    onNoMatch: choose('onNoMatch'),
    foreignDerived: choose('foreignDerived'),
    allowForeignVendor:
      allowForeignVendor === undefined
        ? base.allowForeignVendor
        : readBoolean('allowForeignVendor', allowForeignVendor),
    priority: priority === undefined ? base.priority : readPriority(priority),
    pin: pin === undefined ? base.pin : readPin(pin),
    baseline: baseline === undefined ? base.baseline : parseBaseline(baseline),
    readConfig: readConfig === undefined ? base.readConfig : readBoolean('readConfig', readConfig),
  });
}
