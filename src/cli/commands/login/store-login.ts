import { constants, existsSync } from 'node:fs';
import { access } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { makeDirectory } from '../../../lib/atomic-file.ts';
import { ConfigError, whyUnwritable } from '../../../lib/config-error.ts';
import { writeConfigFile } from '../../../lib/config-file.ts';
import { readTextFile } from '../../../lib/regular-file.ts';

/** The file in which `metahub serve` finds logins that an operator gave to it. */
export const METAHUB_LOGINS = '/etc/metahub/auth.json';

async function readJson(path: string): Promise<Record<string, unknown>> {
  let text: string;
  try {
    text = await readTextFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw error;
  }
  const document = parseJson(text);
  if (typeof document === 'object' && document !== null) return document as Record<string, unknown>;
  throw new ConfigError('syntax', 'it is not a JSON object', {
    file: path,
    nextStep: 'Correct the file, or move it away.',
  });
}

/** Undefined: it is not JSON. The message of JSON.parse would quote the file, secrets included. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Returns the path itself, or its nearest parent that exists. */
function existing(path: string): string {
  return existsSync(path) ? path : existing(dirname(path));
}

/**
 * Checks that a login can be stored, before a one-time token is used for it.
 * @throws {ConfigError} when the file has other content, or this user may not write it
 */
export async function demandWritable(path: string): Promise<void> {
  try {
    await access(existing(resolve(path)), constants.W_OK);
  } catch (cause) {
    throw new ConfigError('read-only', whyUnwritable(cause), {
      ...{ file: path, cause },
      nextStep: 'Run it as root (sudo), or name a file with --auth-file FILE.',
    });
  }
  await readJson(path);
}

/** Adds a login to a file in docker's form and keeps the others. Only its owner may read the file. */
export async function storeLogin(
  path: string,
  {
    registry,
    login,
    password,
  }: { readonly registry: string; readonly login: string; readonly password: string },
): Promise<void> {
  const document = await readJson(path);
  const auth = Buffer.from(`${login}:${password}`).toString('base64');
  const auths = { ...(document['auths'] as object | undefined), [registry]: { auth } };
  await makeDirectory(dirname(path), 0o755);
  const text = `${JSON.stringify({ ...document, auths }, undefined, 2)}\n`;
  await writeConfigFile(path, text, { mode: 0o600, isSecret: true });
}
