import type { Command } from 'commander';
import { check } from '../../../lib/schema.ts';
import { repeated } from '../../../lib/text.ts';
import { JsonOption } from '../../json-option.ts';
import { documentText } from '../../output.ts';
import { DurationMs } from '../../settings/values.ts';
import type { SiteFlags } from '../../site-api.ts';
import { UserError } from '../../user-error.ts';
import { machineSubcommands, withAdmin, withSiteOptions } from './admin.ts';
import { EXAMPLES } from './examples.ts';
import type { RemoteAddFlags } from './remote.ts';

interface Flags extends SiteFlags {
  readonly machines: string;
  readonly passwordStdin?: boolean;
}

interface EnrolFlags extends Flags {
  readonly name?: string;
  readonly expires: string;
  readonly json?: boolean;
}

interface AddFlags extends Flags, RemoteAddFlags {}

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
  const { role, repository: repositories, push, group: groups } = flags;
  const rights = { role, repositories, push, groups };
  if (type !== undefined && Object.values(rights).some((right) => right !== undefined)) {
    throw new UserError('a machine type has the rights of its account: leave its name out', {
      exitStatus: 2,
    });
  }
  if (flags.site !== undefined) return (await import('./remote.ts')).addRemote(user, type, flags);
  await withAdmin(flags.machines, async (admin) => {
    const isKnown = (await admin.accounts()).some((account) => account.user === user);
    if (type === undefined) {
      if (isKnown)
        throw new UserError(`there is an account ${user} already`, {
          nextStep: `Change its password with: metahub machine passwd ${user}`,
        });
      await admin.addAccount({ user, ...rights, password: await askForHash(flags, `password of ${user}`) });
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
    const added = { name: type, features, login: flags.login, password };
    await admin.change(user, { kind: 'add-type', type: added });
    process.stdout.write(`${login} may log in, as a machine with ${features.join(', ') || 'no features'}\n`);
  });
}

async function enrol(user: string, type: string, flags: EnrolFlags): Promise<void> {
  const { output: durationMs = 0 } = check(DurationMs, flags.expires);
  if (durationMs <= 0) {
    throw new UserError(`--expires: “${flags.expires}” is not a time to live: write 1h or 7d`, {
      exitStatus: 2,
    });
  }
  const expires = new Date(Date.now() + durationMs);
  const { text, name } = await makeEnrolment(user, type, expires, flags);
  if (flags.json) {
    const plain = { user, type, name, token: text, expires: expires.toISOString() };
    process.stdout.write(documentText<'machine-enrol'>(plain));
    return;
  }
  process.stdout.write(`${text}\n`);
  process.stderr.write(
    `metahub: until ${expires.toISOString()}, one machine of type ${type} can enrol with this token as ${name}: metahub login SITE --enrol TOKEN\n`,
  );
}

async function makeEnrolment(user: string, type: string, expires: Date, flags: EnrolFlags) {
  const { createEnrolmentSecret } = await import('../../../site/account.ts');
  const { text, sha256 } = createEnrolmentSecret();
  const name = flags.name ?? `${type}-${sha256.slice(0, 8).replaceAll(/[^A-Za-z0-9]/g, '0')}`;
  if (flags.site !== undefined) {
    const { enrolRemote } = await import('./remote.ts');
    return { text: await enrolRemote(user, { name, type, expires }, flags), name };
  }
  await withAdmin(flags.machines, (admin) =>
    admin.change(user, { kind: 'add-enrolment', enrolment: { name, type, sha256, expires } }),
  );
  return { text, name };
}

async function edit(user: string, type: string | undefined, flags: AddFlags): Promise<void> {
  const { editAccount, editType } = await import('./edit.ts');
  return type === undefined ? editAccount(user, flags) : editType(user, type, flags);
}

async function list(flags: Flags & { readonly json?: boolean }): Promise<void> {
  if (flags.site !== undefined) return (await import('./remote.ts')).listRemote(flags);
  const { roleOf } = await import('../../../site/account.ts');
  const accounts = await withAdmin(flags.machines, (admin) => admin.accounts());
  if (flags.json) {
    const { accountResource, typeResource } = await import('../../../site/api/resources.ts');
    const plain = accounts.map((account) => ({
      ...accountResource(account).body,
      role: roleOf(account),
      types: account.types.map((type) => typeResource(account, type).body),
      file: account.file,
    }));
    process.stdout.write(documentText<'machine-list'>(plain));
    return;
  }
  const { renderLogins } = await import('./logins.ts');
  const listed = accounts.map((account) => ({
    ...account,
    role: roleOf(account),
    hasPassword: account.password !== undefined,
  }));
  process.stdout.write(
    renderLogins(listed) ?? `no logins in ${flags.machines}; add one with: metahub machine add USER\n`,
  );
}

