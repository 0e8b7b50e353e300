import type { Account } from './account.ts';

/** Where an account sees its machine types, and changes them when it may. */
export const MACHINES_PATH = '/site/machines';

/** What an account sees of itself: the types that its own password opens. */
export interface MachineList {
  readonly user: string;
  readonly types: readonly {
    readonly name: string;
    readonly login: string;
    readonly features: readonly string[];
  }[];
}

/** The list of an account, as the site sends it. */
export function machineListOf({ user, password, types }: Account): MachineList {
  const own = types.filter((type) => type.password.text === password?.text);
  return { user, types: own.map(({ name, login, features }) => ({ name, login, features })) };
}

const isWord = (value: unknown): value is string =>
  typeof value === 'string' && /^[!-~]{1,1024}$/.test(value);

/**
 * Reads what a site sent; undefined when it is no list. A login goes to the runtimes and to the terminal: it is read as
 * strictly as input of an unknown server.
 */
export function readMachineList(value: unknown): MachineList | undefined {
  const { user, types } = (value ?? {}) as { readonly user?: unknown; readonly types?: unknown };
  const isType = (type: Partial<MachineList['types'][number]> | null) =>
    isWord(type?.name) && isWord(type.login) && Array.isArray(type.features) && type.features.every(isWord);
  if (!isWord(user) || !Array.isArray(types) || !types.every(isType)) return undefined;
  return { user, types };
}
