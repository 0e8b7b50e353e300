import { GROUP } from '../../../site/api/resources.ts';
import type { JsonDocument } from '../../json-documents.ts';
import { SiteApi, type SiteFlags, segment } from '../../site-api.ts';

/** `metahub group` for a remote site, by its API. */

const pathOf = (name: string) => `/groups/${segment(name)}`;

type ListedGroup = JsonDocument<'group-list'>[number];

export async function listRemote(flags: SiteFlags): Promise<JsonDocument<'group-list'>> {
  return (await SiteApi.open(flags)).list('/groups', 'groups', GROUP);
}

/** Adds the group, or changes its current state. */
export async function setRemote(
  name: string,
  rights: Omit<ListedGroup, 'name'>,
  flags: SiteFlags,
): Promise<void> {
  const api = await SiteApi.open(flags);
  const isKnown = (await api.list('/groups', 'groups', GROUP)).some((group) => group.name === name);
  if (!isKnown) {
    await api.add(pathOf(name), rights);
    return;
  }
  const { entityTag } = await api.get(pathOf(name), GROUP);
  await api.edit('PUT', pathOf(name), entityTag, rights);
}

export async function removeRemote(name: string, flags: SiteFlags): Promise<void> {
  const api = await SiteApi.open(flags);
  const { entityTag } = await api.get(pathOf(name), GROUP);
  await api.edit('DELETE', pathOf(name), entityTag);
}
