import {
  BackgroundThread,
  startWorker,
  ThreadBusyError,
  ThreadFailedError,
} from '../lib/background-thread.ts';
import { ConfigError } from '../lib/config-error.ts';
import { doMachineWork, type MachineReply, type MachineResult, type MachineWork } from './machine-work.ts';

/** A file up to this size, some fifty machine types, is parsed in a few milliseconds; a larger one would hold up every pull. */
const INLINE_MAX_CHARACTERS = 4 * 1024;

const THREAD = new BackgroundThread<MachineWork, MachineReply>({
  start: (options) => startWorker('machine-worker', import.meta.url, options),
  waitingMaxBytes: 16 * 1024 * 1024,
});

/**
 * Reads or edits a machine file, a large one on a thread.
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
      throw new ConfigError('busy', 'too many machine files are being read: try again', details);
    }
    if (!(cause instanceof ThreadFailedError)) throw cause;
    throw new ConfigError('invalid-value', `it cannot be read: ${cause.message}`, details);
  });
  if (reply.kind === 'done') return reply.result as MachineResult<Work['kind']>;
  throw ConfigError.of(reply.error);
}
