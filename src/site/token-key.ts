import { randomBytes } from 'node:crypto';
import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { replaceFile } from '../lib/atomic-file.ts';

const KEY_BYTES = 32;

/** The key file cannot be trusted: a user who reads or replaces the key can sign tokens for every account. */
export class TokenKeyError extends Error {
  override readonly name = 'TokenKeyError';
  readonly path: string;

  constructor(path: string, why: string) {
    super(`${path} ${why}`);
    this.path = path;
  }
}

/** A key for this process only: its tokens end with it. */
export function randomTokenKey(): Uint8Array {
  return randomBytes(KEY_BYTES);
}

interface Ownership {
  readonly uid: number;
  readonly mode: number;
}

/**
 * Why a file of this owner and mode cannot be trusted. It has to be this user's own, for no one else; or root's, which a
 * group may read: so secrets are mounted into a container.
 */
export function keyFileProblem({ uid, mode }: Ownership, ownUid: number): string | undefined {
  const permissions = (mode & 0o777).toString(8).padStart(4, '0');
  if (uid !== ownUid && uid !== 0) return `belongs to another user (uid ${uid})`;
  const forbidden = uid === ownUid ? 0o077 : 0o027;
  return (mode & forbidden) === 0 ? undefined : `has mode ${permissions}: others may read or change it`;
}

async function readKey(path: string): Promise<Uint8Array | undefined> {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (file === undefined) return undefined;
  try {
    const ownUid = process.geteuid?.();
    const problem = ownUid === undefined ? undefined : keyFileProblem(await file.stat(), ownUid);
    if (problem !== undefined) throw new TokenKeyError(path, problem);
    const key = Buffer.from((await file.readFile('utf8')).trim(), 'base64');
    if (key.length < KEY_BYTES) throw new TokenKeyError(path, `holds no key of ${KEY_BYTES} bytes in base64`);
    return key;
  } finally {
    await file.close();
  }
}

/**
 * The key that tokens are signed with, made at first (mode 0600). Replicas behind one load balancer share the file.
 * @throws {TokenKeyError} when the file holds no key, or others may read or change it.
 * @throws {Error} naming the file when it cannot be read or made.
 */
export async function loadTokenKey(path: string): Promise<Uint8Array> {
  const known = await readKey(path);
  if (known) return known;
  // One directory at the most: with `recursive` Node never returns in a file system that takes none, such as /proc.
  await mkdir(dirname(path), { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  const text = `${Buffer.from(randomTokenKey()).toString('base64')}\n`;
  // Of two replicas that start together, one makes the key and both use it.
  await replaceFile(path, Buffer.from(text), { mode: 0o600, onlyIfAbsent: true });
  const key = await readKey(path);
  if (key === undefined) throw new Error(`${path} vanished while it was made`);
  return key;
}
