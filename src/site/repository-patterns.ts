import { createHash } from 'node:crypto';
import picomatch from 'picomatch';
import { DOCKER_HUB, formatRepository, type Repository, splitHost } from '../oci/reference.ts';

/**
 * Patterns of repositories: `ghcr.io/lab/*` one component, `ghcr.io/lab/**` any depth, `qnib/*` on Docker Hub,
 * `*` and `**` everything.
 */
export interface RepositoryPatterns {
  readonly matches: (repository: Repository) => boolean;
  /** Equal for equal patterns; undefined when everything matches. */
  readonly key: string | undefined;
}

/**
 * Characters of repository names and of `*`, `?`, `[…]` and `{a,b}`. Others have further meanings for picomatch: `!` would
 * turn a pattern round.
 */
const PATTERN = /^[A-Za-z0-9._:/*?[\]{},-]+$/;

/** Why `pattern` cannot be one; undefined when it can. */
export function problemWithPattern(pattern: string): string | undefined {
  if (!PATTERN.test(pattern)) return `“${pattern}” is no pattern of repositories`;
  return undefined;
}

const isEverything = (pattern: string) => pattern === '*' || pattern === '**';

/** The pattern with Docker's rules for short names applied: host and `library/` are implied. */
function complete(pattern: string): string {
  if (pattern.startsWith('*') || splitHost(pattern).host !== undefined) return pattern;
  return pattern.includes('/') ? `${DOCKER_HUB}/${pattern}` : `${DOCKER_HUB}/library/${pattern}`;
}

/** Nothing matches an empty list. */
export function createRepositoryPatterns(patterns: readonly string[]): RepositoryPatterns {
  if (patterns.some(isEverything)) return { matches: () => true, key: undefined };
  const completed = [...new Set(patterns.map(complete))].sort();
  const isMatch = picomatch(completed, { dot: true, nonegate: true, noextglob: true });
  return {
    matches: (repository) => completed.length > 0 && isMatch(formatRepository(repository)),
    key: createHash('sha256').update(completed.join('\n')).digest('base64url').slice(0, 16),
  };
}

/** The hosts that patterns name literally: a bare name may belong to each of them as well. */
export function hostsNamed(patterns: readonly string[]): readonly string[] {
  const hosts = patterns.map((pattern) => splitHost(pattern).host).filter((host) => host !== undefined);
  return [...new Set(hosts.filter((host) => !/[*?[{]/.test(host)))];
}
