import { spawn } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { LRUCache } from 'lru-cache';
import { readTextFile } from '../../lib/regular-file.ts';
import { SingleFlight } from '../../lib/single-flight.ts';
import { DOCKER_HUB } from '../../oci/reference.ts';
import { type Credential, type Credentials, type DockerConfig, readDockerConfig } from './credentials.ts';

/** An answer is a few hundred bytes; a token of a cloud a few thousand. */
const ANSWER_MAX_BYTES = 64 * 1024;

/** The user name with which a helper marks its secret as a token to exchange, not a password. */
const TOKEN_USER = '<token>';

/** The name of the Hub's old index: Docker uses it when it asks helpers for the Hub. */
const HUB_SERVER = 'https://index.docker.io/v1/';

/**
 * The helpers' protocol has no code for a missing login, only this text. @see docker-credential-helpers,
 * credentials/error.go
 */
const NOT_FOUND = 'credentials not found';

export interface HelperOptions {
  readonly limitMs: number;
}

/** Why a helper gave no answer. */
class HelperError extends Error {
  override readonly name = 'HelperError';
  readonly code: 'not-found' | 'failed';

  constructor(code: HelperError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * Runs `docker-credential-NAME get` with the server's name on its standard input; resolves with its standard output.
 */
function runHelper(name: string, server: string, { limitMs }: HelperOptions): Promise<string> {
  const program = `docker-credential-${name}`;
  return new Promise((resolve, reject) => {
    const child = spawn(program, ['get'], {
      stdio: ['pipe', 'pipe', 'ignore'],
      // Alone: behind AbortSignal.any, Node 20 may drop it, and then it never fires.
      signal: AbortSignal.timeout(limitMs),
      killSignal: 'SIGKILL',
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (output.length > ANSWER_MAX_BYTES) child.kill('SIGKILL');
    });
    // A helper that does not read its input closes it; its exit status shows whether that matters.
    child.stdin.on('error', () => {});
    child.on('error', (cause) =>
      reject(new HelperError('failed', `${program} cannot be run: ${cause.message}`, { cause })),
    );
    child.on('close', (status) => {
      if (status === 0 && output.length <= ANSWER_MAX_BYTES) return resolve(output);
      const code = output.includes(NOT_FOUND) ? 'not-found' : 'failed';
      reject(new HelperError(code, `${program} failed with status ${status ?? 'none'}`));
    });
    child.stdin.end(server);
  });
}

/**
 * Asks a credential helper for a registry's login; undefined when it has none.
 * @throws {Error} that names the program when it cannot run, fails or answers nonsense; never with its output
 */
async function askHelper(
  name: string,
  registry: string,
  options: HelperOptions,
): Promise<Credential | undefined> {
  const server = registry === DOCKER_HUB ? HUB_SERVER : registry;
  let answer: unknown;
  try {
    answer = JSON.parse(await runHelper(name, server, options));
  } catch (error) {
    if (error instanceof HelperError && error.code === 'not-found') return undefined;
    if (error instanceof SyntaxError) throw new Error(`docker-credential-${name} did not answer in JSON`);
    throw error;
  }
  const { Username: username, Secret: secret } = (answer ?? {}) as { Username?: unknown; Secret?: unknown };
  if (typeof username !== 'string' || typeof secret !== 'string' || secret === '') return undefined;
  return username === TOKEN_USER
    ? { kind: 'identity', token: secret }
    : { kind: 'basic', username, password: secret };
}

export interface KeychainOptions {
  /** Files in docker's form, strongest first; a missing file is no error. */
  readonly files: readonly string[];
  /** Called for a file or a helper that cannot be used, once for each message; never with a secret. */
  readonly warn: (message: string) => void;
  readonly helperLimitMs?: number;
}

/** For how long a helper's answer is reused, in milliseconds: some helpers ask a cloud. */
const HELPER_MAX_AGE_MS = 60_000;
const FILE_MAX_BYTES = 1024 * 1024;

interface KnownFile {
  readonly version: string;
  readonly config: DockerConfig | undefined;
}

/** `quay.io/team/app`, `quay.io/team`, `quay.io`: the keys that a login may have, the most specific first. */
function keysOf(registry: string, repository: string): readonly string[] {
  const parts = [registry, ...repository.split('/')];
  return parts.map((_, cut) => parts.slice(0, parts.length - cut).join('/'));
}

/**
 * The logins that `docker login`, `podman login` and the operator have stored, read again when a file changes, and
 * those of credential helpers (`docker-credential-…`), asked when needed.
 */
export function createKeychain({ files, warn, helperLimitMs = 10_000 }: KeychainOptions): Credentials {
  const known = new Map<string, KnownFile>();
  const looks = new SingleFlight<DockerConfig | undefined>();
  const warned = new Set<string>();
  const answers = new LRUCache<string, Promise<Credential | undefined>>({
    ...{ max: 100, ttl: HELPER_MAX_AGE_MS, ttlResolution: 0 },
  });

  function warnOnce(message: string): void {
    if (warned.has(message)) return;
    warned.add(message);
    warn(message);
  }

  /** Concurrent requests share one look at a file. */
  const configOf = (path: string) => looks.share(path, undefined, () => readConfig(path));

  async function readConfig(path: string): Promise<DockerConfig | undefined> {
    try {
      const { mtimeMs, size, ino } = await stat(path);
      const version = `${mtimeMs} ${size} ${ino}`;
      const before = known.get(path);
      if (before?.version === version) return before.config;
      if (size > FILE_MAX_BYTES) throw new Error('it is too large');
      const config = readDockerConfig(JSON.parse(await readTextFile(path, { maxBytes: FILE_MAX_BYTES })));
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
    // Only a new answer: one that is used often must expire too.
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
    const fromProgram = helper === undefined ? undefined : await fromHelper(helper, registry);
    return fromProgram ?? config.logins.get(registry);
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
