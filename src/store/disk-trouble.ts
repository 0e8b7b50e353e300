/** What a store tells the operator: syslog's level, what happened, and to what. */
export type StoreLog = (
  level: 'error' | 'warning' | 'notice' | 'info' | 'debug',
  event: string,
  fields?: Readonly<Record<string, string | number | boolean | undefined>>,
) => void;

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
export function createDiskTrouble(directory: string, log: StoreLog) {
  let current: string | undefined;
  return {
    report: (error: Error): void => {
      const code = (error as NodeJS.ErrnoException).code ?? error.name;
      if (code === current) return;
      current = code;
      const reason = MEANING[code] ?? error.message;
      log('warning', 'the cache cannot write; pulls go on without it', { directory, reason, code });
    },
    /** A write worked. */
    over: (): void => {
      if (current === undefined) return;
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
