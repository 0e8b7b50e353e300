import * as v from 'valibot';
import type { Account } from './account.ts';

/** Path at which an account lists and changes its machine types. */
export const MACHINES_PATH = '/site/machines';

/** The machine types that the account's own password opens. */
export interface MachineList {
  readonly user: string;
  readonly types: readonly {
    readonly name: string;
    readonly login: string;
    readonly features: readonly string[];
  }[];
}

/** Builds the list that the site sends. */
export function machineListOf({ user, password, types }: Account): MachineList {
  const own = types.filter((type) => type.password.text === password?.text);
  return { user, types: own.map(({ name, login, features }) => ({ name, login, features })) };
}

/** `metahub login` passes these words to runtimes and the terminal, so it accepts printable ASCII only. */
const Word = v.pipe(v.string(), v.regex(/^[!-~]{1,1024}$/));

const List = v.object({
  user: Word,
  types: v.array(v.object({ name: Word, login: Word, features: v.array(Word) })),
});

/** Parses the answer of a site; undefined when it is not such a list. */
export function readMachineList(value: unknown): MachineList | undefined {
  const { success, output } = v.safeParse(List, value);
  return success ? output : undefined;
}
