import { spawn } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { repeated } from '../../../lib/text.ts';
import { helpText } from '../../help-text.ts';
import { UserError } from '../../user-error.ts';

interface Flags {
  readonly user?: string;
  readonly as?: string;
  readonly passwordStdin?: boolean;
  readonly runtime?: readonly RuntimeName[];
  readonly set?: readonly string[];
}

const EXAMPLES = helpText(
  [
    [
      'metahub login hub.example.org --user site',
      'detects, asks for the password, logs docker, podman and skopeo in',
    ],
    ['metahub login hub.example.org --as qnib-type1', 'as a machine type that is known'],
    ['pass show hub | metahub login hub.example.org --user site --password-stdin --runtime podman'],
  ],
  'Exit status: 0 every runtime is logged in, 1 none is, 2 a wrong option, 3 some are.',
);

function collectRuntime(value: string, all: readonly RuntimeName[] = []): readonly RuntimeName[] {
  const runtime = RUNTIMES.find((name) => name === value);
  if (runtime === undefined) throw new InvalidArgumentError(`It is none of ${RUNTIMES.join(', ')}.`);
  return [...all, runtime];
}

/** Adds the options and the action of `metahub login`. */
export function configure(command: Command): void {
  command
    .argument('<site>', 'host[:port] of a MetaHub that serves machine types')
    .option('--user <account>', 'the account whose machine types there are to choose from')
    .option('--as <login>', 'this user name, whatever is detected')
    .option('--password-stdin', 'read the password from stdin')
    .option('--runtime <name>', `only this one: ${RUNTIMES.join(', ')}; repeatable`, collectRuntime)
    .option(
      '--set <feature>',
      'assume a feature; replaces what was detected of its kind; repeatable',
      repeated,
    )
    .addHelpText('after', EXAMPLES)
    .action(login);
}

async function login(site: string, flags: Flags): Promise<void> {
  if ((flags.user === undefined) === (flags.as === undefined)) {
    throw new UserError('name the account with --user, or the login itself with --as', { exitStatus: 2 });
  }
  const [{ readSiteAddress }, { readPassword }] = await Promise.all([
    import('./site-client.ts'),
    import('../../password-input.ts'),
  ]);
  const address = readSiteAddress(site);
  const runtimes = flags.runtime ?? (await installedRuntimes());
  if (runtimes.length === 0) {
    throw new UserError('neither docker nor podman nor skopeo is installed: there is nothing to log in');
  }
  const password = await readPassword({
    fromStdin: flags.passwordStdin ?? false,
    what: `password of ${flags.as ?? flags.user} at ${address.registry}`,
    confirm: false,
  });
  const userName = flags.as ?? (await detectedLogin(site, flags.user ?? '', password, flags.set ?? []));
  const plainHttp = address.url.protocol === 'http:';
  const outcomes: [RuntimeName, LoginOutcome][] = [];
  // One after the other: podman and skopeo write the same file.
  for (const runtime of runtimes) {
    const credentials = { registry: address.registry, login: userName, password, plainHttp };
    outcomes.push([runtime, await loginRuntime(runtime, credentials)]);
  }
  report(address.registry, userName, outcomes);
}

/** What this host is, as the site's user name for it. */
async function detectedLogin(
  site: string,
  user: string,
  password: string,
  set: readonly string[],
): Promise<string> {
  const [{ readSiteAddress, fetchMachineTypes }, { chooseLogin }, { detectHost }] = await Promise.all([
    import('./site-client.ts'),
    import('../../../site/login-choice.ts'),
    import('../../detect-host.ts'),
  ]);
  const [types, { profile }] = await Promise.all([
    fetchMachineTypes(readSiteAddress(site), user, password),
    detectHost({ set }),
  ]);
  const chosen = chooseLogin(types, profile);
  const why =
    chosen.kind === 'selector' ? 'no machine type is this host: it describes itself' : 'its machine type';
  process.stdout.write(`this host logs in as ${chosen.login} (${why})\n`);
  return chosen.login;
}

function report(registry: string, userName: string, outcomes: readonly [RuntimeName, LoginOutcome][]): void {
  const failed = outcomes.filter(([, { kind }]) => kind === 'failed');
  for (const [runtime, outcome] of outcomes) {
    if (outcome.kind === 'done')
      process.stdout.write(`${runtime} is logged in to ${registry} as ${userName}\n`);
    else process.stderr.write(`metahub: ${runtime} is not logged in: ${outcome.why}\n`);
  }
  if (failed.length > 0) process.exitCode = failed.length === outcomes.length ? 1 : 3;
}

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
