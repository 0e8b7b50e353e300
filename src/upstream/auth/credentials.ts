import { basename } from 'node:path';
import { type JsonObject, objectOf } from '../../lib/bounded-json.ts';
import { parseSourceHost, type Repository } from '../../oci/reference.ts';
import type { Access } from '../../oci/registry.ts';

/** What a registry, or its token service, gets to see. Secrets: never logged, never part of a message. */
export type Credential =
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  /** An OAuth2 refresh token, exchanged at the token service (`docker login` to Azure's registries stores one). */
  | { readonly kind: 'identity'; readonly token: string }
  /** A bearer token for the registry itself. */
  | { readonly kind: 'bearer'; readonly token: string };

/** Logins by registry host (`HOST[:PORT]`, Docker Hub as `docker.io`) and repository: the most specific one wins. */
export interface Credentials {
  loginFor(
    registry: string,
    repository: Repository['name'],
    signal?: AbortSignal,
    access?: Access,
  ): Promise<Credential | undefined>;
}

/** No login anywhere. */
export const NO_CREDENTIALS: Credentials = { loginFor: async () => undefined };

/** `Basic …` of a user name and password. */
export function basicAuthorization(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/**
 * Token services that are neither on their registry's host, nor above it, nor below it.
 * Docker Hub: https://distribution.github.io/distribution/spec/auth/token/
 */
const KNOWN_REALMS: Readonly<Record<string, readonly string[]>> = {
  'registry-1.docker.io': ['auth.docker.io'],
  'registry.docker.io': ['auth.docker.io'],
};

/** True when `inner` is a host of the domain `outer`, which has at least two labels. */
function isWithin(inner: string, outer: string): boolean {
  return outer.includes('.') && inner.endsWith(`.${outer}`);
}

/**
 * True when the token service at `realm` may see the login for `registry`. Its host is the registry's own, one of its
 * domain (`registry.gitlab.com` and `gitlab.com`), a known one, or one that the operator trusts. It never sees a
 * login in clear text, unless the registry does. The realm comes from the network: a login must not go wherever it
 * points.
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

/** Logins in the form of docker, podman and skopeo. */
export interface DockerConfig {
  /** By `HOST[/PATH]`, Docker Hub as `docker.io`. */
  readonly logins: ReadonlyMap<string, Credential>;
  /** By host: the `docker-credential-…` program to ask. */
  readonly helpers: ReadonlyMap<string, string>;
  /** The program to ask for every other host. */
  readonly defaultHelper: string | undefined;
}

/**
 * `https://index.docker.io/v1/` as `docker.io`, `https://ghcr.io` as `ghcr.io`, `quay.io/team` unchanged; undefined for
 * a key that names no registry.
 */
export function normalizeKey(key: string): string | undefined {
  const bare = key.replace(/^https?:\/\//i, '').replace(/\/+$/, '');
  const [hostText = '', ...path] = bare.split('/');
  const host = parseSourceHost(hostText);
  if (host === undefined) return undefined;
  // Docker's key of the Hub ends in its old API's version; podman scopes a login to a path.
  const isApiVersion = path.length === 1 && /^v\d+$/.test(path[0] ?? '');
  return [host, ...(isApiVersion ? [] : path)].join('/');
}

/** `base64(user:password)`; undefined for anything else. */
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

/** A helper is a name, never a path: the program is `docker-credential-NAME`. */
function helperName(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' && basename(value) === value ? value : undefined;
}

/**
 * Reads `config.json` or `auth.json`: parsed JSON to logins and helpers; malformed parts are dropped.
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
