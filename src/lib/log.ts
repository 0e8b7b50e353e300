/** syslog's levels, those in use. */
export type LogLevel = 'error' | 'warning' | 'notice' | 'info' | 'debug';

/** Values of an event: flat, and never a token, an Authorization header or a query string. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/**
 * Logs one event. `event` is a stable kebab-case key for programs, `message` the sentence for people, `fields` the
 * data.
 */
export type Log = (level: LogLevel, event: string, message: string, fields?: LogFields) => void;
