import type { Command } from 'commander';
import { repeated, tableText } from '../../../lib/text.ts';
import { helpText } from '../../help-text.ts';
import { UserError } from '../../user-error.ts';
import { machinesOption, withAdmin } from './admin.ts';

interface Flags {
  readonly machines: string;
  readonly passwordStdin?: boolean;
}

interface AddFlags extends Flags {
  readonly feature?: readonly string[];
  readonly login?: string;
  readonly ownPassword?: boolean;
}

const EXAMPLES = {
  group: helpText(
    [
      ['metahub machine add qnib', 'an account; asks for its password'],
      [
        'metahub machine add qnib type1 --feature cpu:broadwell',
        'a machine type: login qnib-type1, qnib’s password',
      ],
      ['metahub machine list', 'who may log in, as what'],
      ['metahub machine remove qnib type1'],
    ],
    'A running mirror takes a change over within a second.',
  ),
  add: helpText([
    ['metahub machine add qnib', 'an account; asks for its password'],
    [
      'metahub machine add qnib type1 --feature cpu:broadwell',
      'a machine type: login qnib-type1, qnib’s password',
    ],
    [
      'metahub machine add qnib gpu --feature cpu:zen4 --feature nvcap:9.0 --login gpu-nodes --own-password',
      'with a login and a password of its own',
    ],
    ['pass show hub | metahub machine add qnib --password-stdin'],
  ]),
  list: helpText([['metahub machine list'], ['metahub machine list --json']]),
  remove: helpText([
    ['metahub machine remove qnib type1', 'one machine type'],
    ['metahub machine remove qnib', 'the account and all of its types'],
  ]),
  passwd: helpText([
    ['metahub machine passwd qnib', 'the account’s, and of its types without one of their own'],
    ['metahub machine passwd qnib gpu', 'one type’s own'],
    ['pass show hub | metahub machine passwd qnib --password-stdin'],
  ]),
} as const;

async function askForHash(flags: Flags, what: string): Promise<string> {
  const [{ readPassword }, { hashPassword }] = await Promise.all([
    import('../../password-input.ts'),
    import('../../../site/password.ts'),
  ]);
  const password = await readPassword({ fromStdin: flags.passwordStdin ?? false, what, confirm: true });
  return (await hashPassword(password)).text;
}

async function add(user: string, type: string | undefined, flags: AddFlags): Promise<void> {
  const features = flags.feature ?? [];
  if (type === undefined && (features.length > 0 || flags.login !== undefined || flags.ownPassword)) {
    throw new UserError('an account has no features of its own: name the machine type', {
      nextStep: `metahub machine add ${user} TYPE --feature …`,
      exitStatus: 2,
    });
  }
  await withAdmin(flags.machines, async (admin) => {
    const isKnown = (await admin.accounts()).some((account) => account.user === user);
    if (type === undefined) {
      if (isKnown)
        throw new UserError(`there is an account ${user} already`, {
          nextStep: `Change its password with: metahub machine passwd ${user}`,
        });
      await admin.addAccount(user, await askForHash(flags, `password of ${user}`));
      process.stdout.write(`${user} may log in\n`);
      return;
    }
    if (!isKnown) {
      throw new UserError(`there is no account ${user}`, {
        nextStep: `Add it first: metahub machine add ${user}`,
      });
    }
    const login = flags.login ?? `${user}-${type}`;
    const password = flags.ownPassword ? await askForHash(flags, `password of ${login}`) : undefined;
    await admin.addType(user, { name: type, features, login: flags.login, password });
    process.stdout.write(`${login} may log in, as a machine with ${features.join(', ') || 'no features'}\n`);
  });
}

async function list(flags: Flags & { readonly json?: boolean }): Promise<void> {
  const accounts = await withAdmin(flags.machines, (admin) => admin.accounts());
  if (flags.json) {
    const plain = accounts.map(({ user, types, repositories, managesMachines, file }) => ({
      user,
      types: types.map(({ name, login, features }) => ({ name, login, features })),
      repositories,
      managesMachines,
      file,
    }));
    process.stdout.write(`${JSON.stringify(plain, undefined, 2)}\n`);
    return;
  }
  const rows = accounts.flatMap(({ user, password, types, repositories, managesMachines }) => [
    ...(password
      ? [[user, managesMachines ? 'account, manages machine types' : 'account', repositories.join(' ')]]
      : []),
    ...types.map(({ login, features }) => [
      login,
      features.join(' ') || 'no features',
      repositories.join(' '),
    ]),
  ]);
  if (rows.length === 0) {
    process.stdout.write(`no logins in ${flags.machines}; add one with: metahub machine add USER\n`);
    return;
  }
  const table = [['LOGIN', 'MACHINE', 'MAY PULL'], ...rows];
  process.stdout.write(tableText(table));
}

async function remove(user: string, type: string | undefined, flags: Flags): Promise<void> {
  await withAdmin(flags.machines, (admin) =>
    type === undefined ? admin.removeAccount(user) : admin.removeType(user, type),
  );
  process.stdout.write(
    type === undefined
      ? `${user} and its machine types are removed\n`
      : `machine type ${type} of ${user} is removed\n`,
  );
}

async function passwd(user: string, type: string | undefined, flags: Flags): Promise<void> {
  await withAdmin(flags.machines, async (admin) => {
    const account = (await admin.accounts()).find((candidate) => candidate.user === user);
    if (!account || (type !== undefined && !account.types.some(({ name }) => name === type))) {
      throw new UserError(`there is no ${type === undefined ? user : `type ${type} of ${user}`}`, {
        nextStep: 'metahub machine list shows what there is.',
      });
    }
    const what = type === undefined ? user : `${user}’s ${type}`;
    await admin.setPassword(user, type, await askForHash(flags, `password of ${what}`));
    process.stdout.write(`the password of ${what} is changed; those who are logged in log in anew\n`);
  });
}

/** Adds the subcommands of `metahub machine`. */
export function configure(command: Command): void {
  const subcommand = (name: 'add' | 'list' | 'remove' | 'passwd', words: string, summary: string) =>
    command
      .command(`${name}${words}`)
      .description(summary)
      .option(...machinesOption())
      .addHelpText('after', EXAMPLES[name])
      .exitOverride();
  const password = ['--password-stdin', 'read the password from stdin'] as const;

  command.addHelpText('after', EXAMPLES.group);
  subcommand('add', ' <user> [type]', 'add an account, or a machine type to one')
    .option('--feature <feature>', 'what the machine has: cpu:zen4, nvcap:9.0; repeatable', repeated)
    .option('--login <name>', 'its user name, when not <user>-<type>')
    .option('--own-password', 'a password of its own, instead of the account’s')
    .option(...password)
    .action(add);
  subcommand('list', '', 'show who may log in, as what').option('--json', 'print as JSON').action(list);
  subcommand('remove', ' <user> [type]', 'remove a machine type, or an account with all of its types').action(
    remove,
  );
  subcommand('passwd', ' <user> [type]', 'change a password')
    .option(...password)
    .action(passwd);
}
