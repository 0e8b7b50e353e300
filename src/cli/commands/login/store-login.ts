import { dirname } from 'node:path';
import { makeDirectory } from '../../../lib/atomic-file.ts';
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
  const document: unknown = JSON.parse(text);
  if (typeof document !== 'object' || document === null) throw new Error(`${path} holds no logins`);
  return document as Record<string, unknown>;
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
