import { isDeepStrictEqual } from 'node:util';
import { type Document, isAlias, isSeq, stringify } from '../lib/yaml-document.ts';
import type { OidcSubject } from './account.ts';

/** A change of an account. An undefined key stays as it is; null removes the key. */
export interface AccountChange {
  readonly role?: string | null | undefined;
  readonly repositories?: readonly string[] | null | undefined;
  readonly push?: readonly string[] | null | undefined;
  readonly groups?: readonly string[] | null | undefined;
  readonly managesMachines?: boolean | null | undefined;
  /** The password's hash. */
  readonly password?: string | null | undefined;
}

/** A new account. Without a password of its own, each of its types needs one. */
export interface NewAccount extends Omit<AccountChange, 'role'> {
  readonly user: string;
  readonly role?: string | undefined;
  readonly oidc?: OidcSubject | undefined;
}

/** Formats the file of a new account. */
export function formatNewAccount(account: NewAccount): string {
  const { user, password, ...others } = account;
  const written = { user, password, ...others };
  return stringify(Object.fromEntries(Object.entries(written).filter(([, value]) => value != null)));
}

function hasGroups(document: Document): boolean {
  const node = document.get('groups', true);
  const list = isAlias(node) ? node.resolve(document) : node;
  return isSeq(list) && list.items.length > 0;
}

function setKeys(document: Document, change: Readonly<Record<string, unknown>>): void {
  for (const [key, value] of Object.entries(change)) {
    if (value === null) document.delete(key);
    else if (value !== undefined) document.set(key, document.createNode(value));
  }
}

/**
 * What `repositories` means while the file has no such key: nothing for an account with groups, everything
 * for others.
 */
function defaultRepositories(document: Document): readonly string[] {
  const isGrouped = hasGroups(document) || document.getIn(['oidc', 'groupsOnly']) === true;
  return isGrouped ? [] : ['**'];
}

/**
 * Changes keys of the account. An account without groups and without `repositories` may pull everything, so
 * an account that loses its last group gets an empty list of repositories. The file of a person's account
 * does not store the default `repositories` that a form submits: stored, they would look like a grant of an
 * administrator.
 */
export function withAccountChanged(document: Document, change: AccountChange): void {
  const before = defaultRepositories(document);
  const isOfLogin =
    document.has('oidc') && !document.has('repositories') && isDeepStrictEqual(change.repositories, before);
  const { repositories, ...others } = change;
  setKeys(document, isOfLogin ? others : { ...others, repositories });
  const isSaid = document.has('repositories') || (repositories !== undefined && !isOfLogin);
  if (before.length === 0 && defaultRepositories(document).length > 0 && !isSaid)
    document.set('repositories', []);
}

/** The part of an account that a person's claims decide at each login. */
export interface PersonChange {
  readonly oidc: OidcSubject;
  readonly role: string | undefined;
  readonly groups: readonly string[];
}

/** Sets the keys that follow from a person's claims, and no others. */
export function withPersonChanged(document: Document, { oidc, role, groups }: PersonChange): void {
  setKeys(document, { oidc, role: role ?? null, groups: groups.length === 0 ? null : groups });
}