async function remove(user: string, type: string | undefined, flags: Flags): Promise<void> {
  if (flags.site !== undefined) return (await import('./remote.ts')).removeRemote(user, type, flags);
  await withAdmin(flags.machines, async (admin) => {
    if (type === undefined) await admin.removeAccount(user);
    else await admin.change(user, { kind: 'remove-type', name: type });
  });
  process.stdout.write(
    type === undefined
      ? `${user} and its machine types are removed\n`
      : `machine type ${type} of ${user} is removed\n`,
  );
}

async function passwd(user: string, type: string | undefined, flags: Flags): Promise<void> {
  if (flags.site !== undefined) return (await import('./remote.ts')).passwdRemote(user, type, flags);
  await withAdmin(flags.machines, async (admin) => {
    const account = (await admin.accounts()).find((candidate) => candidate.user === user);
    if (!account || (type !== undefined && !account.types.some(({ name }) => name === type))) {
      throw new UserError(
        `there is no ${type === undefined ? `account ${user}` : `type ${type} of ${user}`}`,
        {
          nextStep: 'metahub machine list shows what there is.',
        },
      );
    }
    const what = type === undefined ? user : `${user}’s ${type}`;
    const password = await askForHash(flags, `password of ${what}`);
    await admin.change(user, { kind: 'set-password', type, password });
    process.stdout.write(`the password of ${what} is changed; everybody who uses it must log in again\n`);
  });
}

/** Adds the subcommands of `metahub machine`. */
export function configure(command: Command): void {
  const subcommand = machineSubcommands(command, EXAMPLES);
  const remote = withSiteOptions;
  const password = ['--password-stdin', 'read the password from stdin'] as const;

  command.addHelpText('after', EXAMPLES.group);
  const adding = subcommand('add', ' <user> [type]', 'add an account, or a machine type of an account')
    .option('--feature <feature>', 'a feature of the machine: cpu:zen4, nvcap:9.0; repeatable', repeated)
    .option('--login <name>', 'the user name of the machine type; default: <user>-<type>')
    .option(
      '--own-password',
      'give the machine type a password of its own; without it, it uses the account’s',
    )
    .option('--role <role>', 'the role of an account: admin, publisher or puller')
    .option(
      '--repository <pattern>',
      'repositories that the account may pull; default: all; repeatable',
      repeated,
    )
    .option('--push <pattern>', 'repositories that the account may push to; repeatable', repeated)
    .option('--group <name>', 'a group that the account belongs to; repeatable', repeated)
    .option(...password);
  remote(adding).action(add);
  remote(
    subcommand('edit', ' <user> [type]', 'change the rights of an account, or a machine type')
      .option(
        '--feature <feature>',
        'a feature of the machine type; replaces all its features; repeatable',
        repeated,
      )
      .option('--login <name>', 'the user name of the machine type')
      .option('--role <role>', 'the role of the account; "" removes it')
      .option(
        '--repository <pattern>',
        'repositories that the account may pull; replaces the whole list; repeatable',
        repeated,
      )
      .option(
        '--push <pattern>',
        'repositories that the account may push to; replaces the whole list; "" removes all; repeatable',
        repeated,
      )
      .option(
        '--group <name>',
        'a group that the account belongs to; replaces all its groups; "" removes all; repeatable',
        repeated,
      ),
  ).action(edit);
  remote(
    subcommand('enrol', ' <user> <type>', 'create a token that lets one machine get a login of its own')
      .option('--name <name>', 'the name of the machine’s token; default: a generated name')
      .option('--expires <duration>', 'how long the machine can enrol: 1h, 7d', '1h')
      .addOption(new JsonOption('machine-enrol')),
  ).action(enrol);
  const listing = subcommand('list', '', 'list the accounts and machine types');
  remote(listing.addOption(new JsonOption('machine-list'))).action(list);
  remote(
    subcommand('remove', ' <user> [type]', 'remove a machine type, or an account with all of its types'),
  ).action(remove);
  remote(subcommand('passwd', ' <user> [type]', 'change a password').option(...password)).action(passwd);
}
