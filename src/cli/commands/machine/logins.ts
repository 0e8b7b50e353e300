import { tableText } from '../../../lib/text.ts';

/** An account as the table of logins shows it, with the rights of its groups. */
export interface ListedAccount {
  readonly user: string;
  readonly role: string;
  /** True when the account itself can log in. */
  readonly hasPassword: boolean;
  readonly managesMachines: boolean;
  readonly repositories: readonly string[];
  readonly types: readonly { readonly login: string; readonly features: readonly string[] }[];
}

/** Formats a line for each login; undefined: there is none. */
export function renderLogins(accounts: readonly ListedAccount[]): string | undefined {
  const rows = accounts.flatMap(({ user, role, hasPassword, managesMachines, repositories, types }) => {
    const mayPull = repositories.join(' ') || '-';
    const own = [user, managesMachines ? `${role}, manages machine types` : role, mayPull];
    const ofTypes = types.map(({ login, features }) => [login, features.join(' ') || 'no features', mayPull]);
    return [...(hasPassword ? [own] : []), ...ofTypes];
  });
  return rows.length === 0 ? undefined : tableText([['LOGIN', 'MACHINE', 'MAY PULL'], ...rows]);
}
