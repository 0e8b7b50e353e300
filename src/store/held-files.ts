import { type BigIntStats, closeSync, constants, fstat, open } from 'node:fs';
import { rm } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { Digest } from '../oci/digest.ts';
import type { Layout } from './layout.ts';
import { hasDigest, identityOf } from './verify.ts';

const openFile = promisify(open);
const statFile = promisify(fstat) as unknown as (
  fd: number,
  options: { bigint: true },
) => Promise<BigIntStats>;

/** An open file whose bytes have been found to have their digest. Whoever holds it closes it. */
export interface OpenContent {
  readonly fd: number;
  readonly sizeBytes: number;
  close(): void;
}

export interface HeldFilesOptions {
  readonly layout: Layout;
  /** Held content was not what its name says, and is gone. */
  readonly onSpoilt: (digest: Digest, why: string) => void;
}

/** Why an open file cannot be this content whatever its bytes are. */
function flawOf(stats: BigIntStats): string | undefined {
  if (!stats.isFile()) return 'not a regular file';
  return undefined;
}

/** Opens held content; its bytes are checked at the first opening, and again when the file is another one since. */
export function createHeldFiles({ layout, onSpoilt }: HeldFilesOptions) {
  const verified = new Map<Digest, string>();
  const checking = new Map<string, Promise<boolean>>();

  async function drop(digest: Digest, why: string): Promise<void> {
    verified.delete(digest);
    await rm(layout.blob(digest), { force: true, recursive: true }).catch(() => {
      // On a read-only disk it stays, and stays unused: it will be found wrong again.
    });
    onSpoilt(digest, why);
  }

  /** One check for all who open the same file at once. */
  function check(fd: number, stats: BigIntStats, digest: Digest): Promise<boolean> {
    const key = `${digest} ${identityOf(stats)}`;
    const running = checking.get(key);
    if (running) return running;
    const started = hasDigest(fd, Number(stats.size), digest).finally(() => checking.delete(key));
    checking.set(key, started);
    return started;
  }

  async function verify(fd: number, digest: Digest): Promise<number | undefined> {
    const stats = await statFile(fd, { bigint: true });
    const identity = identityOf(stats);
    if (verified.get(digest) === identity) return Number(stats.size);
    const flaw = flawOf(stats) ?? ((await check(fd, stats, digest)) ? undefined : 'wrong bytes');
    if (flaw !== undefined) {
      await drop(digest, flaw);
      return undefined;
    }
    verified.set(digest, identity);
    return Number(stats.size);
  }

  return {
    /** Undefined when it is not held, cannot be read, or was not what its digest says. */
    open: async (digest: Digest): Promise<OpenContent | undefined> => {
      let fd: number;
      try {
        // No symbolic link is followed: what the store wrote is a file.
        fd = await openFile(layout.blob(digest), constants.O_RDONLY | constants.O_NOFOLLOW);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ELOOP') await drop(digest, 'a symbolic link');
        return undefined;
      }
      const close = () => closeSync(fd);
      try {
        const sizeBytes = await verify(fd, digest);
        if (sizeBytes !== undefined) return { fd, sizeBytes, close };
      } catch (error) {
        onSpoilt(digest, `it cannot be read: ${(error as Error).message}`);
      }
      close();
      return undefined;
    },
    /** The bytes behind `fd` were checked while they were written. */
    trust: async (digest: Digest, fd: number): Promise<void> => {
      verified.set(digest, identityOf(await statFile(fd, { bigint: true })));
    },
    forget: (digest: Digest) => verified.delete(digest),
    drop,
  };
}

export type HeldFiles = ReturnType<typeof createHeldFiles>;
