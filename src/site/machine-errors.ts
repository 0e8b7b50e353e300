import { ConfigError } from '../lib/config-error.ts';
import { FileLockTimeoutError } from '../lib/file-lock.ts';
import { ForeignLinkError } from '../lib/link-path.ts';

/** Converts an error that stops every change of a folder into a ConfigError. Returns any other error unchanged. */
export function asMachineError(cause: unknown, folder: string): unknown {
  if (cause instanceof FileLockTimeoutError) {
    const why = 'another process is changing the machine files: try again';
    return new ConfigError('busy', why, { file: folder, cause });
  }
  if (cause instanceof ForeignLinkError) {
    const why = 'the file is a link that belongs to another user';
    return new ConfigError('read-only', why, { file: folder, cause });
  }
  const { code = '' } = cause as NodeJS.ErrnoException;
  if (!['EACCES', 'EPERM', 'EROFS'].includes(code)) return cause;
  const why = 'the directory of machine files cannot be written';
  return new ConfigError('read-only', why, { file: folder, cause });
}

/**
 * Converts the error that makes the existing files unreadable. Only the operator can correct those files, so
 * the client learns nothing about them; the log shows `cause`.
 */
export function asUnreadable(cause: unknown, folder: string): ConfigError {
  if (cause instanceof ConfigError && cause.code === 'busy') return cause;
  const { file = folder, line, column } = cause instanceof ConfigError ? cause : {};
  return new ConfigError('unreadable', 'the machine files cannot be read', { file, line, column, cause });
}
