import { fstatSync } from 'node:fs';
import type { Writable } from 'node:stream';
import type { Log, LogFields, LogLevel } from '../lib/log.ts';
import { jsonText } from '../lib/text.ts';
import type { ServeSettings } from './serve/compose.ts';

/** syslog's numbers, which journald reads from a `<N>` before a line. @see sd-daemon(3) */
const PRIORITY: Readonly<Record<LogLevel, number>> = { error: 3, warning: 4, notice: 5, info: 6, debug: 7 };

export type LogFormat = 'json' | 'text';

interface LogOptions {
  readonly stream: Writable;
  readonly format: LogFormat;
  /** The least severe level to write. */
  readonly level: LogLevel;
  /** Lines go to journald: prefix each with its priority and leave the time to the journal. */
  readonly journal: boolean;
  readonly now: () => Date;
}

// One event is one line, whatever a client or an upstream put into a value.
function singleLine(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ');
}

/** Text from another party may be part of a line; it is cut to a readable length. */
const VALUE_MAX_CHARACTERS = 2000;

function cut(fields: LogFields): LogFields {
  const isLong = (value: unknown) => typeof value === 'string' && value.length > VALUE_MAX_CHARACTERS;
  if (!Object.values(fields).some(isLong)) return fields;
  const short = Object.entries(fields).map(([name, value]) => [
    name,
    isLong(value) ? `${String(value).slice(0, VALUE_MAX_CHARACTERS)}…` : value,
  ]);
  return Object.fromEntries(short) as LogFields;
}

function formatText(message: string, fields: LogFields): string {
  const pairs = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${/[\s"=]/.test(String(value)) ? JSON.stringify(value) : value}`);
  return [message, ...pairs].join(' ');
}

/** A log that writes to `stream`, usually stderr: stdout is for answers. */
export function createLog({ stream, format, level, journal, now }: LogOptions): Log {
  return (lineLevel, event, message, given = {}) => {
    if (PRIORITY[lineLevel] > PRIORITY[level]) return;
    const fields = cut(given);
    const time = now().toISOString();
    const prefix = journal ? `<${PRIORITY[lineLevel]}>` : '';
    const line =
      format === 'json'
        ? jsonText({ ...(journal ? {} : { time }), level: lineLevel, event, message, ...fields })
        : `${journal ? '' : `${time.slice(11, 19)} `}${singleLine(formatText(message, fields))}`;
    stream.write(`${prefix}${line}\n`);
  };
}

/** Is standard error connected to the journal? systemd names its device and inode. @see systemd.exec(5), JOURNAL_STREAM */
function isJournal(stream: string | undefined): boolean {
  if (stream === undefined) return false;
  const { dev, ino } = fstatSync(2);
  return stream === `${dev}:${ino}`;
}

/** The mirror's log: on standard error, for people or for programs. */
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
