import type { AccountChange } from '../../../site/account-edit.ts';
import { UserError } from '../../user-error.ts';
import { withAdmin } from './admin.ts';
import type { RemoteAddFlags } from './remote.ts';

interface EditFlags extends RemoteAddFlags {
  readonly machines: string;
}

function wrongFlags(message: string, nextStep: string): UserError {
  return new UserError(message, { nextStep, exitStatus: 2 });
}

function nothing(what: string): UserError {
  return wrongFlags('the command names no change', `Name a change: metahub machine edit ${what} …`);
}

/** The words of a repeated option. One empty text means an empty list. */
const listed = (words: readonly string[] | undefined) => words?.filter((word) => word !== '');

/** Changes the role, patterns and groups of an account. */
export async function editAccount(user: string, flags: EditFlags): Promise<void> {
  if (flags.feature !== undefined || flags.login !== undefined) {
    throw wrongFlags(
      'an account has no features and no other name: name the machine type',
      `metahub machine edit ${user} TYPE --feature …`,
    );
  }
  const { role, repository, push, group } = flags;
  const change: AccountChange = {
    role: role === '' ? null : role,
    repositories: listed(repository),
    push: listed(push),
    groups: listed(group),
  };
  if (Object.values(change).every((value) => value === undefined)) throw nothing(`${user} --group`);
  if (flags.site !== undefined) await (await import('./remote.ts')).editAccountRemote(user, change, flags);
  else await withAdmin(flags.machines, (admin) => admin.change(user, { kind: 'change-account', change }));
  process.stdout.write(`${user} is changed\n`);
}

/** Changes the features and the login of a machine type. */
export async function editType(user: string, type: string, flags: EditFlags): Promise<void> {
  const { role, repository, push, group } = flags;
  if ([role, repository, push, group].some((right) => right !== undefined)) {
    throw wrongFlags(
      'a machine type has the rights of its account: leave its name out',
      `metahub machine edit ${user} --group …`,
    );
  }
  if (flags.feature === undefined && flags.login === undefined) throw nothing(`${user} ${type} --feature`);
  if (flags.site !== undefined) return (await import('./remote.ts')).editRemote(user, type, flags);
  await withAdmin(flags.machines, async (admin) => {
    const account = (await admin.accounts()).find((candidate) => candidate.user === user);
    const known = account?.types.find(({ name }) => name === type);
    if (known === undefined) {
      throw new UserError(`there is no type ${type} of ${user}`, {
        nextStep: 'metahub machine list shows what there is.',
      });
    }
    const { feature: features = known.features, login = known.login } = flags;
    const written = login === `${user}-${type}` ? undefined : login;
    await admin.change(user, { kind: 'change-type', change: { name: type, features, login: written } });
    process.stdout.write(`${login} is a machine with ${features.join(', ') || 'no features'}\n`);
  });
}
