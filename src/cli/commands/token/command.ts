import type { Command } from 'commander';
import { check } from '../../../lib/schema.ts';
import { repeated, tableText } from '../../../lib/text.ts';
import { helpText } from '../../help-text.ts';
import type { JsonDocument } from '../../json-documents.ts';
import { JsonOption } from '../../json-option.ts';
import { documentText } from '../../output.ts';
import { DurationMs } from '../../settings/values.ts';
import type { SiteFlags } from '../../site-api.ts';
import { UserError } from '../../user-error.ts';
import { machineSubcommands, withAdmin, withSiteOptions } from '../machine/admin.ts';

interface Flags extends SiteFlags {
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
      ['metahub token create qnib ci', 'print a token that logs in as qnib or as a machine type of qnib'],
      ['metahub token list'],
      ['metahub token revoke qnib ci'],
      [
        'metahub token create qnib ci --site hub.example.org --user root',
        'create it at a remote site, as its administrator',
      ],
    ],
    'A token is a password for programs: docker login --username qnib --password-stdin.',
  ),
  create: helpText([
    ['metahub token create qnib ci', 'create a token that is valid for 90 days'],
    [
      'metahub token create qnib ci --expires 365d --repository "lab/*"',
      'create a token for some repositories only',
    ],
    ['metahub token create qnib ci | docker login hub.example.org --username qnib --password-stdin'],
  ]),
  list: helpText([['metahub token list'], ['metahub token list --json --site hub.example.org --user root']]),
  revoke: helpText([
    ['metahub token revoke qnib ci', 'the token is invalid within a second'],
    ['metahub token revoke qnib ci --site hub.example.org --user root'],
  ]),
} as const;

/** Parses an expiry; undefined for `never`. @throws {UserError} */
function expiryOf(text: string): Date | undefined {
  if (text === 'never') return undefined;
  const { output: durationMs = 0 } = check(DurationMs, text);
  if (durationMs > 0) return new Date(Date.now() + durationMs);
  throw new UserError(`--expires: “${text}” is not a time to live: write 90d, 12h or never`, {
    exitStatus: 2,
  });
}

async function create(user: string, name: string, flags: CreateFlags): Promise<void> {
  const expires = expiryOf(flags.expires);
  const text = await makeToken(user, name, expires, flags);
  const until = expires === undefined ? 'until it is revoked' : `until ${expires.toISOString().slice(0, 10)}`;
  if (flags.json) {
    const plain = { user, name, token: text, expires: expires?.toISOString() ?? null };
    process.stdout.write(documentText<'token-create'>(plain));
    return;
  }
  process.stdout.write(`${text}\n`);
  process.stderr.write(`metahub: token ${name} of ${user} is valid ${until}; it is not shown again\n`);
}

async function makeToken(user: string, name: string, expires: Date | undefined, flags: CreateFlags) {
  if (flags.site !== undefined) return (await import('./remote.ts')).createRemote(user, name, expires, flags);
  const { createAccessToken } = await import('../../../site/account.ts');
  const { text, sha256 } = createAccessToken();
  const token = { name, sha256, expires, repositories: flags.repository, push: flags.push };
  await withAdmin(flags.machines, (admin) => admin.change(user, { kind: 'add-token', token }));
  return text;
}

async function tokensIn(folder: string): Promise<JsonDocument<'token-list'>> {
  const [accounts, { tokenResource, tokensOf }] = await Promise.all([
    withAdmin(folder, (admin) => admin.accounts()),
    import('../../../site/api/resources.ts'),
  ]);
  const nowMs = Date.now();
  return accounts.flatMap((account) =>
    tokensOf(account).map((one) => {
      const { account: user, ...token } = tokenResource(account, one, nowMs).body;
      return { user, ...token };
    }),
  );
}

async function list(flags: Flags): Promise<void> {
  const { site, machines } = flags;
  const tokens =
    site === undefined ? await tokensIn(machines) : await (await import('./remote.ts')).listRemote(flags);
  if (flags.json) {
    process.stdout.write(documentText<'token-list'>(tokens));
    return;
  }
  if (tokens.length === 0) {
    process.stdout.write(
      `no tokens in ${site ?? machines}; create one with: metahub token create USER NAME\n`,
    );
    return;
  }
  const rows = tokens.map(({ user, name, state, type, expires, repositories, push }) => [
    user,
    state === 'enrolment' ? `${name} (not enrolled yet)` : name,
    type ?? 'any',
    state === 'expired' ? `expired ${expires?.slice(0, 10)}` : (expires?.slice(0, 10) ?? 'never'),
    repositories?.join(' ') ?? 'as the account',
    push ? 'yes' : 'no',
  ]);
  process.stdout.write(
    tableText([['ACCOUNT', 'TOKEN', 'LOGIN AS', 'EXPIRES', 'MAY PULL', 'MAY PUSH'], ...rows]),
  );
}

async function revoke(user: string, name: string, flags: Flags): Promise<void> {
  if (flags.site !== undefined) await (await import('./remote.ts')).revokeRemote(user, name, flags);
  else await withAdmin(flags.machines, (admin) => admin.change(user, { kind: 'remove-token', name }));
  process.stdout.write(`token ${name} of ${user} is revoked\n`);
}

/** Adds the subcommands of `metahub token`. */
export function configure(command: Command): void {
  const subcommand = machineSubcommands(command, EXAMPLES);

  command.addHelpText('after', EXAMPLES.group);
  withSiteOptions(
    subcommand('create', ' <user> <name>', 'create a token for an account, and print it')
      .option('--expires <duration>', 'how long the token is valid: 12h, 90d, never', '90d')
      .option(
        '--repository <pattern>',
        'limit the token to these of the account’s repositories; repeatable',
        repeated,
      )
      .option('--push', 'the token may also push where the account may')
      .addOption(new JsonOption('token-create')),
  ).action(create);
  const listing = subcommand('list', '', 'show the tokens of all accounts');
  withSiteOptions(listing.addOption(new JsonOption('token-list'))).action(list);
  withSiteOptions(subcommand('revoke', ' <user> <name>', 'revoke a token')).action(revoke);
}
