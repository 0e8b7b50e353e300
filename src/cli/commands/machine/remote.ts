import { roleOf } from '../../../site/account.ts';
import type { AccountChange } from '../../../site/account-edit.ts';
import { ACCOUNT, GROUP, MACHINE_TYPE, MADE_ENROLMENT } from '../../../site/api/resources.ts';
import { withGroups } from '../../../site/machine-reader.ts';
import { documentText } from '../../output.ts';
import { readPassword } from '../../password-input.ts';
import { SiteApi, type SiteFlags, segment } from '../../site-api.ts';
import { UserError } from '../../user-error.ts';
import { renderLogins } from './logins.ts';

/** `metahub machine` for a remote site, by its API. */

/** The password to set; `passwordFile` is about that of the account that sends the request. */
interface NewPasswordFlags extends SiteFlags {
  readonly passwordStdin?: boolean;
}

export interface RemoteAddFlags extends NewPasswordFlags {
  readonly feature?: readonly string[];
  readonly login?: string;
  readonly ownPassword?: boolean;
  readonly role?: string;
  readonly repository?: readonly string[];
  readonly push?: readonly string[];
  readonly group?: readonly string[];
}

export interface RemoteEditFlags extends SiteFlags {
  readonly feature?: readonly string[];
  readonly login?: string;
}

function newPassword({ passwordStdin, passwordFile }: NewPasswordFlags, what: string): Promise<string> {
  if (passwordStdin && passwordFile === '-') {
    throw new UserError(
      'stdin can contain only one password: write --password-stdin or --password-file -, not both',
      {
        exitStatus: 2,
      },
    );
  }
  return readPassword({ fromStdin: passwordStdin ?? false, what, confirm: true });
}

const accountPath = (user: string) => `/accounts/${segment(user)}`;
const typePath = (user: string, type: string) => `${accountPath(user)}/types/${segment(type)}`;

export async function listRemote(flags: SiteFlags & { readonly json?: boolean }): Promise<void> {
  const api = await SiteApi.open(flags);
  const found = await api.list('/accounts', 'accounts', ACCOUNT);
  const types = await api.list('/types', 'types', MACHINE_TYPE);
  const groups = new Map((await api.list('/groups', 'groups', GROUP)).map((group) => [group.name, group]));
  const accounts = found.map(({ role, ...account }) => {
    const rights = withGroups({ ...account, role: role ?? undefined }, groups);
    const own = types.filter((type) => type.account === account.user);
    return { ...rights, role: roleOf(rights), types: own };
  });
  process.stdout.write(
    flags.json
      ? documentText<'machine-list'>(accounts)
      : (renderLogins(accounts) ?? `no logins at ${api.registry}\n`),
  );
}

export async function addRemote(
  user: string,
  type: string | undefined,
  flags: RemoteAddFlags,
): Promise<void> {
  const api = await SiteApi.open(flags);
  if (type === undefined) {
    const { role, repository: repositories, push, group: groups } = flags;
    const password = await newPassword(flags, `password of ${user}`);
    await api.post('/accounts', { user, password, role, repositories, push, groups }, ACCOUNT);
    process.stdout.write(`${user} may log in at ${api.registry}\n`);
    return;
  }
  const { feature: features = [], login } = flags;
  const what = `password of ${login ?? `${user}-${type}`}`;
  const password = flags.ownPassword ? await newPassword(flags, what) : undefined;
  await api.post(`${accountPath(user)}/types`, { name: type, features, login, password }, MACHINE_TYPE);
  const as = features.join(', ') || 'no features';
  process.stdout.write(
    `${login ?? `${user}-${type}`} may log in at ${api.registry}, as a machine with ${as}\n`,
  );
}

/** Creates an enrolment; returns its secret. */
export async function enrolRemote(
  user: string,
  { name, type, expires }: { readonly name: string; readonly type: string; readonly expires: Date },
  flags: SiteFlags,
): Promise<string> {
  const api = await SiteApi.open(flags);
  const body = { name, type, expires: expires.toISOString() };
  return (await api.post(`${accountPath(user)}/enrolments`, body, MADE_ENROLMENT)).token;
}

export async function editRemote(user: string, type: string, flags: RemoteEditFlags): Promise<void> {
  const api = await SiteApi.open(flags);
  const { resource, entityTag } = await api.get(typePath(user, type), MACHINE_TYPE);
  const { feature: features = resource.features, login = resource.login } = flags;
  await api.edit('PUT', typePath(user, type), entityTag, { features, login });
  process.stdout.write(`${login} is a machine with ${features.join(', ') || 'no features'}\n`);
}

/** Changes the rights of an account. */
export async function editAccountRemote(
  user: string,
  change: AccountChange,
  flags: SiteFlags,
): Promise<void> {
  const api = await SiteApi.open(flags);
  const { entityTag } = await api.get(accountPath(user), ACCOUNT);
  await api.edit('PATCH', accountPath(user), entityTag, { ...change });
}

export async function removeRemote(user: string, type: string | undefined, flags: SiteFlags): Promise<void> {
  const api = await SiteApi.open(flags);
  const path = type === undefined ? accountPath(user) : typePath(user, type);
  const { entityTag } = await (type === undefined ? api.get(path, ACCOUNT) : api.get(path, MACHINE_TYPE));
  await api.edit('DELETE', path, entityTag);
  process.stdout.write(
    type === undefined
      ? `${user} and its machine types are removed from ${api.registry}\n`
      : `machine type ${type} of ${user} is removed from ${api.registry}\n`,
  );
}

export async function passwdRemote(
  user: string,
  type: string | undefined,
  flags: NewPasswordFlags,
): Promise<void> {
  const api = await SiteApi.open(flags);
  const what = type === undefined ? user : `${user}’s ${type}`;
  if (type === undefined) {
    const { entityTag } = await api.get(accountPath(user), ACCOUNT);
    const password = await newPassword(flags, `password of ${what}`);
    await api.edit('PATCH', accountPath(user), entityTag, { password });
  } else {
    const { resource, entityTag } = await api.get(typePath(user, type), MACHINE_TYPE);
    const password = await newPassword(flags, `password of ${what}`);
    const { features, login } = resource;
    await api.edit('PUT', typePath(user, type), entityTag, { features, login, password });
  }
  process.stdout.write(`the password of ${what} is changed; everybody who uses it must log in again\n`);
}
