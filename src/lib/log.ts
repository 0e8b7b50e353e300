/** The levels of syslog that are in use. */
export type LogLevel = 'error' | 'warning' | 'notice' | 'info' | 'debug';

/** The data of an event. Flat; never a token, an Authorization header or a query string. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/**
 * Logs one event. `event`: a stable key in kebab-case, for programs; `message`: a sentence for people; `fields`:
 * the data.
 */
export type Log = (level: LogLevel, event: string, message: string, fields?: LogFields) => void;
