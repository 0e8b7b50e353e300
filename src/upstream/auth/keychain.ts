import { spawn } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { LRUCache } from 'lru-cache';
import { readTextFile } from '../../lib/regular-file.ts';
import { SingleFlight } from '../../lib/single-flight.ts';
import { DOCKER_HUB } from '../../oci/reference.ts';
import {
  type Credential,
  type Credentials,
  type DockerConfig,
  NO_CREDENTIALS,
  readDockerConfig,
} from './credentials.ts';

/** Limit of a helper's output. A password is a few hundred bytes, a cloud's token a few thousand. */
const ANSWER_MAX_BYTES = 64 * 1024;

/** The user name by which a helper says that its secret is an identity token, not a password. */
const TOKEN_USER = '<token>';

/** The server name of Docker Hub in the helpers' protocol: the URL of its old index. */
const HUB_SERVER = 'https://index.docker.io/v1/';

/**
 * The helpers' protocol has no code for a missing login, only this text.
 * @see https://github.com/docker/docker-credential-helpers/blob/master/credentials/error.go
 */
const NOT_FOUND = 'credentials not found';

export interface HelperOptions {
  readonly limitMs: number;
}

/** A helper returned no login. */
class HelperError extends Error {
  override readonly name = 'HelperError';
  readonly code: 'not-found' | 'failed';

