import {
  BackgroundThread,
  startWorker,
  ThreadBusyError,
  ThreadFailedError,
} from '../lib/background-thread.ts';
import { ConfigError, type PlainConfigError } from '../lib/config-error.ts';
import type { Account } from './account.ts';
import { editMachineFile, type MachineEdit } from './machine-edit.ts';
import { type Groups, readGroupsFile, readMachineFile } from './machine-file.ts';

/** A task on the text of one machine file. It is plain data, because it is passed to a thread. */
export type MachineWork = { readonly text: string; readonly file: string } & (
  | { readonly kind: 'read-account' }
  | { readonly kind: 'read-groups' }
  | { readonly kind: 'edit'; readonly edit: MachineEdit }
);

/** The results of the tasks. */
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

/** Does the work on a thread. A ConfigError becomes plain data, because errors lose their fields between threads. */
export function replyToMachineWork(work: MachineWork): MachineReply {
  try {
    return { kind: 'done', result: doMachineWork(work) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { kind: 'refused', error: error.plain() };
  }
}

/**
 * Larger files are parsed on a thread. A file of this size, about fifty machine types, takes a few
 * milliseconds; a larger one would delay all pulls.
 */
const INLINE_MAX_CHARACTERS = 4 * 1024;

const THREAD = new BackgroundThread<MachineWork, MachineReply>({
  start: (options) => startWorker('machine-worker', import.meta.filename, options),
  waitingMaxBytes: 16 * 1024 * 1024,
});

/**
 * Reads or edits a machine file; uses a thread for a large one.
 * @throws {ConfigError}
 */
export async function workOnMachineFile<Work extends MachineWork>(
  work: Work,
): Promise<MachineResult<Work['kind']>> {
  const { length } = work.text;
  if (length <= INLINE_MAX_CHARACTERS) return doMachineWork(work) as MachineResult<Work['kind']>;
  const reply = await THREAD.run(work, length).catch((cause: unknown) => {
    const details = { file: work.file, cause };
    if (cause instanceof ThreadBusyError) {
      throw new ConfigError('busy', 'too many machine files wait for a thread: try again', details);
    }
    if (!(cause instanceof ThreadFailedError)) throw cause;
    throw new ConfigError('invalid-value', `it cannot be read: ${cause.message}`, details);
  });
  if (reply.kind === 'done') return reply.result as MachineResult<Work['kind']>;
  throw ConfigError.of(reply.error);
}
