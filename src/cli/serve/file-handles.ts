import { readFileSync } from 'node:fs';
import type { Log } from '../../lib/log.ts';
import { DEFAULT_LIMITS } from '../../server/connections.ts';

/** Handles for other uses than connections: the store's files, threads and DNS queries. */
const RESERVED = 32;
/** Handles for a client's connection: its own, one to the registry, and one of a file. */
const PER_CONNECTION = 3;
const CONNECTIONS_MIN = 8;

/**
 * Returns the soft limit of open files (RLIMIT_NOFILE); undefined when there is no limit, or no /proc.
 * @see proc_pid_limits(5)
 */
export function openFilesMax(): number | undefined {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? [];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}

/** Returns how many connections leave enough handles for their requests. */
export function connectionsWithin(handles: number): number {
  const affordable = Math.max(CONNECTIONS_MIN, Math.floor((handles - RESERVED) / PER_CONNECTION));
  return Math.min(DEFAULT_LIMITS.connections, affordable);
}

/** Returns the limit of connections that the limit of open files allows. Logs when it is lower than usual. */
export function readConnectionsMax(log: Log): number {
  const handles = openFilesMax();
  if (handles === undefined) return DEFAULT_LIMITS.connections;
  const connections = connectionsWithin(handles);
  if (connections < DEFAULT_LIMITS.connections) {
    const message = 'the limit of open files is low: raise it (LimitNOFILE, ulimit -n)';
    log('warning', 'open-files-limited', message, { openFiles: handles, connections });
  }
  return connections;
}
