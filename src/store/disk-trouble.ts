import type { Log } from '../oci/log.ts';

const MEANING: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EACCES: 'permission is denied',
  EPERM: 'permission is denied',
  EROFS: 'the disk is read-only',
  EMFILE: 'the process has no file handles left',
  ENFILE: 'the system has no file handles left',
  EIO: 'the disk fails',
};

/**
 * Says once that the disk refuses, not once per write, and says when it works again. Pulls go on meanwhile, straight
 * from upstream.
 */
export function createDiskTrouble(directory: string, log: Log) {
  let current: string | undefined;
  /** On a full disk small writes still work now and then: this many bytes must have fitted before that is news. */
  let neededBytes = 0;
  return {
    /** A write of so many bytes failed. */
    report: (error: Error, sizeBytes = 0): void => {
      const code = (error as NodeJS.ErrnoException).code ?? error.name;
      if (code === current) return;
      neededBytes = isFull(error) ? sizeBytes : 0;
      current = code;
      const reason = MEANING[code] ?? error.message;
      log('warning', 'the cache cannot write; pulls go on without it', { directory, reason, code });
    },
    /** A write of so many bytes worked. */
    over: (sizeBytes: number): void => {
      if (current === undefined || sizeBytes < neededBytes) return;
      current = undefined;
      log('notice', 'the cache writes again', { directory });
    },
  };
}

export type DiskTrouble = ReturnType<typeof createDiskTrouble>;

/** Would the write work if something else were removed? */
export function isFull(error: Error): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT';
}
