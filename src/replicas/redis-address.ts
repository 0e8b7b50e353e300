import * as v from 'valibot';
import { reading } from '../lib/schema.ts';

/** Host and port of a Redis or a Sentinel. */
export interface RedisHost {
  readonly host: string;
  readonly port: number;
}

/** Address of the Redis (or Valkey) that replicas share. */
export interface RedisAddress {
  readonly kind: 'server' | 'sentinel' | 'cluster';
  readonly hosts: readonly RedisHost[];
  readonly tls: boolean;
  readonly user: string | undefined;
  /** A secret; {@link formatRedisAddress} hides it. */
  readonly password: string | undefined;
  /** The number of the database; always 0 in a cluster. */
  readonly database: number;
  /** The name of the master in the Sentinels. */
  readonly master: string | undefined;
}

const URL_FORM =
  /^(?<scheme>rediss?)(?:\+(?<kind>sentinel|cluster))?:\/\/(?:(?<user>[^:@/]*)(?::(?<password>[^@/]*))?@)?(?<hosts>[^@/?#]+)(?:\/(?<path>[^?#]*))?$/;
const HOST_FORM = /^(?<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(?<port>\d{1,5}))?$/;
const PORTS = { server: 6379, cluster: 6379, sentinel: 26379 } as const;
const HOSTS_MAX = 64;
const MASTER_FORM = /^[A-Za-z0-9._-]{1,128}$/;
const DATABASE_FORM = /^\d{1,4}$/;

function readHost(text: string, defaultPort: number): RedisHost | undefined {
  const { host, port = String(defaultPort) } = HOST_FORM.exec(text)?.groups ?? {};
  if (host === undefined || Number(port) < 1 || Number(port) > 65_535) return undefined;
  return { host: host.replaceAll(/[[\]]/g, ''), port: Number(port) };
}

function decodePart(text: string | undefined): string | undefined {
  if (text === undefined || text === '') return undefined;
  return decodeURIComponent(text);
}

/** Parses the path: `/2`, `/mymaster`, `/mymaster/2`; undefined when it does not suit the kind. */
function readPath(kind: RedisAddress['kind'], path: string) {
  const parts = path === '' ? [] : path.split('/');
  const master = kind === 'sentinel' ? (parts.shift() ?? '') : undefined;
  const [database = '0', ...more] = parts;
  if (more.length > 0 || !DATABASE_FORM.test(database)) return undefined;
  if (master !== undefined && !MASTER_FORM.test(master)) return undefined;
  if (kind === 'cluster' && Number(database) !== 0) return undefined;
  return { master, database: Number(database) };
}

function parseRedisAddress(url: string): RedisAddress | undefined {
  const groups = URL_FORM.exec(url)?.groups;
  if (groups === undefined) return undefined;
  const { scheme, user, password, hosts: written = '', path = '' } = groups;
  const kind = (groups['kind'] ?? 'server') as RedisAddress['kind'];
  const hosts = written.split(',').map((text) => readHost(text, PORTS[kind]));
  const known = hosts.filter((host) => host !== undefined);
  const place = readPath(kind, path);
  const isOne = kind !== 'server' || hosts.length === 1;
  if (place === undefined || known.length !== hosts.length || !isOne || hosts.length > HOSTS_MAX)
    return undefined;
  try {
    const login = { user: decodePart(user), password: decodePart(password) };
    return { kind, hosts: known, tls: scheme === 'rediss', ...login, ...place };
  } catch {
    // A percent sign does not begin an escape.
    return undefined;
  }
}

/** `redis://HOST`, `rediss://USER:PASSWORD@HOST:PORT/DB`, `redis+sentinel://A,B,C/MASTER`, `redis+cluster://A,B,C`. */
export const RedisUrl = v.pipe(
  v.string(),
  v.examples([
    'rediss://redis.example.org',
    'redis+sentinel://a,b,c/mymaster',
    'redis+cluster://a:6379,b:6379',
  ]),
  // The error omits the value, because it may contain a password.
  reading(
    parseRedisAddress,
    () =>
      'it is not redis://HOST[:PORT][/DB], rediss://…, redis+sentinel://HOST,HOST/MASTER or redis+cluster://HOST,HOST',
  ),
);

function formatHost({ host, port }: RedisHost): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Formats the address; replaces the password by `***`. */
export function formatRedisAddress({
  kind,
  hosts,
  tls,
  user,
  password,
  master,
  database,
}: RedisAddress): string {
  const scheme = `redis${tls ? 's' : ''}${kind === 'server' ? '' : `+${kind}`}`;
  const name = user === undefined ? '' : encodeURIComponent(user);
  const login = password === undefined ? name : `${name}:***`;
  const path = [...(master === undefined ? [] : [master]), ...(database === 0 ? [] : [database])].join('/');
  const at = login === '' ? '' : `${login}@`;
  return `${scheme}://${at}${hosts.map(formatHost).join(',')}${path === '' ? '' : `/${path}`}`;
}
