import { isMainThread } from 'node:worker_threads';

const isRoot = process.getuid?.() === 0;

/** True when this process can drop root's privileges for a while: it is root, and not in a worker thread. */
export const CAN_DROP_PRIVILEGES = isRoot && isMainThread;

/** Whether something can run without root's privileges over files. */
export const CAN_BE_UNPRIVILEGED = !isRoot || isMainThread;

/** Runs as nobody when this process is root: it cannot read or write what only root may. */
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
