import { isDeepStrictEqual } from 'node:util';
import { deriveProfile } from '../../../host/profile.ts';
import { whyUnwritable } from '../../../lib/config-error.ts';
import { type Reads, recordReads, writeCapture, writeMacCapture } from '../../../probe/capture.ts';
import { probeHost } from '../../../probe/host.ts';
import { UserError } from '../../user-error.ts';

export interface CaptureOptions {
  /** The host to capture: `/` for this machine. */
  readonly root: string;
  readonly architecture?: string | undefined;
}

/**
 * Copies what detection reads of a host to a new directory, without what identifies the machine. Returns a
 * text that says whether the copy is detected like the host itself.
 * @throws {UserError} status 2 when the directory exists, 1 when it cannot be written.
 */
export async function capture(directory: string, { root, architecture }: CaptureOptions): Promise<string> {
  const now = () => new Date();
  const kept: { reads?: Reads } = {};
  const host = await probeHost({
    root,
    architecture,
    now,
    through: (opened) => {
      const { root: recording, reads } = recordReads(opened);
      kept.reads = reads;
      return recording;
    },
  });
  const count = await written(directory, async () =>
    root === '/' && process.platform === 'darwin'
      ? writeMacCapture(directory)
      : writeCapture(directory, kept.reads ?? { texts: new Map(), names: new Map(), links: new Map() }),
  );
  const copy = await probeHost({ root: directory, architecture: host.facts.architecture, now });
  const isSame = isDeepStrictEqual(deriveProfile(host.facts), deriveProfile(copy.facts));
  const files = count === 1 ? '1 file' : `${count} files`;
  return [
    `Captured ${files} in ${directory}. The capture leaves out serial numbers and names; read it before you attach it.`,
    isSame
      ? `metahub detect --root ${directory} gives the same answer as on this host.`
      : `metahub detect --root ${directory} gives another answer than on this host: say so in the report.`,
    `Attach: tar -czf ${directory.replace(/(?<=.)\/+$/, '')}.tar.gz ${directory}`,
    '',
  ].join('\n');
}

async function written(directory: string, write: () => Promise<number>): Promise<number> {
  try {
    return await write();
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') {
      throw new UserError(`${directory} exists already`, {
        cause,
        nextStep: 'Name a new directory.',
        exitStatus: 2,
      });
    }
    throw new UserError(`cannot write the capture to ${directory}: ${whyUnwritable(cause)}`, {
      cause,
      nextStep: 'Name a new directory where you may write.',
    });
  }
}
