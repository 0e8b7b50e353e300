import { spawn } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { whyUnwritable } from '../../../lib/config-error.ts';
import { repeated } from '../../../lib/text.ts';
import { helpText } from '../../help-text.ts';
import type { SiteAddress } from '../../site-client.ts';
import { UserError } from '../../user-error.ts';
import { METAHUB_LOGINS } from './store-login.ts';

interface Flags {
  readonly user?: string;
  readonly as?: string;
  readonly oidc?: boolean;
  readonly enrol?: string;
  readonly authFile: string;
  readonly passwordStdin?: boolean;
  readonly runtime?: readonly RuntimeName[];
  readonly set?: readonly string[];
}

const EXAMPLES = helpText(
  [
    [
      'metahub login hub.example.org --user site',
      'detect this host, ask for the password, and log docker, podman and skopeo in',
    ],
    ['metahub login hub.example.org --as qnib-type1', 'log in as this machine type, without detection'],
    ['metahub login hub.example.org --oidc', 'log in as a person, in a browser'],
    [
      'metahub login hub.example.org --enrol metahub_enrol_…',
      'log in with the token that metahub machine enrol printed',
    ],
    ['pass show hub | metahub login hub.example.org --user site --password-stdin --runtime podman'],
  ],
  'Exit status: 0 every runtime is logged in, 1 no runtime is, 2 a wrong option, 3 some runtimes are.',
);

function collectRuntime(value: string, all: readonly RuntimeName[] = []): readonly RuntimeName[] {
  const runtime = RUNTIMES.find((name) => name === value);
  if (runtime === undefined) throw new InvalidArgumentError(`It is not one of ${RUNTIMES.join(', ')}.`);
  return [...all, runtime];
}

/** Adds the options and the action of `metahub login`. */
export function configure(command: Command): void {
  command
    .argument('<site>', 'host[:port] of the MetaHub site')
    .option('--user <account>', 'the account; detection chooses one of its machine types')
    .option('--as <login>', 'log in with this user name, without detection')
    .option('--oidc', 'log in as a person, at the site’s OpenID provider, in a browser on any machine')
    .option(
      '--enrol <token>',
      'use the one-time token of metahub machine enrol (-: read it from stdin), or the identity document of this instance’s cloud: aws, azure, gcp',
    )
    .option('--password-stdin', 'read the password from stdin')
    .option(
      '--auth-file <file>',
      'the file with the logins of the runtime metahub, a mirror on this node',
      METAHUB_LOGINS,
    )
    .option(
      '--runtime <name>',
      `log in only this runtime: ${RUNTIMES.join(', ')}; repeatable`,
      collectRuntime,
    )
    .option(
      '--set <feature>',
      'a feature that replaces all detected features of its kind; repeatable',
      repeated,
    )
    .addHelpText('after', EXAMPLES)
    .action(login);
}

async function login(site: string, flags: Flags): Promise<void> {
  const ways = [flags.user, flags.as, flags.oidc, flags.enrol].filter((way) => way !== undefined);
  if (ways.length !== 1) {
    const why = 'write exactly one of --user ACCOUNT, --as LOGIN, --oidc and --enrol TOKEN';
    throw new UserError(why, { exitStatus: 2 });
  }
  const { readSiteAddress } = await import('../../site-client.ts');
  const address = readSiteAddress(site);
  const runtimes = flags.runtime ?? (await installedRuntimes());
  if (runtimes.length === 0) {
    throw new UserError('neither docker nor podman nor skopeo is installed: there is nothing to log in', {
      nextStep: 'For a mirror on this node write --runtime metahub.',
    });
  }
  if (runtimes.includes('metahub')) await (await import('./store-login.ts')).demandWritable(flags.authFile);
  const { userName, password } = await credentialsFor(address, site, flags);
  const plainHttp = address.url.protocol === 'http:';
  const outcomes: [RuntimeName, LoginOutcome][] = [];
  // One after another, because podman and skopeo write the same file.
  for (const runtime of runtimes) {
    const credentials = { registry: address.registry, login: userName, password, plainHttp };
    outcomes.push([runtime, await logIn(runtime, credentials, flags)]);
  }
  report(address.registry, userName, outcomes);
}

interface LoginCredentials {
  readonly userName: string;
  readonly password: string;
}

