import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

const KEY_BYTES = 32;

/** A key for this process only: tokens end with it. */
export function randomTokenKey(): Uint8Array {
  return randomBytes(KEY_BYTES);
}

async function readKey(path: string): Promise<Uint8Array | undefined> {
  try {
    const key = Buffer.from((await readFile(path, 'utf8')).trim(), 'base64');
    if (key.length < KEY_BYTES)
      throw new Error(`${path} holds no key of ${KEY_BYTES} bytes in base64; remove it`);
    return key;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Whole or not at all, and never over another's: two replicas that start together end up with one key. */
async function writeKey(path: string, key: Uint8Array): Promise<void> {
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(`${Buffer.from(key).toString('base64')}\n`);
    await file.sync();
    await file.close();
    await link(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await file.close();
    await rm(temporary, { force: true });
  }
}

/**
 * The key that tokens are signed with, made at first (mode 0600). Replicas behind one load balancer share the file.
 * @throws {Error} naming the file when it cannot be read, made, or holds no key.
 */
export async function loadTokenKey(path: string): Promise<Uint8Array> {
  const known = await readKey(path);
  if (known) return known;
  // One directory at the most: with `recursive` Node never returns in a file system that takes none, such as /proc.
  await mkdir(dirname(path), { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  await writeKey(path, randomTokenKey());
  const key = await readKey(path);
  if (key === undefined) throw new Error(`${path} vanished while it was made`);
  return key;
}
