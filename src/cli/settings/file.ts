import { join } from 'node:path';
import { ConfigError, whyUnreadable } from '../../lib/config-error.ts';
import type { ConfigSource } from '../../lib/config-source.ts';
import { readTextFileSync } from '../../lib/regular-file.ts';
import { homeDirectory } from './surroundings.ts';
import { parseYaml } from './yaml.ts';

export interface ConfigFile {
  readonly path: string | undefined;
  readonly content: Readonly<Record<string, unknown>>;
  readonly placeOf?: ConfigSource['placeOf'];
}

/** Returns the default configuration files: that of the service first, then the user's own. */
async function defaultPaths(): Promise<readonly string[]> {
  const ofService = '/etc/metahub/config.yaml';
  if (homeDirectory() === undefined) return [ofService];
  const { default: envPaths } = await import('env-paths');
  return [ofService, join(envPaths('metahub', { suffix: '' }).config, 'config.yaml')];
}

/**
 * Reads synchronously: during the start nothing else waits, and the thread pool would take several times as
 * long.
 */
function readIfThere(path: string): string | undefined {
  try {
    return readTextFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new ConfigError('unreadable', whyUnreadable(error), {
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
    throw new ConfigError('wrong-type', 'the file must contain settings, one “name: value” per line', {
      file: path,
      ...placeOf([]),
      nextStep: 'metahub config show lists them.',
    });
  }
  return { path, content: content as ConfigFile['content'], placeOf };
}

/**
 * Loads the configuration file: `named`, which must exist, or else the first default file that exists, or
 * none.
 */
export async function loadConfigFile(named: string | undefined): Promise<ConfigFile> {
  for (const path of named === undefined ? await defaultPaths() : [named]) {
    const text = readIfThere(path);
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

/**
 * Returns the configuration file to change: `named`, or else the first that exists, or else the default of
 * the user.
 */
export async function writablePath(named: unknown): Promise<string> {
  if (typeof named === 'string') return named;
  const paths = await defaultPaths();
  for (const path of paths) if (readIfThere(path) !== undefined) return path;
  const [ofService = '', ofUser = ofService] = paths;
  return process.getuid?.() === 0 ? ofService : ofUser;
}