/** Returns the credentials for the runtimes, in the way that the options request. */
async function credentialsFor(address: SiteAddress, site: string, flags: Flags): Promise<LoginCredentials> {
  const set = flags.set ?? [];
  if (flags.enrol !== undefined) {
    const [{ enrolAt }, secret] = await Promise.all([import('./enrol.ts'), enrolmentSecret(flags.enrol)]);
    const { login, token } = await enrolAt(address, secret);
    return { userName: login, password: token };
  }
  if (flags.oidc) {
    const { loginAtProvider } = await import('./oidc-login.ts');
    const { user, token } = await loginAtProvider(address, (text) => process.stderr.write(text));
    return { userName: await detectedLogin(site, user, token, set), password: token };
  }
  const { readPassword } = await import('../../password-input.ts');
  const password = await readPassword({
    fromStdin: flags.passwordStdin ?? false,
    what: `password of ${flags.as ?? flags.user} at ${address.registry}`,
    confirm: false,
  });
  return { userName: flags.as ?? (await detectedLogin(site, flags.user ?? '', password, set)), password };
}

/** Returns the secret; `-` reads it from stdin, because other users of the machine can see a command line. */
async function enrolmentSecret(written: string): Promise<string> {
  if (written !== '-') return written;
  const { readPassword } = await import('../../password-input.ts');
  return readPassword({ fromStdin: true, what: 'enrolment', confirm: false });
}

async function logIn(runtime: RuntimeName, login: RuntimeLogin, { authFile }: Flags): Promise<LoginOutcome> {
  if (runtime !== 'metahub') return loginRuntime(runtime, login);
  const { storeLogin } = await import('./store-login.ts');
  try {
    await storeLogin(authFile, login);
    return { kind: 'done' };
  } catch (error) {
    return { kind: 'failed', why: `${authFile}: ${whyUnwritable(error)}` };
  }
}

/** Returns the user name with which this host logs in to the site. */
async function detectedLogin(
  site: string,
  user: string,
  password: string,
  set: readonly string[],
): Promise<string> {
  const [{ readSiteAddress, fetchMachineTypes }, { chooseLogin }, { detectHost }] = await Promise.all([
    import('../../site-client.ts'),
    import('../../../site/login-choice.ts'),
    import('../../detect-host.ts'),
  ]);
  const [types, { profile }] = await Promise.all([
    fetchMachineTypes(readSiteAddress(site), user, password),
    detectHost({ set }),
  ]);
  const chosen = chooseLogin(types, profile);
  const why =
    chosen.kind === 'selector'
      ? 'no machine type equals this host, so the login names its features'
      : 'the machine type of this host';
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

/** Programs that store logins for registries, each by its own `login` command. */
const PROGRAMS = ['docker', 'podman', 'skopeo'] as const;
/** The programs, and `metahub`: a mirror on this node, which reads its logins from a file. */
export const RUNTIMES = [...PROGRAMS, 'metahub'] as const;
export type RuntimeName = (typeof RUNTIMES)[number];

export interface RuntimeLogin {
  /** `hub.example.org:5000`. */
  readonly registry: string;
  readonly login: string;
  /** Passed on stdin, never on a command line. */
  readonly password: string;
  /** True when the registry speaks plain HTTP. */
  readonly plainHttp: boolean;
}

export type LoginOutcome = { readonly kind: 'done' } | { readonly kind: 'failed'; readonly why: string };

/** Returns which of the runtimes are on the PATH. */
export async function installedRuntimes(path = process.env['PATH'] ?? ''): Promise<readonly RuntimeName[]> {
  const isThere = async (name: RuntimeName) => {
    const tries = path.split(delimiter).map((folder) => access(join(folder, name), constants.X_OK));
    return (await Promise.allSettled(tries)).some(({ status }) => status === 'fulfilled');
  };
  const found = await Promise.all(PROGRAMS.map(isThere));
  return PROGRAMS.filter((_, at) => found[at]);
}

function argumentsOf(runtime: RuntimeName, { registry, login, plainHttp }: RuntimeLogin): readonly string[] {
  // For docker, the daemon's insecure-registries decide. The other programs have an option.
  const clear = plainHttp && runtime !== 'docker' ? ['--tls-verify=false'] : [];
  return ['login', '--username', login, '--password-stdin', ...clear, registry];
}

/** Returns the program's error as one line. */
function errorOf(output: string, code: number | null): string {
  const lines = output.split('\n').map((line) => line.trim());
  return lines.filter((line) => line !== '').at(-1) ?? `it ended with status ${code ?? 'unknown'}`;
}

/** Logs in with one runtime. */
function loginRuntime(runtime: RuntimeName, login: RuntimeLogin): Promise<LoginOutcome> {
  return new Promise((resolve) => {
    const child = spawn(runtime, argumentsOf(runtime, login), { stdio: ['pipe', 'ignore', 'pipe'] });
    let output = '';
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      output = (output + chunk).slice(-4096);
    });
    // A program that ends without reading its stdin reports the reason by its exit status.
    child.stdin.on('error', () => {});
    child.stdin.end(login.password);
    child.once('error', (error) => resolve({ kind: 'failed', why: error.message }));
    child.once('close', (code) =>
      resolve(code === 0 ? { kind: 'done' } : { kind: 'failed', why: errorOf(output, code) }),
    );
  });
}
