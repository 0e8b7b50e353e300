/** syslog's levels, as far as they are used. */
export type LogLevel = 'error' | 'warning' | 'notice' | 'info' | 'debug';

/** Values of an event: flat, and never a token, an Authorization header or a query string. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/**
 * Logs one event. `event` is a stable kebab-case key for programs, `message` the sentence for people, `fields` what it
 * happened to.
 */
export type Log = (level: LogLevel, event: string, message: string, fields?: LogFields) => void;
