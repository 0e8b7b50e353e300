import { mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attempt } from './processes.ts';

type Cleanup = () => unknown;

/** A directory, and everything that was started in it. */
export interface Workplace {
  readonly directory: string;
  /** Creates a directory below it. Returns the path. */
  folder(name: string): string;
  /** Runs when the workplace closes, in reverse order of the calls. */
  onClose(cleanup: Cleanup): void;
  /** Stops, unmounts and removes everything. A second call waits for the first. */
  close(): Promise<void>;
}

/** The mount points below a directory, deepest first. */
function mountsBelow(directory: string): readonly string[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path.startsWith(`${directory}/`))
    .reverse();
}

export function openWorkplace(): Workplace {
  // Short, because the path of a unix socket has at most 107 bytes.
  const directory = mkdtempSync(join(tmpdir(), 'mh-'));
  const cleanups: Cleanup[] = [];
  let closing: Promise<void> | undefined;

  async function cleanUp(): Promise<void> {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
    // Container runtimes keep their mounts when they are stopped.
    for (const path of mountsBelow(directory)) await attempt('umount', ['--lazy', path]);
    // A runtime's helpers may still be running.
    await rm(directory, { recursive: true, force: true, maxRetries: 10 });
  }

  return {
    directory,
    folder(name) {
      const path = join(directory, name);
      mkdirSync(path, { recursive: true });
      return path;
    },
    onClose: (cleanup) => cleanups.push(cleanup),
    close() {
      closing ??= cleanUp();
      return closing;
    },
  };
}
