import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe } from 'vitest';
import { afterTest } from './upstream.ts';

function canMount(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root';
  const directory = mkdtempSync(join(tmpdir(), 'metahub-mount-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', directory], { stdio: 'ignore' });
    execFileSync('umount', [directory]);
    return undefined;
  } catch {
    return 'mounting a tmpfs is not allowed';
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** A `describe` that needs its own file system. Skipped with a message where none can be mounted. */
export function describeWithDisk(name: string, body: () => void): void {
  const obstacle = canMount();
  if (obstacle === undefined) return void describe(name, body);
  process.stderr.write(`SKIPPED ${name}: ${obstacle}\n`);
  describe.skip(name, body);
}

/** Mounts a file system of this size in memory. It is unmounted after the test. */
export function mountDisk(sizeBytes: number): { readonly directory: string; readOnly(on: boolean): void } {
  const directory = mkdtempSync(join(tmpdir(), 'metahub-disk-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'tmpfs', directory]);
  afterTest(() => {
    // Lazily, because a file that is still open must not keep the test from ending.
    execFileSync('umount', ['-l', directory]);
    rmSync(directory, { recursive: true, force: true });
  });
  return {
    directory,
    readOnly: (on) => {
      execFileSync('mount', ['-o', `remount,${on ? 'ro' : 'rw'}`, directory]);
    },
  };
}
