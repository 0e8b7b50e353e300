/** What is wrong, for programs. Callers use this code, never the message. */
export type ConfigErrorCode =
  /** The file does not exist, or cannot be read. */
  | 'unreadable'
  | 'too-large'
  /** The text is not YAML or JSON. */
  | 'syntax'
  | 'unknown-key'
  | 'missing-key'
  /** For example a list instead of a text. */
  | 'wrong-type'
  | 'invalid-value'
  /** The name is in use already. */
  | 'exists'
  /** Nothing has this name. */
  | 'missing'
  /** Someone else has changed the file, or the password that authorized a change, meanwhile. */
  | 'changed'
  /** Something else still needs it. */
  | 'in-use'
  /** Another process is changing the folder and does not finish. */
  | 'busy'
  /** This user may not write to the folder. */
  | 'read-only';

/** The path to a value: keys of maps and positions in lists. */
export type ConfigPath = readonly (string | number)[];

/** Where the problem is, and how to solve it. */
export interface ConfigErrorDetails {
  /** The path of the file. */
  readonly file?: string | undefined;
  /** Line and column count from 1. */
  readonly line?: number | undefined;
  readonly column?: number | undefined;
  /** The path of the value in the file; without a file, the option or variable that sets it. */
  readonly path?: ConfigPath | undefined;
  /** The path of another file that conflicts. */
  readonly otherFile?: string | undefined;
  readonly nextStep?: string | undefined;
  /** Further problems in the same file. */
  readonly further?: readonly ConfigError[] | undefined;
  readonly cause?: unknown;
}

/** A {@link ConfigError} as plain data that can be sent to a thread. */
export interface PlainConfigError {
  readonly code: ConfigErrorCode;
  readonly why: string;
  readonly details: Omit<ConfigErrorDetails, 'further' | 'cause'>;
  readonly further: readonly PlainConfigError[];
}

/** Formats a path: `people["a b"][0].name`. */
export function formatPath(path: ConfigPath): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`;
    if (!/^[\w-]+$/.test(key)) return text === '' ? `"${key}"` : `${text}["${key}"]`;
    return text === '' ? key : `${text}.${key}`;
  }, '');
}

/**
 * A problem in a configuration file, or with a change to one: position, reason and next step. `why` may be sent to
 * clients; `message` also has the position, with paths of this machine.
 */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code: ConfigErrorCode;
  readonly why: string;
  readonly file: string | undefined;
  readonly line: number | undefined;
  readonly column: number | undefined;
  readonly path: string | undefined;
  readonly nextStep: string | undefined;
  /** Further problems in the same file. */
  readonly further: readonly ConfigError[];
  readonly details: ConfigErrorDetails;

  constructor(code: ConfigErrorCode, why: string, details: ConfigErrorDetails = {}) {
    const { file, line, column, path = [], otherFile, nextStep, further = [], cause } = details;
    const place = [file, line, column].filter((part) => part !== undefined).join(':');
    const named = formatPath(path);
    const before = [place, named].filter((part) => part !== '').map((part) => `${part}: `);
    const message = `${before.join('')}${why}${otherFile === undefined ? '' : `, in ${otherFile}`}`;
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.why = why;
    this.file = file;
    this.line = line;
    this.column = column;
    this.path = named === '' ? undefined : named;
    this.nextStep = nextStep;
    this.further = further;
    this.details = details;
  }

  /** The error as plain data that can be sent to a thread. */
  plain(): PlainConfigError {
    const { code, why, details, further } = this;
    const { cause: _cause, further: _further, ...place } = details;
    return { code, why, details: place, further: further.map((error) => error.plain()) };
  }

  static of({ code, why, details, further }: PlainConfigError): ConfigError {
    return new ConfigError(code, why, { ...details, further: further.map(ConfigError.of) });
  }

  /** A copy with further problems or another next step. */
  with(details: Pick<ConfigErrorDetails, 'further' | 'nextStep'>): ConfigError {
    return new ConfigError(this.code, this.why, { ...this.details, cause: this.cause, ...details });
  }
}

const TROUBLES: Readonly<Record<string, string>> = {
  EACCES: 'this user may not read it',
  EISDIR: 'it is a directory',
  ENOTREG: 'it is not a regular file',
  ENOTDIR: 'it is not a directory',
};

/** Says why a file or directory cannot be read. */
export function whyUnreadable(error: unknown, what: 'file' | 'directory' = 'file'): string {
  const { code = '', message } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' ? `there is no such ${what}` : (TROUBLES[code] ?? message);
}

const WRITE_TROUBLES: Readonly<Record<string, string>> = {
  ...TROUBLES,
  EACCES: 'this user may not write there',
  EPERM: 'this user may not write there',
  ENOENT: 'there is no such directory',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
};

/** Says why a file cannot be written. */
export function whyUnwritable(error: unknown): string {
  const { code = '', message } = error as NodeJS.ErrnoException;
  return WRITE_TROUBLES[code] ?? message;
}
