import { ACCESS_TOKEN, MADE_TOKEN } from '../../../site/api/resources.ts';
import type { JsonDocument } from '../../json-documents.ts';
import { SiteApi, type SiteFlags, segment } from '../../site-api.ts';

/** `metahub token` for a remote site, by its API. */

const tokensPath = (user: string) => `/accounts/${segment(user)}/tokens`;

/** Creates a token; returns its text. `expires` is undefined when the token never expires. */
export async function createRemote(
  user: string,
  name: string,
  expires: Date | undefined,
  flags: SiteFlags & { readonly repository?: readonly string[]; readonly push?: boolean },
): Promise<string> {
  const api = await SiteApi.open(flags);
  const { repository: repositories, push } = flags;
  const body = { name, expires: expires?.toISOString() ?? null, repositories, push };
  return (await api.post(tokensPath(user), body, MADE_TOKEN)).token;
}

export async function listRemote(flags: SiteFlags): Promise<JsonDocument<'token-list'>> {
  const api = await SiteApi.open(flags);
  const tokens = await api.list('/tokens', 'tokens', ACCESS_TOKEN);
  return tokens.map(({ account: user, ...token }) => ({ user, ...token }));
}

export async function revokeRemote(user: string, name: string, flags: SiteFlags): Promise<void> {
  const api = await SiteApi.open(flags);
  const path = `${tokensPath(user)}/${segment(name)}`;
  const { entityTag } = await api.get(path, ACCESS_TOKEN);
  await api.edit('DELETE', path, entityTag);
}
