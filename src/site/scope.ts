import {
  DOCKER_HUB,
  isSameRepository,
  parseRepositoryName,
  parseSourceHost,
  type Repository,
  repositoryAt,
  splitHost,
} from '../oci/reference.ts';
import type { Grant } from './token.ts';

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
