import { createHash } from 'node:crypto';
import { createRepositoryPatterns, type RepositoryPatterns } from '../oci/pattern.ts';
import {
  DOCKER_HUB,
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
 * True when the grants allow this on `repository`. containerd names the host beside the path (`ns`), so a bare name
 * stands for every host: the account's patterns decide at every request which of those the login may pull.
 */
export function isGranted(
  grants: readonly Grant[],
  repository: Repository,
  action: 'pull' | 'push',
): boolean {
  return grants.some(({ name, actions }) => {
    if (!actions.includes(action)) return false;
    if (name === repository.name) return true;
    const named = repositoryNamed(name);
    return named !== undefined && isSameRepository(named, repository);
  });
}

/** What a login may pull and push, and with whom it may share stored content. */
interface Permissions {
  readonly mayPull: (repository: Repository) => boolean;
  /** Never for the login of a machine type: those logins are on the machines. */
  readonly mayPush: (repository: Repository) => boolean;
  /** Undefined: it sees everything that the mirror's own logins fetch. */
  readonly access: Access | undefined;
}

export type PermissionsOf = (identity: Pick<AccountIdentity, 'account' | 'token'>) => Permissions;

/**
 * Logins with equal rights share what the mirror's own logins fetched. What an account's own upstream logins fetched is
 * for that account, as long as its password and those logins stay the same: for any other account, and after any
 * change, the registry is asked again.
 */
function accessOf(account: Account, key: string | undefined): Access | undefined {
  const { user, password, upstreamLogins, loginsStamp } = account;
  if (upstreamLogins === undefined) return key === undefined ? undefined : { partition: `site-${key}` };
  const digest = createHash('sha256')
    .update(JSON.stringify([key, user, password?.text, upstreamLogins, loginsStamp]))
    .digest('base64url');
  return { partition: `site-${digest.slice(0, 22)}`, logins: upstreamLogins };
}

function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 16);
}

/** Equal for equal patterns; undefined when everything matches. A token's patterns narrow those of its account. */
function keyOf(account: RepositoryPatterns, token: RepositoryPatterns | undefined): string | undefined {
  const ofAccount = account.canonical === undefined ? undefined : shortHash(account.canonical);
  if (token?.canonical === undefined) return ofAccount;
  return shortHash(JSON.stringify([ofAccount, shortHash(token.canonical)]));
}

/** Permissions are computed once for an account, and for a token, as they were read. */
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
