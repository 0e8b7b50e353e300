import { fstatSync } from 'node:fs';
import type { Writable } from 'node:stream';
import type { Log, LogFields, LogLevel } from '../lib/log.ts';
import { jsonText } from '../lib/text.ts';
import type { ServeSettings } from './serve/compose.ts';

/** syslog's priorities, which journald reads from a `<N>` before a line. @see sd-daemon(3) */
const PRIORITY: Readonly<Record<LogLevel, number>> = { error: 3, warning: 4, notice: 5, info: 6, debug: 7 };

export type LogFormat = 'json' | 'text';

interface LogOptions {
  readonly stream: Writable;
  readonly format: LogFormat;
  /** The least severe level to write. */
  readonly level: LogLevel;
  /**
   * True when the lines go to journald: each gets its priority as a prefix, and no time, which the journal
   * adds.
   */
  readonly journal: boolean;
  readonly now: () => Date;
}

// One event is one line, whatever values come from clients and upstreams.
function singleLine(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ');
}

/** Maximum length of a value in a line, in characters. Values can come from clients and upstreams. */
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

/** Creates a log that writes to `stream`, usually stderr, because stdout is for answers. */
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

/**
 * True when standard error is connected to the journal: systemd sets the variable to its device and inode.
 * @see systemd.exec(5), JOURNAL_STREAM
 */
function isJournal(stream: string | undefined): boolean {
  if (stream === undefined) return false;
  const { dev, ino } = fstatSync(2);
  return stream === `${dev}:${ino}`;
}

/** Creates the log of the mirror: on standard error, for people or for programs. */
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
