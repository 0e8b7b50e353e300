import { fstatSync } from 'node:fs';
import type { Decision } from '../mirror/tailored.ts';
import { formatReference } from '../oci/reference.ts';
import { createLog, type Log, type LogFields } from './log.ts';
import type { ServeSettings } from './mirror-stack.ts';

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

/** A decision as the fields of its line. */
export function decisionFields(decision: Decision): LogFields {
  const { repository, tag, answer, reason, upstreamDigest, servedDigest, chosenDigest, host, durationMs } =
    decision;
  return {
    image: formatReference(repository, { kind: 'tag', tag }),
    answer,
    reason,
    host,
    upstream: upstreamDigest,
    served: servedDigest,
    chosen: chosenDigest,
    ms: Math.round(durationMs * 10) / 10,
  };
}
