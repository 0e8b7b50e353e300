import { ConfigError, type PlainConfigError } from '../lib/config-error.ts';
import type { Account } from './account.ts';
import { editMachineFile, type MachineEdit } from './machine-edit.ts';
import { type Groups, readGroupsFile, readMachineFile } from './machine-file.ts';

/** The text of one machine file, and what is to be done with it. Plain data: it crosses threads. */
export type MachineWork = { readonly text: string; readonly file: string } & (
  | { readonly kind: 'read-account' }
  | { readonly kind: 'read-groups' }
  | { readonly kind: 'edit'; readonly edit: MachineEdit }
);

/** What comes of it: what the file holds, and its text where that was changed. */
interface MachineResults {
  readonly 'read-account': Account;
  readonly 'read-groups': Groups;
  readonly edit: { readonly text: string; readonly account: Account };
}
export type MachineResult<Kind extends MachineWork['kind']> = MachineResults[Kind];

export type MachineReply =
  | { readonly kind: 'done'; readonly result: MachineResult<MachineWork['kind']> }
  | { readonly kind: 'refused'; readonly error: PlainConfigError };

/** @throws {ConfigError} */
export function doMachineWork(work: MachineWork): MachineResult<MachineWork['kind']> {
  const { kind, text, file } = work;
  switch (kind) {
    case 'read-account':
      return readMachineFile(text, file);
    case 'read-groups':
      return readGroupsFile(text, file);
    case 'edit': {
      const changed = editMachineFile(text, work.edit, file);
      return { text: changed, account: readMachineFile(changed, file) };
    }
  }
}

export function replyToMachineWork(work: MachineWork): MachineReply {
  try {
    return { kind: 'done', result: doMachineWork(work) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { kind: 'refused', error: error.plain() };
  }
}
