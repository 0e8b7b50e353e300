import type { Account } from './account.ts';
import { hashPassword, type ScryptCost } from './password.ts';

/** The machine types of the 2019 demonstration. */
const TYPES: readonly (readonly [name: string, features: readonly string[]])[] = [
  ['type0', []],
  ['type1', ['cpu:broadwell']],
  ['type2', ['cpu:skylake']],
  ['type3', ['cpu:coffelake']],
  ['type4', ['cpu:broadwell', 'nvcap:5.2']],
];

/** These passwords are public: an expensive hash would protect nothing. */
const COST: ScryptCost = { ln: 10, r: 8, p: 1 };

/** `qnib-type0` to `qnib-type4`, each with its user name for a password. Only for a demonstration. */
export async function demoMachines(): Promise<Account> {
  const types = TYPES.map(async ([name, features]) => {
    const login = `qnib-${name}`;
    return { name, login, features, password: await hashPassword(login, COST) };
  });
  return {
    user: 'qnib',
    password: undefined,
    types: await Promise.all(types),
    repositories: ['**'],
    groups: [],
    tokens: [],
    upstreamLogins: undefined,
    managesMachines: false,
    file: 'STATIC_MACHINES',
  };
}
