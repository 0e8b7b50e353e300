import { readFile, stat } from 'node:fs/promises';
import { LRUCache } from 'lru-cache';
import { askHelper } from './credential-helper.ts';
import type { Credential, Credentials } from './credentials.ts';
import { type DockerConfig, readDockerConfig } from './docker-config.ts';

export interface KeychainOptions {
  /** Files in docker's form, strongest first; absent ones are no fault. */
  readonly files: readonly string[];
  /** Told of a file or a helper that cannot be used, once for each message; never a secret. */
  readonly warn: (message: string) => void;
  readonly helperLimitMs?: number;
}

/** For how long a helper's answer is used without asking again, in milliseconds: some of them ask a cloud. */
const HELPER_MAX_AGE_MS = 60_000;
const FILE_MAX_BYTES = 1024 * 1024;

interface KnownFile {
  readonly version: string;
  readonly config: DockerConfig | undefined;
}

/** `quay.io/team/app`, `quay.io/team`, `quay.io`: the keys a login may have, the most specific first. */
function keysOf(registry: string, repository: string): readonly string[] {
  const parts = [registry, ...repository.split('/')];
  return parts.map((_, cut) => parts.slice(0, parts.length - cut).join('/'));
}

/**
 * The logins that `docker login`, `podman login` and the operator have stored, read again when a file changes, and those of
 * credential helpers (`docker-credential-…`), asked when needed.
 */
export function createKeychain({ files, warn, helperLimitMs = 10_000 }: KeychainOptions): Credentials {
  const known = new Map<string, KnownFile>();
  const warned = new Set<string>();
  const answers = new LRUCache<string, Promise<Credential | undefined>>({ max: 100, ttl: HELPER_MAX_AGE_MS });

  function warnOnce(message: string): void {
    if (warned.has(message)) return;
    warned.add(message);
    warn(message);
  }

  async function configOf(path: string): Promise<DockerConfig | undefined> {
    try {
      const { mtimeMs, size, ino } = await stat(path);
      const version = `${mtimeMs} ${size} ${ino}`;
      const before = known.get(path);
      if (before?.version === version) return before.config;
      if (size > FILE_MAX_BYTES) throw new Error('it is too large');
      const config = readDockerConfig(JSON.parse(await readFile(path, 'utf8')));
      known.set(path, { version, config });
      return config;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      const why = error instanceof SyntaxError ? 'it is not JSON' : (error as Error).message;
      warnOnce(`the logins in ${path} cannot be read: ${why}`);
      return undefined;
    }
  }

  async function fromHelper(name: string, registry: string): Promise<Credential | undefined> {
    const key = `${name} ${registry}`;
    const known = answers.get(key);
    const asked = known ?? askHelper(name, registry, { limitMs: helperLimitMs });
    // Only a new one: what is used often must grow old, too.
    if (known === undefined) answers.set(key, asked);
    try {
      return await asked;
    } catch (error) {
      answers.delete(key);
      warnOnce((error as Error).message);
      return undefined;
    }
  }

  async function find(
    config: DockerConfig,
    registry: string,
    keys: readonly string[],
  ): Promise<Credential | undefined> {
    const key = keys.find((candidate) => config.logins.has(candidate));
    if (key !== undefined && key !== registry) return config.logins.get(key);
    const helper = config.helpers.get(registry) ?? config.defaultHelper;
    const told = helper === undefined ? undefined : await fromHelper(helper, registry);
    return told ?? config.logins.get(registry);
  }

  return {
    async loginFor(registry, repository) {
      const keys = keysOf(registry, repository);
      for (const path of files) {
        const config = await configOf(path);
        const login = config && (await find(config, registry, keys));
        if (login !== undefined) return login;
      }
      return undefined;
    },
  };
}
