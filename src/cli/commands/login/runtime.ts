import { spawn } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

/** Programs that keep logins for registries, each by its own `login` command. */
export const RUNTIMES = ['docker', 'podman', 'skopeo'] as const;
export type RuntimeName = (typeof RUNTIMES)[number];

export interface RuntimeLogin {
  /** `hub.example.org:5000`. */
  readonly registry: string;
  readonly login: string;
  /** Handed over on stdin: never on a command line. */
  readonly password: string;
  /** The registry speaks plain HTTP. */
  readonly plainHttp: boolean;
}

export type LoginOutcome = { readonly kind: 'done' } | { readonly kind: 'failed'; readonly why: string };

/** Which of the runtimes are on the PATH. */
export async function installedRuntimes(path = process.env['PATH'] ?? ''): Promise<readonly RuntimeName[]> {
  const isThere = async (name: RuntimeName) => {
    const tries = path.split(delimiter).map((folder) => access(join(folder, name), constants.X_OK));
    return (await Promise.allSettled(tries)).some(({ status }) => status === 'fulfilled');
  };
  const found = await Promise.all(RUNTIMES.map(isThere));
  return RUNTIMES.filter((_, at) => found[at]);
}

function argumentsOf(runtime: RuntimeName, { registry, login, plainHttp }: RuntimeLogin): readonly string[] {
  // For docker its daemon's insecure-registries decide; the others take an option.
  const clear = plainHttp && runtime !== 'docker' ? ['--tls-verify=false'] : [];
  return ['login', '--username', login, '--password-stdin', ...clear, registry];
}

/** The program's error, on one line. */
function errorOf(output: string, code: number | null): string {
  const lines = output.split('\n').map((line) => line.trim());
  return lines.filter((line) => line !== '').at(-1) ?? `it ended with status ${code ?? 'unknown'}`;
}

/** Logs one runtime in. */
export function loginRuntime(runtime: RuntimeName, login: RuntimeLogin): Promise<LoginOutcome> {
  return new Promise((resolve) => {
    const child = spawn(runtime, argumentsOf(runtime, login), { stdio: ['pipe', 'ignore', 'pipe'] });
    let output = '';
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      output = (output + chunk).slice(-4096);
    });
    // When a program ends without reading its stdin, its exit status says so.
    child.stdin.on('error', () => {});
    child.stdin.end(login.password);
    child.once('error', (error) => resolve({ kind: 'failed', why: error.message }));
    child.once('close', (code) =>
      resolve(code === 0 ? { kind: 'done' } : { kind: 'failed', why: errorOf(output, code) }),
    );
  });
}
