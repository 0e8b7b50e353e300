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
 * Parses scopes: `repository:NAME:pull,push`, several separated by spaces. Ignores scopes of other types.
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

/**
 * Returns the repository that a client names in a path or a scope: on the host in front of the name, or else
 * on Docker Hub.
 */
export function repositoryNamed(name: string): Repository | undefined {
  const { host: written, path } = splitHost(name);
  const host = written === undefined ? DOCKER_HUB : parseSourceHost(written);
  const repositoryName = parseRepositoryName(path);
  return host && repositoryName && repositoryAt(host, repositoryName);
}

/**
 * Returns the name of the repository in a challenge, as a client writes it that does not use the `ns`
 * parameter.
 */
export function scopeNameOf({ host, name }: Repository): string {
  return host === DOCKER_HUB ? name : `${host}/${name}`;
}

/**
 * True when the grants allow the action on `repository`. containerd names the host beside the path (`ns`), so
 * a name without a host stands for the repository of that name on every host. The account's patterns decide
 * at each request which of those the login may pull.
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

/** What a login may pull and push, and which clients may share its stored content. */
interface Permissions {
  readonly mayPull: (repository: Repository) => boolean;
  /** Never for the login of a machine type, because its password is stored on the machines. */
  readonly mayPush: (repository: Repository) => boolean;
  /** Undefined: it sees everything that the mirror's own upstream logins fetch. */
  readonly access: Access | undefined;
}

export type PermissionsOf = (identity: Pick<AccountIdentity, 'login' | 'account' | 'token'>) => Permissions;

/**
 * Returns the partition of stored content. Accounts with equal rights share what the mirror's own upstream
 * logins fetched. What the upstream logins of an account fetched is for that account only, and only until its
 * password or those logins change: then the registry is asked again.
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

/**
 * Returns equal keys for equal patterns; undefined when the patterns match everything. A token's patterns
 * narrow those of its account.
 */
function keyOf(account: RepositoryPatterns, token: RepositoryPatterns | undefined): string | undefined {
  const ofAccount = account.canonical === undefined ? undefined : shortHash(account.canonical);
  if (token?.canonical === undefined) return ofAccount;
  return shortHash(JSON.stringify([ofAccount, shortHash(token.canonical)]));
}

/** Computes the permissions of the account's own login, and those of its machine types' logins. */
function permissionsOf(account: Account, token: AccessToken | undefined) {
  const own = createRepositoryPatterns(account.repositories);
  const narrower = token?.repositories && createRepositoryPatterns(token.repositories);
  const pushed = createRepositoryPatterns(account.push);
  const isNarrowed = (repository: Repository) => narrower?.matches(repository) === false;
  const ofAccount: Permissions = {
    mayPull: (repository) => own.matches(repository) && !isNarrowed(repository),
    mayPush: (repository) => token?.push !== false && pushed.matches(repository) && !isNarrowed(repository),
    access: accessOf(account, keyOf(own, narrower)),
  };
  return { ofAccount, ofMachine: { ...ofAccount, mayPush: () => false } };
}

/** Creates the function that computes permissions, once for each account and token object. */
export function createPermissions(): PermissionsOf {
  const computed = new WeakMap<Account | AccessToken, ReturnType<typeof permissionsOf>>();
  return ({ login, account, token }) => {
    const known = computed.get(token ?? account) ?? permissionsOf(account, token);
    computed.set(token ?? account, known);
    return login === account.user ? known.ofAccount : known.ofMachine;
  };
}
