import { basename } from 'node:path';
import { type JsonObject, objectOf } from '../../lib/json.ts';
import { parseSourceHost, type Repository } from '../../oci/reference.ts';
import type { Access } from '../../oci/registry.ts';

/** A login for a registry or its token service. Secret: never logged and never part of a message. */
export type Credential =
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  /** An OAuth2 refresh token, exchanged at the token service. `docker login` to Azure Container Registry stores one. */
  | { readonly kind: 'identity'; readonly token: string }
  /** A bearer token for the registry itself. */
  | { readonly kind: 'bearer'; readonly token: string };

/** Logins by registry host (`HOST[:PORT]`; Docker Hub is `docker.io`) and repository. The most specific one is used. */
export interface Credentials {
  loginFor(
    registry: string,
    repository: Repository['name'],
    signal?: AbortSignal,
    access?: Access,
  ): Promise<Credential | undefined>;
}

/** Has no logins. */
export const NO_CREDENTIALS: Credentials = { loginFor: async () => undefined };

/** The `Authorization` header of HTTP Basic authentication. */
export function basicAuthorization(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/**
 * Token services on a host that is neither their registry's, nor a parent domain or a subdomain of it.
 * @see https://distribution.github.io/distribution/spec/auth/token/ for Docker Hub
 */
const KNOWN_REALMS: Readonly<Record<string, readonly string[]>> = {
  'registry-1.docker.io': ['auth.docker.io'],
  'registry.docker.io': ['auth.docker.io'],
};

/** True when `inner` is a subdomain of `outer`, which must have at least two labels. */
function isWithin(inner: string, outer: string): boolean {
  return outer.includes('.') && inner.endsWith(`.${outer}`);
}

/**
 * True when the token service at `realm` may receive the login for `registry`. Its host must be the registry's
 * own, a parent domain or subdomain of it (`registry.gitlab.com` and `gitlab.com`), a known one, or one that
 * the operator trusts. It receives the login over TLS only, unless the registry itself uses plain HTTP. Without
 * this check, anybody who can forge a challenge could collect logins.
 * @see https://nvd.nist.gov/vuln/detail/CVE-2020-15157
 */
export function mayReceiveLogin(registry: URL, realm: URL, isTrusted: (realm: URL) => boolean): boolean {
  if (realm.origin === registry.origin) return true;
  if (realm.protocol !== 'https:' && registry.protocol !== 'http:') return false;
  if (isTrusted(realm)) return true;
  if (realm.protocol !== 'https:' || realm.port !== '') return false;
  const [own, asked] = [registry.hostname, realm.hostname];
  return (
    own === asked ||
    isWithin(own, asked) ||
    isWithin(asked, own) ||
    KNOWN_REALMS[own]?.includes(asked) === true
  );
}

/** Logins as docker, podman and skopeo store them. */
export interface DockerConfig {
  /** By `HOST[/PATH]`; Docker Hub is `docker.io`. */
  readonly logins: ReadonlyMap<string, Credential>;
  /** By host: the `docker-credential-…` program to run. */
  readonly helpers: ReadonlyMap<string, string>;
  /** The program to run for every other host. */
  readonly defaultHelper: string | undefined;
}

/**
 * Normalizes a key of `auths`: `https://index.docker.io/v1/` to `docker.io`, `https://ghcr.io` to `ghcr.io`;
 * `quay.io/team` stays as it is. Undefined for a key that names no registry.
 */
export function normalizeKey(key: string): string | undefined {
  const bare = key.replace(/^https?:\/\//i, '').replace(/\/+$/, '');
  const [hostText = '', ...path] = bare.split('/');
  const host = parseSourceHost(hostText);
  if (host === undefined) return undefined;
  // Docker's key of the Hub ends in `/v1/`, its old API's version. Podman's keys may have a repository path.
  const isApiVersion = path.length === 1 && /^v\d+$/.test(path[0] ?? '');
  return [host, ...(isApiVersion ? [] : path)].join('/');
}

/** Decodes `base64(user:password)`; undefined for anything else. */
function decodeBasic(auth: unknown): Credential | undefined {
  if (typeof auth !== 'string' || auth === '') return undefined;
  const text = Buffer.from(auth, 'base64').toString('utf8').replace(/\0+$/, '');
  const colon = text.indexOf(':');
  if (colon <= 0) return undefined;
  return { kind: 'basic', username: text.slice(0, colon), password: text.slice(colon + 1) };
}

function loginOf(entry: JsonObject): Credential | undefined {
  const { identitytoken, registrytoken, auth, username, password } = entry;
  if (typeof registrytoken === 'string' && registrytoken !== '')
    return { kind: 'bearer', token: registrytoken };
  if (typeof identitytoken === 'string' && identitytoken !== '')
    return { kind: 'identity', token: identitytoken };
  if (typeof username === 'string' && typeof password === 'string' && username !== '')
    return { kind: 'basic', username, password };
  return decodeBasic(auth);
}

/** The name of a credential helper: `docker-credential-NAME` is run. A path is refused. */
function helperName(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' && basename(value) === value ? value : undefined;
}

/**
 * Reads the logins and helpers from a parsed `config.json` or `auth.json`. Drops malformed parts.
 * @see https://docs.docker.com/reference/cli/docker/login/#credential-stores
 * @see https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md
 */
export function readDockerConfig(content: unknown): DockerConfig {
  const root = objectOf(content);
  const logins = new Map<string, Credential>();
  for (const [key, entry] of Object.entries(objectOf(root['auths']))) {
    const name = normalizeKey(key);
    const login = loginOf(objectOf(entry));
    if (name !== undefined && login !== undefined) logins.set(name, login);
  }
  const helpers = new Map<string, string>();
  for (const [key, value] of Object.entries(objectOf(root['credHelpers']))) {
    const name = normalizeKey(key);
    const helper = helperName(value);
    if (name !== undefined && helper !== undefined) helpers.set(name, helper);
  }
  return { logins, helpers, defaultHelper: helperName(root['credsStore']) };
}
