import { fstatSync } from 'node:fs';
import type { Log } from '../../lib/log.ts';
import { createLog } from '../log.ts';
import type { ServeSettings } from './compose.ts';

/** Is standard error connected to the journal? systemd names its device and inode. @see systemd.exec(5), JOURNAL_STREAM */
function isJournal(stream: string | undefined): boolean {
  if (stream === undefined) return false;
  const { dev, ino } = fstatSync(2);
  return stream === `${dev}:${ino}`;
}

/** The log of the mirror: on standard error, for a person or for programs. */
export function openServeLog({ values }: ServeSettings): Log {
  const { logFormat, logLevel } = values;
  const automatic = process.stderr.isTTY ? 'text' : 'json';
  return createLog({
    stream: process.stderr,
    format: logFormat === 'auto' ? automatic : logFormat,
    level: logLevel,
    journal: isJournal(process.env['JOURNAL_STREAM']),
    now: () => new Date(),
  });
}
