import { createHash } from 'node:crypto';
import picomatch from 'picomatch';
import * as v from 'valibot';
import { shown } from '../lib/schema.ts';
import {
  DOCKER_HUB,
  formatRepository,
  isSameRepository,
  parseRepositoryName,
  parseSourceHost,
  type Repository,
  repositoryAt,
  splitHost,
} from '../oci/reference.ts';
import type { Access } from '../oci/registry.ts';
import type { AccessToken, Account, AccountIdentity } from './account.ts';
import type { Grant } from './token.ts';

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

/** Longer ones are no names of repositories, and more than picomatch reads. */
const PATTERN_MAX = 1024;

/** One of {@link RepositoryPatterns}, as a file says it. */
export const RepositoryPattern = v.pipe(
  v.string(),
  v.regex(PATTERN, ({ input }) => `${shown(input)} is no pattern of repositories`),
  v.maxLength(PATTERN_MAX, `a pattern of repositories has at most ${PATTERN_MAX} characters`),
  v.examples(['ghcr.io/lab/*', 'qnib/**', '*']),
);

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

const SCOPES_MAX = 32;

/**
 * The repositories that `scope` asks for, `repository:NAME:pull,push` separated by spaces; others are ignored.
 * @see https://distribution.github.io/distribution/spec/auth/scope/
 */
export function parseScopes(scopes: readonly string[]): readonly Grant[] {
  const grants: Grant[] = [];
  for (const word of scopes.flatMap((scope) => scope.split(' ')).slice(0, SCOPES_MAX)) {
    const match = /^repository(?:\([a-z]+\))?:(?<name>[^\s]+):(?<actions>[a-z*,]*)$/.exec(word);
    const name = match?.groups?.['name'];
    if (name === undefined || repositoryNamed(name) === undefined) continue;
    grants.push({ type: 'repository', name, actions: (match?.groups?.['actions'] ?? '').split(',') });
  }
  return grants;
}

/** The repository that a client calls `name` in a path or a scope: with its host in front, or on Docker Hub. */
export function repositoryNamed(name: string): Repository | undefined {
  const { host: written, path } = splitHost(name);
  const host = written === undefined ? DOCKER_HUB : parseSourceHost(written);
  const repositoryName = parseRepositoryName(path);
  return host && repositoryName && repositoryAt(host, repositoryName);
}

/** The repository's name in a challenge: as the client would write it, unless it names the host by `ns`. */
export function scopeNameOf({ host, name }: Repository): string {
  return host === DOCKER_HUB ? name : `${host}/${name}`;
}

/**
 * Do the grants open `repository` for this? containerd names the host beside the path (`ns`), so a bare name stands for every
 * host: which of those the login may pull is checked by its account's patterns at every request.
 */
export function isGranted(
  grants: readonly Grant[],
  repository: Repository,
  action: 'pull' | 'push',
): boolean {
  return grants.some(({ name, actions }) => {
    if (!actions.includes(action)) return false;
    const named = repositoryNamed(name);
    return name === repository.name || (named !== undefined && isSameRepository(named, repository));
  });
}

/** What a login may pull and push, and with whom it may share what the mirror holds. */
interface Permissions {
  readonly mayPull: (repository: Repository) => boolean;
  /** Never for the login of a machine type: those are on the machines. */
  readonly mayPush: (repository: Repository) => boolean;
  /** Undefined: it sees everything that the mirror's own logins fetch. */
  readonly access: Access | undefined;
}

export type PermissionsOf = (identity: Pick<AccountIdentity, 'account' | 'token'>) => Permissions;

/**
 * Logins with equal rights share what the mirror's own logins fetched. What was fetched with logins of an account's own is for
 * that account, as long as its password and those logins stay what they are: for any other, and after any change of them,
 * the registry is asked again.
 */
function accessOf(account: Account, key: string | undefined): Access | undefined {
  const { user, password, upstreamLogins, loginsStamp } = account;
  if (upstreamLogins === undefined) return key === undefined ? undefined : { partition: `site-${key}` };
  const digest = createHash('sha256')
    .update(JSON.stringify([key, user, password?.text, upstreamLogins, loginsStamp]))
    .digest('base64url');
  return { partition: `site-${digest.slice(0, 22)}`, logins: upstreamLogins };
}

/** A token's patterns narrow those of its account. */
function keyOf(account: RepositoryPatterns, token: RepositoryPatterns | undefined): string | undefined {
  if (token?.key === undefined) return account.key;
  return createHash('sha256')
    .update(JSON.stringify([account.key, token.key]))
    .digest('base64url')
    .slice(0, 16);
}

/** Permissions are worked out once for an account, and for a token, as they were read. */
export function createPermissions(): PermissionsOf {
  const known = new WeakMap<Account | AccessToken, Permissions>();
  return ({ account, token }) => {
    const before = known.get(token ?? account);
    if (before) return before;
    const own = createRepositoryPatterns(account.repositories);
    const narrower = token?.repositories && createRepositoryPatterns(token.repositories);
    const pushed = createRepositoryPatterns(account.push);
    const isNarrowed = (repository: Repository) => narrower?.matches(repository) === false;
    const permissions: Permissions = {
      mayPull: (repository) => own.matches(repository) && !isNarrowed(repository),
      mayPush: (repository) => token?.push !== false && pushed.matches(repository) && !isNarrowed(repository),
      access: accessOf(account, keyOf(own, narrower)),
    };
    known.set(token ?? account, permissions);
    return permissions;
  };
}
