import * as v from 'valibot';
import type { BaselineRule } from '../../catalog/entry.ts';
import { fields, mapOf, oneOrMore } from '../../lib/schema.ts';
import { TagPatternText } from '../../oci/image-list.ts';
import { createRepositoryPatterns, matchTag, RepositoryPattern, type TagPattern } from '../../oci/pattern.ts';
import type { Repository, Tag } from '../../oci/reference.ts';
import { DEFAULT_POLICY, type SelectionPolicy } from '../../selection/policy.ts';
import {
  POLICY_ENTRIES,
  type PolicyChanges,
  toPolicyChanges,
  withChanges,
} from '../../selection/policy-schema.ts';

/** The selection policy of a repository and tag. */
export type PolicyFor = (repository: Repository, tag?: Tag) => SelectionPolicy;

/** A policy for a pattern of repositories, and for all their tags or some of them. */
export interface RepositoryPolicy {
  /** Undefined: it applies to every tag. */
  readonly tags: readonly TagPattern[] | undefined;
  readonly policy: PolicyChanges;
}

/** Policies by pattern, the strongest first. */
export type RepositoryPolicies = ReadonlyMap<string, readonly RepositoryPolicy[]>;

export interface PolicySettings {
  readonly policy: PolicyChanges;
  readonly repositories: RepositoryPolicies;
  readonly match: SelectionPolicy['match'];
  readonly answer: SelectionPolicy['answer'];
  readonly onNoMatch: SelectionPolicy['onNoMatch'];
}

const PolicyOfTags = v.nullable(
  v.pipe(
    fields({ ...POLICY_ENTRIES, tags: v.optional(oneOrMore(TagPatternText)) }),
    v.transform(({ tags, ...written }): RepositoryPolicy => ({ tags, policy: toPolicyChanges(written) })),
  ),
  {},
);

/** `repositories`: each pattern with one policy, or with several by tags. */
export const RepositoryPolicyMap = mapOf(RepositoryPattern, oneOrMore(PolicyOfTags));

/** Returns the policies in the form of a configuration file. */
export function writtenPolicies(policies: RepositoryPolicies): unknown {
  const written = [...policies].map(([pattern, rules]) => {
    const each = rules.map(({ tags, policy }) =>
      tags === undefined ? policy : { tags: tags.map(({ text }) => text), ...policy },
    );
    return [pattern, each.length === 1 ? each[0] : each] as const;
  });
  return Object.fromEntries(written);
}

/** A value for certain tags of certain repositories. */
interface Rule<Value> {
  readonly fits: (repository: Repository, tag: Tag | undefined) => boolean;
  readonly value: Value;
}

function ruleOf<Value>(pattern: string, tags: readonly TagPattern[] | undefined, value: Value): Rule<Value> {
  const { matches } = createRepositoryPatterns([pattern]);
  return {
    fits: (repository, tag) =>
      matches(repository) && (tags === undefined || (tag !== undefined && matchTag(tags, tag) !== undefined)),
    value,
  };
}

/**
 * Adds the baseline of the catalogue to a policy without one. Returns the same object for the same policy and
 * baseline.
 */
function withBaselines(policyFor: PolicyFor, baselines: readonly BaselineRule[]): PolicyFor {
  // Compiled when first needed, because that takes longer than reading them.
  let rules: readonly Rule<readonly string[]>[] | undefined;
  const made = new Map<SelectionPolicy, Map<Rule<readonly string[]>, SelectionPolicy>>();
  return (repository, tag) => {
    const policy = policyFor(repository, tag);
    if (policy.baseline !== undefined) return policy;
    rules ??= baselines.map(({ pattern, tags, baseline: needed }) => ruleOf(pattern, tags, needed));
    const rule = rules.find(({ fits }) => fits(repository, tag));
    if (rule === undefined) return policy;
    const ofPolicy = made.get(policy) ?? new Map<Rule<readonly string[]>, SelectionPolicy>();
    const known = ofPolicy.get(rule) ?? Object.freeze({ ...policy, baseline: rule.value });
    made.set(policy, ofPolicy.set(rule, known));
    return known;
  };
}

/**
 * Creates the policies of the settings: `policy` applies to all repositories. The first pattern of
 * `repositories` that a repository matches (`ghcr.io/lab/**`, `qnib/*` on Docker Hub) refines it; when the
 * pattern has several policies, the first whose `tags` match. The baseline of the catalogue applies when
 * these policies have none.
 */
export function createPolicies(settings: PolicySettings, baselines: readonly BaselineRule[] = []): PolicyFor {
  const { match, answer, onNoMatch, policy, repositories } = settings;
  const base = withChanges({ ...DEFAULT_POLICY, match, answer, onNoMatch }, policy);
  const rules = [...repositories].flatMap(([pattern, policies]) =>
    policies.map(({ tags, policy: changes }) => ruleOf(pattern, tags, withChanges(base, changes))),
  );
  return withBaselines(
    (repository, tag) => rules.find(({ fits }) => fits(repository, tag))?.value ?? base,
    baselines,
  );
}
