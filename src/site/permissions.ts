import { createHash } from 'node:crypto';
import type { Repository } from '../oci/reference.ts';
import type { Access } from '../oci/registry.ts';
import type { AccessToken } from './access-token.ts';
import type { Account, AccountIdentity } from './account.ts';
import { createRepositoryPatterns, type RepositoryPatterns } from './repository-patterns.ts';

/** What a login may pull, and with whom it may share what the mirror holds. */
interface Permissions {
  readonly mayPull: (repository: Repository) => boolean;
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
    const permissions: Permissions = {
      mayPull: (repository) => own.matches(repository) && narrower?.matches(repository) !== false,
      access: accessOf(account, keyOf(own, narrower)),
    };
    known.set(token ?? account, permissions);
    return permissions;
  };
}
