import type { BaselineRule } from '../../catalog/entry.ts';
import { readTagPatterns } from '../../oci/image-list.ts';
import type { Repository, Tag } from '../../oci/reference.ts';
import { matchTag, type TagPattern } from '../../oci/tag-pattern.ts';
import { parsePolicy } from '../../selection/parse-policy.ts';
import { DEFAULT_POLICY, type SelectionPolicy } from '../../selection/policy.ts';
import { createRepositoryPatterns, type RepositoryPatterns } from '../../site/permissions.ts';
import { UserError } from '../user-error.ts';

/** How entries are chosen, by repository and tag. */
export type PolicyFor = (repository: Repository, tag?: Tag) => SelectionPolicy;

export interface PolicySettings {
  readonly policy: unknown;
  readonly repositories: unknown;
  readonly match: SelectionPolicy['match'];
  readonly answer: SelectionPolicy['answer'];
  readonly onNoMatch: SelectionPolicy['onNoMatch'];
}

/** Something that holds for some tags of some repositories. */
interface Rule<Value> {
  readonly fits: (repository: Repository, tag: Tag | undefined) => boolean;
  readonly value: Value;
}

function refused(where: string, cause: unknown): UserError {
  return new UserError(`${where}: ${(cause as Error).message}`, {
    cause,
    nextStep: 'Mend it in the configuration file; metahub config show --origin says which that is.',
    exitStatus: 2,
  });
}

function patternOf(text: string): RepositoryPatterns {
  try {
    return createRepositoryPatterns([text]);
  } catch (cause) {
    throw new UserError(`repositories: “${text.slice(0, 100)}” is no pattern`, {
      cause,
      nextStep: 'Patterns are like ghcr.io/lab/*, qnib/** (of Docker Hub) or *.',
      exitStatus: 2,
    });
  }
}

function ruleOf<Value>(pattern: string, tags: readonly TagPattern[] | undefined, value: Value): Rule<Value> {
  const { matches } = patternOf(pattern);
  return {
    fits: (repository, tag) =>
      matches(repository) && (tags === undefined || (tag !== undefined && matchTag(tags, tag) !== undefined)),
    value,
  };
}

/** `tags` of a policy, which say which tags it is for, and the policy itself. */
function splitTags(value: unknown): {
  readonly tags: readonly TagPattern[] | undefined;
  readonly policy: unknown;
} {
  if (typeof value !== 'object' || value === null || !('tags' in value))
    return { tags: undefined, policy: value };
  const { tags, ...policy } = value;
  const texts: unknown = typeof tags === 'string' ? [tags] : tags;
  if (!Array.isArray(texts) || !texts.every((text) => typeof text === 'string'))
    throw new Error('tags must be patterns of tags');
  return { tags: readTagPatterns(texts), policy };
}

function readRule(pattern: string, value: unknown, base: SelectionPolicy): Rule<SelectionPolicy> {
  try {
    const { tags, policy } = splitTags(value);
    return ruleOf(pattern, tags, parsePolicy(policy, base));
  } catch (cause) {
    throw refused(`repositories, ${pattern}`, cause);
  }
}

function readBase(policy: unknown, base: SelectionPolicy): SelectionPolicy {
  try {
    return parsePolicy(policy, base);
  } catch (cause) {
    throw refused('policy', cause);
  }
}

/** The catalogue's word where the operator says nothing of a baseline; the same object for the same two. */
function withBaselines(policyFor: PolicyFor, baselines: readonly BaselineRule[]): PolicyFor {
  if (baselines.length === 0) return policyFor;
  const rules = baselines.map(({ pattern, tags, baseline }) => ruleOf(pattern, tags, baseline));
  const made = new Map<SelectionPolicy, Map<Rule<readonly string[]>, SelectionPolicy>>();
  return (repository, tag) => {
    const policy = policyFor(repository, tag);
    if (policy.baseline !== undefined) return policy;
    const rule = rules.find(({ fits }) => fits(repository, tag));
    if (rule === undefined) return policy;
    const ofPolicy = made.get(policy) ?? new Map<Rule<readonly string[]>, SelectionPolicy>();
    const known = ofPolicy.get(rule) ?? Object.freeze({ ...policy, baseline: rule.value });
    made.set(policy, ofPolicy.set(rule, known));
    return known;
  };
}

/**
 * The policies that the settings describe: `policy` for all, refined by the first pattern of `repositories` that a
 * repository fits (`ghcr.io/lab/**`, `qnib/*` on Docker Hub), of several policies of a pattern the first whose `tags` match. Where
 * they name no baseline, the catalogue does.
 * @throws {UserError} status 2
 */
export function readPolicies(settings: PolicySettings, baselines: readonly BaselineRule[] = []): PolicyFor {
  const { match, answer, onNoMatch, repositories } = settings;
  const base = readBase(settings.policy, { ...DEFAULT_POLICY, match, answer, onNoMatch });
  if (typeof repositories !== 'object' || repositories === null || Array.isArray(repositories)) {
    throw new UserError('repositories: patterns and policies are expected', { exitStatus: 2 });
  }
  const rules = Object.entries(repositories).flatMap(([pattern, value]) =>
    (Array.isArray(value) ? value : [value]).map((one) => readRule(pattern, one, base)),
  );
  return withBaselines(
    (repository, tag) => rules.find(({ fits }) => fits(repository, tag))?.value ?? base,
    baselines,
  );
}
