import { type NfdFeature, type NfdFeatures, nfdFeatures } from '../host/nfd-features.ts';
import type { HostProfile } from '../host/profile.ts';
import { compareVersions, parseVersion } from '../lib/version.ts';
import { type HostView, MATCH, type MatchResult, mismatch } from './host-view.ts';

/** An expression about one element of a feature: `{op: In, value: [Intel]}`. */
export interface Expression {
  readonly op: string;
  readonly value: readonly string[];
  /** `version`: compare as versions. Default: as integers. */
  readonly type?: string | undefined;
}

/** All expressions must hold on the same instance of the feature. */
export interface FeatureTerm {
  readonly feature: string;
  readonly expressions: readonly (readonly [name: string, Expression])[];
  readonly name?: Expression | undefined;
}

/** All of `matchFeatures` must hold, and one list of `matchAny`. */
export interface CompatibilityRule {
  readonly name: string;
  readonly matchFeatures: readonly FeatureTerm[];
  readonly matchAny: readonly (readonly FeatureTerm[])[];
}

/** The content of a compatibility artifact of node-feature-discovery: sets of rules, of which one must hold. */
export type CompatibilitySets = readonly (readonly CompatibilityRule[])[];

const known = new WeakMap<HostProfile, NfdFeatures>();

function featuresOf(profile: HostProfile): NfdFeatures {
  const features = known.get(profile) ?? nfdFeatures(profile);
  known.set(profile, features);
  return features;
}

/**
 * Judges the sets of an artifact (as JSON) like node-feature-discovery on the node itself. What is unknown about
 * this host counts as false.
 * @see https://kubernetes-sigs.github.io/node-feature-discovery/stable/usage/image-compatibility.html
 */
export function judgeCompatibility(json: string, { profile }: HostView): MatchResult {
  const features = featuresOf(profile);
  const sets = JSON.parse(json) as CompatibilitySets;
  let answer = mismatch('it lists no set of rules');
  for (const rules of sets) {
    const failed = rules.map((rule) => judgeRule(rule, features)).find(({ holds }) => !holds);
    if (failed === undefined) return MATCH;
    answer = failed;
  }
  return answer;
}

function judgeRule({ name, matchFeatures, matchAny }: CompatibilityRule, features: NfdFeatures): MatchResult {
  const inRule = (why: string) => mismatch(`rule “${name}”: ${why}`);
  const all = firstFailure(matchFeatures, features);
  if (all !== undefined) return inRule(all);
  if (matchAny.length === 0) return MATCH;
  const failures = matchAny.map((terms) => firstFailure(terms, features));
  return failures.includes(undefined) ? MATCH : inRule(failures[0] ?? '');
}

function firstFailure(terms: readonly FeatureTerm[], features: NfdFeatures): string | undefined {
  for (const term of terms) {
    const why = judgeTerm(term, features.get(term.feature.toLowerCase()));
    if (why !== undefined) return `${term.feature}: ${why}`;
  }
  return undefined;
}

/** Why a term does not hold. Undefined when it holds on one of the instances. */
function judgeTerm(
  { expressions, name }: FeatureTerm,
  instances: readonly NfdFeature[] | undefined,
): string | undefined {
  if (instances === undefined) return 'this host does not report it';
  let why: string | undefined = 'this host has none';
  for (const feature of instances) {
    const failed = expressions.find(([element, one]) => !holds(one, feature, element));
    const isNamed = name === undefined || feature.names.some((element) => matches(name, element));
    why = failed === undefined ? (isNamed ? undefined : 'no name matches') : formatFailure(failed, feature);
    if (why === undefined) return undefined;
  }
  return why;
}

function formatFailure([element, { op, value }]: readonly [string, Expression], feature: NfdFeature): string {
  const has = feature.valueOf(element);
  const wanted = [element, op, value.join(',')].filter((part) => part !== '').join(' ');
  if (has === undefined) return `${wanted}: this host does not report it`;
  return feature.isFlags ? wanted : `${wanted}: this host has ${has}`;
}

function holds(expression: Expression, feature: NfdFeature, element: string): boolean {
  const value = feature.valueOf(element);
  if (value === undefined) return false;
  switch (expression.op) {
    case '':
      return true;
    case 'Exists':
      return value !== null;
    case 'DoesNotExist':
      return value === null;
    default:
      return value !== null && !feature.isFlags && matches(expression, value);
  }
}

/** Evaluates an operator on a value. An unknown operator never holds. */
function matches({ op, value: wanted, type }: Expression, value: string): boolean {
  const [low = '', high = ''] = wanted;
  const order = (other: string) => compare(value, other, type);
  switch (op) {
    case '':
    case 'Exists':
      return true;
    case 'In':
      return wanted.includes(value);
    case 'NotIn':
      return wanted.length > 0 && !wanted.includes(value);
    case 'InRegexp':
      return matchesPattern(wanted, value);
    case 'Gt':
      return order(low) > 0;
    case 'Ge':
      return order(low) >= 0;
    case 'Lt':
      return order(low) < 0;
    case 'Le':
      return order(low) <= 0;
    case 'GtLt':
      return order(low) > 0 && order(high) < 0;
    case 'GeLe':
      return order(low) >= 0 && order(high) <= 0;
    case 'IsTrue':
      return value === 'true';
    case 'IsFalse':
      return value === 'false';
    default:
      return false;
  }
}

/** Compares integers, or versions if the type says so. NaN when one of them is invalid: then no comparison holds. */
function compare(value: string, other: string, type: string | undefined): number {
  if (type === 'version') {
    const [a, b] = [plainVersion(value), plainVersion(other)];
    return a === undefined || b === undefined ? Number.NaN : compareVersions(a, b);
  }
  if (type !== undefined || !/^-?\d+$/.test(value) || !/^-?\d+$/.test(other)) return Number.NaN;
  return Number(value) - Number(other);
}

/** Only plain versions are compared: `6.8.0-49-generic` has an order beyond its numbers. */
function plainVersion(text: string) {
  const [, numbers] = /^v?(\d+(?:\.\d+){0,2})$/.exec(text) ?? [];
  return numbers === undefined ? undefined : parseVersion(numbers);
}

/** True when all patterns can be evaluated, and one of them matches. */
function matchesPattern(patterns: readonly string[], value: string): boolean {
  if (!patterns.every(isSimplePattern)) return false;
  try {
    return patterns.map((pattern) => new RegExp(pattern)).some((pattern) => pattern.test(value));
  } catch {
    // A range that runs backwards: `[z-a]`.
    return false;
  }
}

const PATTERN_MAX_CHARACTERS = 100;

/**
 * True when a regular expression is safe to evaluate. It comes from the author of an artifact, so expressions that
 * could run long (with groups or many repetitions) are not evaluated.
 */
function isSimplePattern(pattern: string): boolean {
  if (pattern.length > PATTERN_MAX_CHARACTERS) return false;
  const body = pattern.replace(/^\^/, '').replace(/\$$/, '');
  const isPlain = /^(?:(?:[\w :,;=@/-]|\\[.+*?^$|(){}[\]\\d]|\.|\[[\w .-]+\])[*+?]?)*$/.test(body);
  return isPlain && body.split(/(?<!\\)[*+?]/).length <= 4;
}
