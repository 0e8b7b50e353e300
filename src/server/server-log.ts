/** One event, at one of syslog's levels. Fields are flat and hold no secret and no query string. */
export type ServerLog = (
  level: 'error' | 'warning' | 'notice' | 'info' | 'debug',
  event: string,
  fields?: Readonly<Record<string, string | number | boolean | undefined>>,
) => void;
