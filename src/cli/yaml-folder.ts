import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from './user-error.ts';
import { readYaml, type YamlFile } from './yaml-file.ts';

async function namesIn(folder: string, mayBeAbsent: boolean): Promise<readonly string[]> {
  try {
    const names = await readdir(folder);
    return names.filter((name) => /\.ya?ml$/.test(name) && !name.startsWith('.')).sort();
  } catch (error) {
    if (mayBeAbsent && (error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new UserError(`cannot read ${folder}: ${(error as Error).message}`, {
      cause: error,
      nextStep: 'Name a folder that this user may read.',
    });
  }
}

/**
 * The YAML files of a folder, in the order of their names; hidden ones and other files are skipped. A folder that is only
 * a default need not exist.
 * @throws {UserError}
 */
export async function readYamlFolder(
  folder: string,
  { mayBeAbsent }: { readonly mayBeAbsent: boolean },
): Promise<readonly YamlFile[]> {
  const names = await namesIn(folder, mayBeAbsent);
  return Promise.all(names.map((name) => readYaml(join(folder, name))));
}
