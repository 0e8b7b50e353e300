import { isMainThread } from 'node:worker_threads';

const isRoot = process.getuid?.() === 0;

/** Whether this process can take off root's privileges for a while: a thread cannot, and who is not root has none. */
export const CAN_DROP_PRIVILEGES = isRoot && isMainThread;

/** Whether something can run without root's privileges over files. */
export const CAN_BE_UNPRIVILEGED = !isRoot || isMainThread;

/** Runs as nobody where this process is root's: what only root may read or write is out of reach meanwhile. */
export async function asNobody<T>(body: () => Promise<T>): Promise<T> {
  if (!isRoot) return body();
  process.setegid?.(65534);
  process.seteuid?.(65534);
  try {
    return await body();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
  }
}
