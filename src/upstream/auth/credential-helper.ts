import { spawn } from 'node:child_process';
import { DOCKER_HUB } from '../../oci/reference.ts';
import type { Credential } from './credentials.ts';

/** An answer is a few hundred bytes; a token of a cloud a few thousand. */
const ANSWER_MAX_BYTES = 64 * 1024;

/** By which a helper says that its secret is a token to be exchanged, not a password. */
const TOKEN_USER = '<token>';

/** Docker asks helpers for the Hub by the name of its old index. */
const HUB_SERVER = 'https://index.docker.io/v1/';

/** What every helper prints when it has nothing for a server. @see docker-credential-helpers, credentials/error.go */
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

/** `docker-credential-NAME get` with the server's name on its standard input: its standard output, or why not. */
function runHelper(name: string, server: string, { limitMs }: HelperOptions): Promise<string> {
  const program = `docker-credential-${name}`;
  return new Promise((resolve, reject) => {
    const child = spawn(program, ['get'], {
      stdio: ['pipe', 'pipe', 'ignore'],
      // By itself: behind AbortSignal.any, Node 20 may let go of it, and then it never fires.
      signal: AbortSignal.timeout(limitMs),
      killSignal: 'SIGKILL',
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (output.length > ANSWER_MAX_BYTES) child.kill('SIGKILL');
    });
    // A helper that does not read its input closes it; its status tells what it made of that.
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
 * Asks a credential helper for a registry's login; nothing when it has none.
 * @throws {Error} that names the program when it cannot be run, fails or answers nonsense; never with its output.
 * @see https://github.com/docker/docker-credential-helpers#development
 */
export async function askHelper(
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
