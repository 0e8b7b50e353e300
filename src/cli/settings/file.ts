import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError } from '../../lib/config-error.ts';
import type { ConfigSource } from '../../lib/config-source.ts';
import { homeDirectory } from './surroundings.ts';
import { parseYaml } from './yaml.ts';

export interface ConfigFile {
  readonly path: string | undefined;
  readonly content: Readonly<Record<string, unknown>>;
  readonly placeOf?: ConfigSource['placeOf'];
}

/** Where a configuration file is looked for when none is named: the service's first, then the user's own. */
async function defaultPaths(): Promise<readonly string[]> {
  const ofService = '/etc/metahub/config.yaml';
  if (homeDirectory() === undefined) return [ofService];
  const { default: envPaths } = await import('env-paths');
  return [ofService, join(envPaths('metahub', { suffix: '' }).config, 'config.yaml')];
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new ConfigError('unreadable', (error as Error).message, {
      file: path,
      cause: error,
      nextStep: 'Make it readable for this user, or name another with --config FILE.',
    });
  }
}

async function parseSettings(path: string, text: string): Promise<ConfigFile> {
  const { content, placeOf } = await parseYaml(path, text);
  if (content === null || content === undefined) return { path, content: {} };
  if (typeof content !== 'object' || Array.isArray(content)) {
    throw new ConfigError('wrong-type', 'the file must hold settings, one “name: value” a line', {
      file: path,
      ...placeOf([]),
      nextStep: 'metahub config show lists them.',
    });
  }
  return { path, content: content as ConfigFile['content'], placeOf };
}

/** The configuration file: `named`, which must exist, or the first default that does, or nothing. */
export async function loadConfigFile(named: string | undefined): Promise<ConfigFile> {
  for (const path of named === undefined ? await defaultPaths() : [named]) {
    const text = await readIfThere(path);
    if (text !== undefined) return parseSettings(path, text);
  }
  if (named !== undefined) {
    throw new ConfigError('unreadable', 'there is no such file', {
      file: named,
      nextStep: 'Leave --config out to use the defaults.',
    });
  }
  return { path: undefined, content: {} };
}

/** The configuration file that a change goes to: `named`, else the first that is there, else where this user's would be. */
export async function writablePath(named: unknown): Promise<string> {
  if (typeof named === 'string') return named;
  const paths = await defaultPaths();
  for (const path of paths) if ((await readIfThere(path)) !== undefined) return path;
  const [ofService = '', ofUser = ofService] = paths;
  return process.getuid?.() === 0 ? ofService : ofUser;
}
