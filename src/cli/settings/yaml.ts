import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError } from '../../lib/config-error.ts';
import type { ConfigSource } from '../../lib/config-source.ts';

/** Parses a file's text. @throws {ConfigError} with the place where it is no YAML */
export async function parseYaml(path: string, text: string): Promise<ConfigSource> {
  const { openYaml } = await import('../../lib/yaml-source.ts');
  return openYaml(path, text);
}

/** Reads one file. @throws {ConfigError} when it cannot be read, or is no YAML */
export async function readYaml(path: string): Promise<ConfigSource> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new ConfigError('unreadable', (cause as Error).message, {
      file: path,
      cause,
      nextStep: 'Name a file that is there and that this user may read.',
    });
  }
  return parseYaml(path, text);
}

async function namesIn(folder: string, mayBeAbsent: boolean): Promise<readonly string[]> {
  try {
    const names = await readdir(folder);
    return names.filter((name) => /\.ya?ml$/.test(name) && !name.startsWith('.')).sort();
  } catch (cause) {
    if (mayBeAbsent && (cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new ConfigError('unreadable', `cannot read the folder: ${(cause as Error).message}`, {
      file: folder,
      cause,
      nextStep: 'Name a folder that this user may read.',
    });
  }
}

/**
 * The YAML files of a folder, in the order of their names; hidden ones and other files are skipped. A folder that is only
 * a default need not exist.
 * @throws {ConfigError}
 */
export async function readYamlFolder(
  folder: string,
  { mayBeAbsent }: { readonly mayBeAbsent: boolean },
): Promise<readonly ConfigSource[]> {
  const names = await namesIn(folder, mayBeAbsent);
  return Promise.all(names.map((name) => readYaml(join(folder, name))));
}
