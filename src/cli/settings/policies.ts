import type { Repository } from '../../oci/reference.ts';
import { DEFAULT_POLICY, parsePolicy, type SelectionPolicy } from '../../selection/policy.ts';
import { createRepositoryPatterns, type RepositoryPatterns } from '../../site/repository-patterns.ts';
import { UserError } from '../user-error.ts';

/** How entries are chosen, by repository. */
export type PolicyFor = (repository: Repository) => SelectionPolicy;

interface PolicySettings {
  readonly policy: unknown;
  readonly repositories: unknown;
  readonly match: SelectionPolicy['match'];
  readonly answer: SelectionPolicy['answer'];
  readonly onNoMatch: SelectionPolicy['onNoMatch'];
}

function read(value: unknown, base: SelectionPolicy, where: string): SelectionPolicy {
  try {
    return parsePolicy(value, base);
  } catch (cause) {
    throw new UserError(`${where}: ${(cause as Error).message}`, {
      cause,
      nextStep: 'Mend it in the configuration file; metahub config show --origin says which that is.',
      exitStatus: 2,
    });
  }
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

/**
 * The policies that the settings describe: `policy` for all, refined by the first pattern of `repositories` that a
 * repository fits: `ghcr.io/lab/**`, `qnib/*` on Docker Hub.
 * @throws {UserError} status 2
 */
export function readPolicies(settings: PolicySettings): PolicyFor {
  const { match, answer, onNoMatch } = settings;
  const base = read(settings.policy, { ...DEFAULT_POLICY, match, answer, onNoMatch }, 'policy');
  const { repositories } = settings;
  if (typeof repositories !== 'object' || repositories === null || Array.isArray(repositories)) {
    throw new UserError('repositories: patterns and policies are expected', { exitStatus: 2 });
  }
  const special = Object.entries(repositories).map(([pattern, value]) => ({
    fits: patternOf(pattern).matches,
    policy: read(value, base, `repositories, ${pattern}`),
  }));
  return (repository) => special.find(({ fits }) => fits(repository))?.policy ?? base;
}
