import { MACHINES_PATH, type MachineList, readMachineList } from '../../../site/machine-list.ts';
import { basicAuthorization } from '../../../upstream/auth/credentials.ts';
import { UserError } from '../../user-error.ts';

/** A site as a person names it. */
export interface SiteAddress {
  /** As runtimes write it: `hub.example.org:5000`. */
  readonly registry: string;
  readonly url: URL;
}

const TIMEOUT_MS = 10_000;

/** `hub.example.org`, `127.0.0.1:5080` (loopback is spoken to in plain HTTP), or a URL. @throws {UserError} status 2 */
export function readSiteAddress(text: string): SiteAddress {
  const isLoopback = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::\d+)?$/.test(text);
  const written = /^https?:\/\//.test(text) ? text : `${isLoopback ? 'http' : 'https'}://${text}`;
  const url = URL.canParse(written) ? new URL(written) : undefined;
  if (url === undefined || url.username !== '' || url.pathname !== '/' || url.search !== '') {
    throw new UserError(`“${text}” is no site`, {
      nextStep: 'Write HOST[:PORT] or https://HOST[:PORT].',
      exitStatus: 2,
    });
  }
  return { registry: url.host, url };
}

async function ask(site: SiteAddress, user: string, password: string): Promise<Response> {
  try {
    return await fetch(new URL(MACHINES_PATH, site.url), {
      headers: { authorization: basicAuthorization(user, password) },
      // A redirect would send the password to another host.
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (cause) {
    const why = (cause as Error & { cause?: Error }).cause?.message ?? (cause as Error).message;
    throw new UserError(`${site.url.origin} cannot be reached: ${why}`, {
      cause,
      nextStep:
        site.url.protocol === 'http:'
          ? `For a site with a certificate write https://${site.url.host}.`
          : 'For a site without a certificate write http://HOST:PORT; a private authority’s is trusted by NODE_EXTRA_CA_CERTS=FILE.',
    });
  }
}

/** What an answer that is no success means for the one who logs in. */
function refusalOf({ status, headers }: Response, { registry }: SiteAddress, user: string): UserError {
  if (status === 401) {
    return new UserError(`${registry} refuses the login of ${user}`, {
      nextStep: 'Check the password, or name a machine type’s own login with --as LOGIN.',
    });
  }
  if (status === 429) {
    const seconds = headers.get('retry-after') ?? '60';
    return new UserError(`${registry} has had too many failed logins from here: wait ${seconds} s`);
  }
  return new UserError(`${registry} answers ${status}: it is no MetaHub that serves machine types`, {
    nextStep: 'Ask for its address, or name a login with --as LOGIN.',
  });
}

/**
 * The machine types that `user` may log in as.
 * @throws {UserError} when the site cannot be reached, refuses the login, or is no site.
 */
export async function fetchMachineTypes(
  site: SiteAddress,
  user: string,
  password: string,
): Promise<MachineList> {
  const answer = await ask(site, user, password);
  if (!answer.ok) throw refusalOf(answer, site, user);
  const list = readMachineList(await answer.json().catch(() => undefined));
  if (list !== undefined) return list;
  throw new UserError(`${site.registry} did not answer with a list of machine types: it is no MetaHub`);
}
