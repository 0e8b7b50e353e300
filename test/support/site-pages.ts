import type { SiteOptions } from '../../src/site/site.ts';
import { hashed } from './site.ts';
import { serveSite } from './site-server.ts';

/** A site with an administrator, an account that manages its machine types, and one without permissions. */
export async function servePages(
  options: Partial<SiteOptions> = {},
  more: Readonly<Record<string, string>> = {},
) {
  const served = await serveSite(
    {
      'root.yaml': `user: root\npassword: "${await hashed('root')}"\nrole: admin\n`,
      'qnib.yaml': `user: qnib\npassword: "${await hashed('qnib')}"\nmanagesMachines: true\ntypes:\n  - { name: type1, features: [cpu:broadwell] }\n`,
      'guest.yaml': `user: guest\npassword: "${await hashed('guest')}"\n`,
      ...more,
    },
    options,
  );
  const post = (
    path: string,
    fields: Readonly<Record<string, string>>,
    headers: Readonly<Record<string, string>> = {},
  ) =>
    served.ask(`/site/${path}`, {
      ...{ method: 'POST', body: String(new URLSearchParams(fields)) },
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    });
  /** Logs in with the form. Resolves with the cookie. */
  const logIn = async (user: string, password = user, headers = {}) => {
    const answer = await post('login', { login: user, password }, headers);
    return { answer, cookie: (answer.headers.get('set-cookie') ?? '').split(';')[0] ?? '' };
  };
  const see = (path: string, cookie: string) => served.ask(`/site/${path}`, { headers: { cookie } });
  return { ...served, post, logIn, see };
}

/** The change that a page asks the user to confirm. */
export function changeIn(page: string): string {
  return /name="change" value="([\w-]+)"/.exec(page)?.[1] ?? '';
}
