import { profileOfFeatures } from '../../../host/assumed-features.ts';
import { HOST } from '../../../site/api/activity-resources.ts';
import { MACHINE_TYPE } from '../../../site/api/resources.ts';
import { SiteApi, type SiteFlags } from '../../site-api.ts';
import { UserError } from '../../user-error.ts';
import { withAdmin } from '../machine/admin.ts';
import type { NamedHost } from './run.ts';

export interface FleetFlags extends SiteFlags {
  readonly machines: string;
}

/** A machine type, or the machines with the same selector. */
interface FleetMember {
  readonly name: string;
  readonly features: readonly string[];
  /** How many have pulled lately; undefined: unknown. */
  readonly machines: number | undefined;
}

/** Returns a site's machine types, and the selectors of other machines that have pulled lately. */
async function membersOfSite(flags: FleetFlags): Promise<readonly FleetMember[]> {
  const api = await SiteApi.open(flags);
  const types = await api.list('/types', 'types', MACHINE_TYPE);
  const hosts = await api.list('/hosts', 'hosts', HOST);
  const seen = new Map<string, { readonly features: readonly string[]; machines: number }>();
  for (const { login, features } of hosts) {
    const known = seen.get(login) ?? { features, machines: 0 };
    known.machines += 1;
    seen.set(login, known);
  }
  const known = types.map(({ login, features }) => {
    const machines = seen.get(login)?.machines ?? 0;
    seen.delete(login);
    return { name: login, features, machines };
  });
  // An account's own login says nothing about its machine.
  const described = [...seen].filter(([, { features }]) => features.length > 0);
  return [...known, ...described.map(([name, one]) => ({ name, ...one }))];
}

async function membersOfFolder({ machines: folder }: FleetFlags): Promise<readonly FleetMember[]> {
  const accounts = await withAdmin(folder, (admin) => admin.accounts());
  return accounts.flatMap(({ types }) =>
    types.map(({ login, features }) => ({ name: login, features, machines: undefined })),
  );
}

/**
 * Returns the kinds of machines of a site: by the API of a remote site, or else from the folder of machine
 * files.
 * @throws {UserError}
 */
export async function fleetOf(flags: FleetFlags): Promise<readonly NamedHost[]> {
  const members = await (flags.site === undefined ? membersOfFolder(flags) : membersOfSite(flags));
  if (members.length === 0) {
    throw new UserError(
      `there is no machine type ${flags.site === undefined ? `in ${flags.machines}` : `at ${flags.site}`}`,
      {
        nextStep: 'metahub machine list shows who may log in.',
      },
    );
  }
  return members.map(({ name, features, machines }) => ({
    name: machines === undefined || machines < 2 ? name : `${name} ×${machines}`,
    profile: profileOfFeatures(features),
    ...(machines === undefined ? {} : { machines }),
  }));
}
