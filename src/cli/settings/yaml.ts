import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError, whyUnreadable } from '../../lib/config-error.ts';
import type { ConfigSource } from '../../lib/config-source.ts';
import { readTextFile } from '../../lib/regular-file.ts';

/** Parses the text of a file. @throws {ConfigError} with the place of a syntax error */
export async function parseYaml(path: string, text: string): Promise<ConfigSource> {
  const { openYaml } = await import('../../lib/yaml-source.ts');
  return openYaml(path, text);
}

/** Reads one file. @throws {ConfigError} when it is unreadable, or is not YAML */
export async function readYaml(path: string): Promise<ConfigSource> {
  let text: string;
  try {
    text = await readTextFile(path);
  } catch (cause) {
    throw new ConfigError('unreadable', whyUnreadable(cause), {
      file: path,
      cause,
      nextStep: 'Name a file that is there and that this user may read.',
    });
  }
  return parseYaml(path, text);
}

export interface FolderOptions {
  /** True for a default folder, which need not exist. */
  readonly mayBeAbsent: boolean;
}

/**
 * Returns the paths of the YAML files in a folder, in the order of their names. Skips hidden and other files.
 * @throws {ConfigError}
 */
export async function yamlFilesIn(
  folder: string,
  { mayBeAbsent }: FolderOptions,
): Promise<readonly string[]> {
  try {
    const names = await readdir(folder);
    const files = names.filter((name) => /\.ya?ml$/.test(name) && !name.startsWith('.'));
    return files.sort().map((name) => join(folder, name));
  } catch (cause) {
    if (mayBeAbsent && (cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new ConfigError('unreadable', `cannot read the directory: ${whyUnreadable(cause, 'directory')}`, {
      file: folder,
      cause,
      nextStep: 'Name a directory that this user may read.',
    });
  }
}
