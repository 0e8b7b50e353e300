import { unknownKey } from '../lib/object-reader.ts';
import { parseBaseline } from './baseline.ts';
import { problemWithFeature } from './check-feature.ts';
import { DEFAULT_POLICY, type SelectionPolicy } from './policy.ts';

const CHOICES = {
  match: ['best', 'exact'],
  gpu: ['all', 'any'],
  answer: ['auto', 'index', 'manifest'],
  onNoMatch: ['refuse', 'upstream'],
  foreignDerived: ['deliver', 'refuse'],
} as const satisfies Partial<Record<keyof SelectionPolicy, readonly string[]>>;

const KNOWN = [
  ...Object.keys(CHOICES),
  'allowForeignVendor',
  'priority',
  'pin',
  'baseline',
  'readConfig',
  'denyAnnotations',
  'readCompatibility',
];

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

/** An empty list takes back what the policy for all repositories denies. */
function readPrefixes(value: unknown): readonly string[] {
  const prefixes = typeof value === 'string' ? [value] : value;
  if (!Array.isArray(prefixes)) throw new Error('denyAnnotations must be a list of prefixes of annotations');
  return prefixes.map((prefix) => readText('denyAnnotations', prefix));
}

function readPin(value: unknown): string {
  const written = readText('pin', value);
  if (/^sha(256|512):/.test(written)) return written;
  const problem = problemWithFeature(written);
  if (problem !== undefined) throw new Error(`pin must be a digest or a feature: ${problem}`);
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
    if (!KNOWN.includes(key)) throw new Error(`a policy: ${unknownKey(written, KNOWN)}`);
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
  const { allowForeignVendor, priority, pin, baseline, readConfig, readCompatibility, denyAnnotations } =
    read;
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
    denyAnnotations: denyAnnotations === undefined ? base.denyAnnotations : readPrefixes(denyAnnotations),
    readConfig: readConfig === undefined ? base.readConfig : readBoolean('readConfig', readConfig),
    readCompatibility:
      readCompatibility === undefined
        ? base.readCompatibility
        : readBoolean('readCompatibility', readCompatibility),
  });
}
