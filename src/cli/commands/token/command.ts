import type { Command } from 'commander';
import { check } from '../../../lib/schema.ts';
import { repeated, tableText } from '../../../lib/text.ts';
import type { Account } from '../../../site/account.ts';
import { helpText } from '../../help-text.ts';
import { DurationMs } from '../../settings/values.ts';
import { UserError } from '../../user-error.ts';
import { machinesOption, withAdmin } from '../machine/admin.ts';

interface Flags {
  readonly machines: string;
  readonly json?: boolean;
}

interface CreateFlags extends Flags {
  readonly expires: string;
  readonly repository?: readonly string[];
  readonly push?: boolean;
}

const EXAMPLES = {
  group: helpText(
    [
      ['metahub token create qnib ci', 'prints a token that logs in as qnib, or as a machine type of qnib'],
      ['metahub token list'],
      ['metahub token revoke qnib ci'],
    ],
    'A token is a password for programs: docker login --username qnib --password-stdin.',
  ),
  create: helpText([
    ['metahub token create qnib ci', 'valid for 90 days'],
    ['metahub token create qnib ci --expires 365d --repository "lab/*"', 'and for some repositories only'],
    ['metahub token create qnib ci | docker login hub.example.org --username qnib --password-stdin'],
  ]),
  list: helpText([['metahub token list'], ['metahub token list --json']]),
  revoke: helpText([['metahub token revoke qnib ci', 'within a second it opens nothing any more']]),
} as const;

/** Undefined for `never`. @throws {UserError} */
function expiryOf(text: string): Date | undefined {
  if (text === 'never') return undefined;
  const { output: durationMs = 0 } = check(DurationMs, text);
  if (durationMs > 0) return new Date(Date.now() + durationMs);
  throw new UserError(`--expires: “${text}” is no time to live: write 90d, 12h or never`, { exitStatus: 2 });
}

async function create(user: string, name: string, flags: CreateFlags): Promise<void> {
  const expires = expiryOf(flags.expires);
  const { createAccessToken } = await import('../../../site/account.ts');
  const { text, sha256 } = createAccessToken();
  await withAdmin(flags.machines, (admin) =>
    admin.addToken(user, { name, sha256, expires, repositories: flags.repository, push: flags.push }),
  );
  const until = expires === undefined ? 'until it is revoked' : `until ${expires.toISOString().slice(0, 10)}`;
  if (flags.json) {
    const plain = { user, name, token: text, expires: expires?.toISOString() ?? null };
    process.stdout.write(`${JSON.stringify(plain, undefined, 2)}\n`);
    return;
  }
  process.stdout.write(`${text}\n`);
  process.stderr.write(`metahub: token ${name} of ${user} is valid ${until}; it is not shown again\n`);
}

interface ListedToken {
  readonly user: string;
  readonly name: string;
  readonly state: 'valid' | 'expired';
  readonly expires: string | null;
  readonly repositories: readonly string[] | null;
  readonly push: boolean;
}

function listedTokens(accounts: readonly Account[], nowMs: number): readonly ListedToken[] {
  return accounts.flatMap(({ user, tokens }) =>
    tokens.map(({ name, expiresMs, repositories, push }) => ({
      user,
      name,
      state: expiresMs !== undefined && expiresMs <= nowMs ? ('expired' as const) : ('valid' as const),
      expires: expiresMs === undefined ? null : new Date(expiresMs).toISOString(),
      repositories: repositories ?? null,
      push,
    })),
  );
}

async function list(flags: Flags): Promise<void> {
  const accounts = await withAdmin(flags.machines, (admin) => admin.accounts());
  const tokens = listedTokens(accounts, Date.now());
  if (flags.json) {
    process.stdout.write(`${JSON.stringify(tokens, undefined, 2)}\n`);
    return;
  }
  if (tokens.length === 0) {
    process.stdout.write(`no tokens in ${flags.machines}; create one with: metahub token create USER NAME\n`);
    return;
  }
  const rows = tokens.map(({ user, name, state, expires, repositories, push }) => [
    user,
    name,
    state === 'expired' ? `expired ${expires?.slice(0, 10)}` : (expires?.slice(0, 10) ?? 'never'),
    repositories?.join(' ') ?? 'as the account',
    push ? 'yes' : 'no',
  ]);
  process.stdout.write(tableText([['ACCOUNT', 'TOKEN', 'EXPIRES', 'MAY PULL', 'MAY PUSH'], ...rows]));
}

async function revoke(user: string, name: string, flags: Flags): Promise<void> {
  await withAdmin(flags.machines, (admin) => admin.removeToken(user, name));
  process.stdout.write(`token ${name} of ${user} is revoked\n`);
}

/** Adds the subcommands of `metahub token`. */
export function configure(command: Command): void {
  const subcommand = (name: 'create' | 'list' | 'revoke', words: string, summary: string) =>
    command
      .command(`${name}${words}`)
      .description(summary)
      .option(...machinesOption())
      .addHelpText('after', EXAMPLES[name])
      .exitOverride();

  command.addHelpText('after', EXAMPLES.group);
  subcommand('create', ' <user> <name>', 'create a token for an account, and print it')
    .option('--expires <duration>', 'for how long it is valid: 12h, 90d, never', '90d')
    .option('--repository <pattern>', 'only these of the account’s repositories; repeatable', repeated)
    .option('--push', 'it may also push, where the account may')
    .option('--json', 'print as JSON')
    .action(create);
  subcommand('list', '', 'show the tokens of all accounts').option('--json', 'print as JSON').action(list);
  subcommand('revoke', ' <user> <name>', 'end a token').action(revoke);
}
