import { basename } from 'node:path';
import { parseSourceHost } from '../../oci/reference.ts';
import type { Credential } from './credentials.ts';

/** Logins as docker, podman and skopeo keep them. */
export interface DockerConfig {
  /** By `HOST[/PATH]`, Docker Hub as `docker.io`. */
  readonly logins: ReadonlyMap<string, Credential>;
  /** By host: the `docker-credential-…` program to ask. */
  readonly helpers: ReadonlyMap<string, string>;
  /** The program to ask for every other host. */
  readonly defaultHelper: string | undefined;
}

type JsonMap = Readonly<Record<string, unknown>>;

function mapOf(value: unknown): JsonMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonMap) : {};
}

/**
 * `https://index.docker.io/v1/` as `docker.io`, `https://ghcr.io` as `ghcr.io`, `quay.io/team` as it stands; undefined for
 * what names no registry.
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

function loginOf(entry: JsonMap): Credential | undefined {
  const { identitytoken, registrytoken, auth, username, password } = entry;
  if (typeof registrytoken === 'string' && registrytoken !== '')
    return { kind: 'bearer', token: registrytoken };
  if (typeof identitytoken === 'string' && identitytoken !== '')
    return { kind: 'identity', token: identitytoken };
  if (typeof username === 'string' && typeof password === 'string' && username !== '')
    return { kind: 'basic', username, password };
  return decodeBasic(auth);
}

/** A helper is a name, never a path: it is looked up as `docker-credential-NAME`. */
function helperName(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' && basename(value) === value ? value : undefined;
}

/**
 * Reads `config.json` or `auth.json`: parsed JSON to logins and helpers; what is malformed is left out.
 * @see https://docs.docker.com/reference/cli/docker/login/#credential-stores
 * @see https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md
 */
export function readDockerConfig(content: unknown): DockerConfig {
  const root = mapOf(content);
  const logins = new Map<string, Credential>();
  for (const [key, entry] of Object.entries(mapOf(root['auths']))) {
    const name = normalizeKey(key);
    const login = loginOf(mapOf(entry));
    if (name !== undefined && login !== undefined) logins.set(name, login);
  }
  const helpers = new Map<string, string>();
  for (const [key, value] of Object.entries(mapOf(root['credHelpers']))) {
    const name = normalizeKey(key);
    const helper = helperName(value);
    if (name !== undefined && helper !== undefined) helpers.set(name, helper);
  }
  return { logins, helpers, defaultHelper: helperName(root['credsStore']) };
}