  constructor(code: HelperError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Runs `docker-credential-NAME get` with the server name on standard input. Resolves with its standard output. */
function runHelper(name: string, server: string, { limitMs }: HelperOptions): Promise<string> {
  const program = `docker-credential-${name}`;
  return new Promise((resolve, reject) => {
    const child = spawn(program, ['get'], {
      stdio: ['pipe', 'pipe', 'ignore'],
      // Not combined with another signal: Node.js 20 may garbage-collect the result of AbortSignal.any, which
      // then never fires.
      signal: AbortSignal.timeout(limitMs),
      killSignal: 'SIGKILL',
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (output.length > ANSWER_MAX_BYTES) child.kill('SIGKILL');
    });
    // A helper may close its input without reading it. Its exit status tells whether it failed.
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
 * Asks a credential helper for the login of a registry. Undefined when it has none.
 * @throws {Error} when the program cannot run, fails, or does not answer with JSON; the message names the
 * program and never contains its output
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
  /** Files in Docker's format, the most preferred first. A missing file is no error. */
  readonly files: readonly string[];
  /** Called when a file or a helper cannot be used, once for each message. The message contains no secret. */
  readonly warn: (message: string) => void;
  readonly helperLimitMs?: number;
}

/** How long a helper's answer is reused, in milliseconds: some helpers ask a cloud service. */
const HELPER_MAX_AGE_MS = 60_000;
const FILE_MAX_BYTES = 1024 * 1024;

interface KnownFile {
  readonly version: string;
  readonly config: DockerConfig | undefined;
}

/**
 * The keys that a login may be stored under, the most specific first: `quay.io/team/app`, `quay.io/team`,
 * `quay.io`.
 */
function keysOf(registry: string, repository: string): readonly string[] {
  const parts = [registry, ...repository.split('/')];
  return parts.map((_, cut) => parts.slice(0, parts.length - cut).join('/'));
}

/** Logins in files. */
export interface StoredLogins extends Credentials {
  /** Reads the files for the last time: what they contain now remains, whatever this process may read later. */
  readFinally(): Promise<void>;
}

/** Reads files in Docker's format, and each again when it has changed. */
class ConfigFiles {
  readonly #known = new Map<string, KnownFile>();
  readonly #looks = new SingleFlight<DockerConfig | undefined>();
  readonly #warn: (message: string) => void;
  #isFinal = false;

  constructor(warn: (message: string) => void) {
    this.#warn = warn;
  }

  /** Concurrent requests share one read of a file. Undefined when there is none, or it cannot be read. */
  configOf(path: string): Promise<DockerConfig | undefined> {
    if (this.#isFinal) return Promise.resolve(this.#known.get(path)?.config);
    return this.#looks.share(path, undefined, () => this.#read(path));
  }

  async readFinally(files: readonly string[]): Promise<void> {
    await Promise.all(files.map((path) => this.configOf(path)));
    this.#isFinal = true;
  }

  async #read(path: string): Promise<DockerConfig | undefined> {
    try {
      const { mtimeMs, size, ino } = await stat(path);
      const version = `${mtimeMs} ${size} ${ino}`;
      const before = this.#known.get(path);
      if (before?.version === version) return before.config;
      if (size > FILE_MAX_BYTES) throw new Error('it is too large');
      const config = readDockerConfig(JSON.parse(await readTextFile(path, { maxBytes: FILE_MAX_BYTES })));
      this.#known.set(path, { version, config });
      return config;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      const why = error instanceof SyntaxError ? 'it is not JSON' : (error as Error).message;
      this.#warn(`the logins in ${path} cannot be read: ${why}`);
      return undefined;
    }
  }
}

/**
 * The logins that `docker login`, `podman login` and the operator have stored. A file is read again when it
 * changes; credential helpers (`docker-credential-…`) are asked when needed.
 */
export function createKeychain({ files, warn, helperLimitMs = 10_000 }: KeychainOptions): StoredLogins {
  const warned = new Set<string>();
  const configs = new ConfigFiles(warnOnce);
  const answers = new LRUCache<string, Promise<Credential | undefined>>({
    ...{ max: 100, ttl: HELPER_MAX_AGE_MS, ttlResolution: 0 },
  });

  function warnOnce(message: string): void {
    if (warned.has(message)) return;
    warned.add(message);
    warn(message);
  }

  async function fromHelper(name: string, registry: string): Promise<Credential | undefined> {
    const key = `${name} ${registry}`;
    const known = answers.get(key);
    const asked = known ?? askHelper(name, registry, { limitMs: helperLimitMs });
    // Setting it again would renew its lifetime: an answer in frequent use would never expire.
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
        const config = await configs.configOf(path);
        const login = config && (await find(config, registry, keys));
        if (login !== undefined) return login;
      }
      return undefined;
    },
    readFinally: () => configs.readFinally(files),
  };
}

/** Which stored logins may be presented: all, only those that an operator gave to the mirror, or none. */
export type OwnLogins = 'all' | 'given' | 'none';

/** Files in which logins are stored. */
export interface LoginFiles {
  /**
   * Logins that an operator gave to the mirror: in its folder, by systemd's credentials, or by
   * REGISTRY_AUTH_FILE.
   */
  readonly given: readonly string[];
  /** Logins of the user that the mirror runs as. */
  readonly ofUser: readonly string[];
}

export interface KeychainsOptions extends LoginFiles, Pick<KeychainOptions, 'warn'> {
  /** Which of them may be presented: read for each request, because it changes with the listening address. */
  readonly own: { readonly usable: OwnLogins };
}

/**
 * Uses the stored logins, or those of the file that the login of a request names: never one instead of the
 * other.
 */
export function createKeychains({ given, ofUser, own, warn }: KeychainsOptions): StoredLogins {
  const stored = {
    all: createKeychain({ files: [...given, ...ofUser], warn }),
    given: createKeychain({ files: given, warn }),
    none: NO_CREDENTIALS,
  };
  const brought = new LRUCache<string, Credentials>({ max: 256 });
  function broughtBy(file: string): Credentials {
    const known = brought.get(file) ?? createKeychain({ files: [file], warn });
    brought.set(file, known);
    return known;
  }
  return {
    loginFor: (registry, repository, signal, access) => {
      const keychain = access?.logins === undefined ? stored[own.usable] : broughtBy(access.logins);
      return keychain.loginFor(registry, repository, signal);
    },
    readFinally: async () => {
      await Promise.all([stored.all.readFinally(), stored.given.readFinally()]);
    },
  };
}
