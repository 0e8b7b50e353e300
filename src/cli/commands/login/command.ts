import { type Command, InvalidArgumentError } from 'commander';
import { repeated } from '../../../lib/text.ts';
import { helpText } from '../../help-text.ts';
import { UserError } from '../../user-error.ts';
import { type LoginOutcome, RUNTIMES, type RuntimeName } from './runtime.ts';

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
  const [{ readSiteAddress }, { installedRuntimes, loginRuntime }, { readPassword }] = await Promise.all([
    import('./site-client.ts'),
    import('./runtime.ts'),
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
