import { createHash } from 'node:crypto';
import type { Access } from '../oci/registry.ts';
import type { Account } from './account.ts';
import { createRepositoryPatterns, type RepositoryPatterns } from './repository-patterns.ts';

/** What an account may pull, and whose eyes the mirror's answers to it are for. */
interface Rights {
  readonly patterns: RepositoryPatterns;
  /** Undefined: it sees what the mirror's own logins fetch, all of it. */
  readonly access: Access | undefined;
}

export type PermissionsOf = (account: Account) => Rights;

/**
 * Accounts with equal rights share what the mirror holds. Those with others share nothing that could be found by digest
 * alone: what one account's patterns or upstream logins fetched must be asked for again before another sees it.
 */
function accessOf({ upstreamLogins }: Account, { key }: RepositoryPatterns): Access | undefined {
  if (upstreamLogins === undefined) return key === undefined ? undefined : { partition: `site-${key}` };
  const digest = createHash('sha256')
    .update(JSON.stringify([key, upstreamLogins]))
    .digest('base64url');
  return { partition: `site-${digest.slice(0, 22)}`, logins: upstreamLogins };
}

/** Rights are worked out once for an account as it was read. */
export function createPermissions(): PermissionsOf {
  const known = new WeakMap<Account, Rights>();
  return (account) => {
    const held = known.get(account);
    if (held) return held;
    const patterns = createRepositoryPatterns(account.repositories);
    const rights = { patterns, access: accessOf(account, patterns) };
    known.set(account, rights);
    return rights;
  };
}
