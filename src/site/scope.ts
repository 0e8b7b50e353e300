import {
  DOCKER_HUB,
  isSameRepository,
  looksLikeHost,
  parseRepositoryName,
  parseSourceHost,
  type Repository,
  repositoryAt,
} from '../oci/reference.ts';
import type { Grant } from './token.ts';

const SCOPES_MAX = 32;

/**
 * The repositories that `scope` asks for, `repository:NAME:pull,push` words apart by spaces; others are passed over.
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
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(slash, 0));
  const host = looksLikeHost(first) ? parseSourceHost(first) : DOCKER_HUB;
  const path = parseRepositoryName(looksLikeHost(first) ? name.slice(slash + 1) : name);
  return host && path && repositoryAt(host, path);
}

/** As what a challenge names the repository: what the client itself would, unless it says the host by `ns`. */
export function scopeNameOf({ host, name }: Repository): string {
  return host === DOCKER_HUB ? name : `${host}/${name}`;
}

/**
 * Do the grants open `repository`? containerd names the host beside the path (`ns`), so a bare name stands for every
 * host: which of those the login may pull is checked by its account's patterns at every request.
 */
export function mayPull(grants: readonly Grant[], repository: Repository): boolean {
  return grants.some(({ name, actions }) => {
    if (!actions.includes('pull')) return false;
    const named = repositoryNamed(name);
    return name === repository.name || (named !== undefined && isSameRepository(named, repository));
  });
}
