import { isLoopback } from '../lib/address.ts';
import { containsLogin } from '../lib/url.ts';
import { MACHINES_PATH, type MachineList, readMachineList } from '../site/machine-list.ts';
import { basicAuthorization } from '../upstream/auth/credentials.ts';
import { fromNetworkError } from '../upstream/errors.ts';
import { readBody } from '../upstream/http/reply.ts';
import { type Outgoing, USER_AGENT } from '../upstream/http/transport.ts';
import { openConnection } from './open-upstream.ts';
import { UserError } from './user-error.ts';

/** A site as a person names it. */
export interface SiteAddress {
  /** The name that runtimes use: `hub.example.org:5000`. */
  readonly registry: string;
  readonly url: URL;
}

const LIST_MAX_BYTES = 4 * 1024 * 1024;
const TIMEOUT_MS = 10_000;

function parsedUrl(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined;
}

/** The URL of a site that is named without a scheme. */
function siteNamed(text: string): URL | undefined {
  const local = parsedUrl(`http://${text}`);
  return local !== undefined && isLoopback(local.hostname) ? local : parsedUrl(`https://${text}`);
}

/**
 * Parses the name of a site: `hub.example.org`, `127.0.0.1:5080` (loopback uses plain HTTP), or a URL.
 * @throws {UserError} status 2
 */
export function readSiteAddress(text: string): SiteAddress {
  const url = /^https?:\/\//.test(text) ? parsedUrl(text) : siteNamed(text);
  if (url === undefined || containsLogin(url) || url.pathname !== '/' || url.search !== '') {
    throw new UserError(`“${text}” is not a site`, {
      nextStep: 'Write HOST[:PORT] or https://HOST[:PORT].',
      exitStatus: 2,
    });
  }
  return { registry: url.host, url };
}

/** An answer of a site. `document` is its JSON; undefined: it has none. */
interface Answer {
  readonly status: number;
  readonly retryAfter: string | undefined;
  /** Names are in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly document: unknown;
}

/** A request to a site. */
interface SiteRequest {
  /** Absent: POST when there is a body, else GET. */
  readonly method?: Outgoing['method'];
  /** With the query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly authorization?: string;
  readonly body?: { readonly type: string; readonly text: string };
}

/**
 * Sends a request to the site in the same way as to a registry: with its proxies, certificates and
 * authorities. Follows no redirect.
 */
export async function askSite(
  site: SiteAddress,
  { method, path, authorization, headers: asked, body }: SiteRequest,
): Promise<Answer> {
  const { transport } = openConnection(site.url.origin);
  try {
    const sent =
      body === undefined
        ? {}
        : { 'content-type': body.type, 'content-length': String(Buffer.byteLength(body.text)) };
    const reply = await transport.send({
      method: method ?? (body === undefined ? 'GET' : 'POST'),
      url: new URL(path, site.url),
      headers: {
        ...(authorization === undefined ? {} : { authorization }),
        ...sent,
        ...asked,
        'user-agent': USER_AGENT,
      },
      ...(body === undefined ? {} : { body: body.text }),
    });
    const { status, headers } = reply;
    const bytes = await readBody(reply, LIST_MAX_BYTES, TIMEOUT_MS);
    return { status, retryAfter: headers['retry-after'], headers, document: parseJson(bytes) };
  } catch (cause) {
    const { message } = fromNetworkError(cause, site.url.host);
    throw new UserError(`${site.url.origin} cannot be reached: ${message}`, {
      cause,
      nextStep:
        site.url.protocol === 'http:'
          ? `For a site with a certificate write https://${site.url.host}.`
          : 'For a site without a certificate write http://HOST:PORT. For a certificate of a private authority set NODE_EXTRA_CA_CERTS=FILE, or put the authority’s certificate into /etc/docker/certs.d/HOST:PORT.',
    });
  } finally {
    await transport.close();
  }
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** Converts an unsuccessful answer into an error for the person who logs in. */
function refusalOf({ status, retryAfter }: Answer, { registry }: SiteAddress, user: string): UserError {
  if (status === 401) {
    return new UserError(`${registry} refuses the login of ${user}`, {
      nextStep: 'Check the password, or name a machine type’s own login with --as LOGIN.',
    });
  }
  if (status === 429) {
    const seconds = retryAfter ?? '60';
    return new UserError(`${registry} has had too many failed logins from here: wait ${seconds} s`);
  }
  return new UserError(`${registry} answers ${status}: it is not a MetaHub that serves machine types`, {
    nextStep: 'Ask the operator for the address of the site, or name a login with --as LOGIN.',
  });
}

/**
 * Fetches the machine types that `user` may log in as.
 * @throws {UserError} when the site is not reachable, refuses the login, or is not a site.
 */
export async function fetchMachineTypes(
  site: SiteAddress,
  user: string,
  password: string,
): Promise<MachineList> {
  const authorization = basicAuthorization(user, password);
  const answer = await askSite(site, { path: MACHINES_PATH, authorization });
  if (answer.status !== 200) throw refusalOf(answer, site, user);
  const list = readMachineList(answer.document);
  if (list !== undefined) return list;
  throw new UserError(`${site.registry} did not answer with a list of machine types: it is not a MetaHub`);
}
