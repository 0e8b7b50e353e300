/** syslog's levels, as far as they are used. */
export type LogLevel = 'error' | 'warning' | 'notice' | 'info' | 'debug';

/** Values of an event: flat, and never a token, an Authorization header or a query string. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** Notes one event: what happened, then what it happened to. */
export type Log = (level: LogLevel, event: string, fields?: LogFields) => void;
