import {
  expectObject,
  optionalBoolean,
  optionalString,
  optionalStrings,
  refuseUnknownKeys,
  requiredString,
} from '../../lib/object-reader.ts';
import { parseSourceHost, type SourceHost } from '../../oci/reference.ts';
import {
  apiRootOf,
  defaultUpstream,
  type EndpointSettings,
  namedUpstream,
  type UpstreamSettings,
  upstreamAt,
} from '../../upstream/settings.ts';
import { readText } from './parse.ts';

/** The source hosts that may be asked, each with the way to it. */
export type Upstreams = ReadonlyMap<SourceHost, UpstreamSettings>;

/** Public registries that a mirror may ask without being told: an allow-list, not a guess. */
const PUBLIC_HOSTS = [
  'docker.io',
  'ghcr.io',
  'quay.io',
  'gcr.io',
  'nvcr.io',
  'registry.k8s.io',
  'mcr.microsoft.com',
  'public.ecr.aws',
] as const;

function hostNamed(text: string): SourceHost {
  const host = parseSourceHost(text);
  if (host === undefined) throw new Error(`“${text}” is no registry host`);
  return host;
}

/** What may be asked: the named upstreams, and the public registries beside them unless they are switched off. */
export function allowedUpstreams(settings: {
  readonly upstream: Upstreams;
  readonly publicRegistries: boolean;
}): Upstreams {
  const open = settings.publicRegistries ? PUBLIC_HOSTS.map(hostNamed) : [];
  return new Map([...open.map((host) => [host, defaultUpstream(host)] as const), ...settings.upstream]);
}

/** `NAME=URL`, or a bare `NAME` for a registry that lives where its name says. */
function readPair(text: string): [SourceHost, UpstreamSettings] {
  const equals = text.indexOf('=');
  const host = hostNamed(equals < 0 ? text : text.slice(0, equals));
  if (equals < 0) return [host, namedUpstream(host)];
  const url = text.slice(equals + 1);
  apiRootOf(url);
  return [host, upstreamAt(url)];
}

/** The same name given again is the next endpoint of its chain. */
function readPairs(texts: readonly unknown[]): Upstreams {
  const upstreams = new Map<SourceHost, UpstreamSettings>();
  for (const [host, settings] of texts.map((text) => readPair(readText(text)))) {
    const known = upstreams.get(host);
    upstreams.set(
      host,
      known ? { ...known, endpoints: [...known.endpoints, ...settings.endpoints] } : settings,
    );
  }
  return upstreams;
}

function readTls(value: unknown, what: string): EndpointSettings['tls'] {
  if (value === undefined) return undefined;
  const map = expectObject(value, `${what}: tls`);
  refuseUnknownKeys(map, ['ca', 'cert', 'key', 'skipVerify'], `${what}: tls`);
  if (map['key'] !== undefined && map['cert'] === undefined)
    throw new Error(`${what}: tls has a key without its cert`);
  return {
    caFile: optionalString(map, 'ca', what),
    certFile: optionalString(map, 'cert', what),
    keyFile: optionalString(map, 'key', what),
    skipVerify: optionalBoolean(map, 'skipVerify', what),
  };
}

function readEndpoint(value: unknown, what: string): EndpointSettings {
  const map = typeof value === 'string' ? { url: value } : expectObject(value, what);
  refuseUnknownKeys(map, ['url', 'ns', 'passThrough', 'trustedHosts', 'tls', 'anyAddress'], what);
  const url = requiredString(map, 'url', what);
  apiRootOf(url);
  return {
    url,
    anyAddress: optionalBoolean(map, 'anyAddress', what) ?? true,
    ns: optionalBoolean(map, 'ns', what),
    passThrough: optionalBoolean(map, 'passThrough', what),
    trustedHosts: optionalStrings(map, 'trustedHosts', what),
    tls: readTls(map['tls'], what),
  };
}

function readUpstream(value: unknown, what: string): UpstreamSettings {
  const isPlain = typeof value === 'string' || Array.isArray(value);
  const map = isPlain ? { endpoints: value } : expectObject(value, what);
  refuseUnknownKeys(map, ['endpoints', 'blobs'], what);
  const blobs = optionalString(map, 'blobs', what);
  if (blobs !== undefined && blobs !== 'stream' && blobs !== 'redirect')
    throw new Error(`${what}: blobs is “stream” or “redirect”`);
  const endpoints = [map['endpoints']].flat(1).map((endpoint) => readEndpoint(endpoint, what));
  const [first, ...rest] = endpoints;
  if (first === undefined) throw new Error(`${what}: an endpoint is expected`);
  return { endpoints: [first, ...rest], ...(blobs === undefined ? {} : { blobs }) };
}

/**
 * Upstreams as flags and variables give them (`NAME=URL`, repeated for a chain), or as the file does: a map of host to
 * URL, list of URLs, or `{endpoints: [{url, ns, tls, trustedHosts, passThrough}], blobs}`.
 */
export function readUpstreams(value: unknown): Upstreams {
  if (typeof value === 'string' || Array.isArray(value)) return readPairs([value].flat());
  const entries = Object.entries(expectObject(value, 'upstream'));
  return new Map(entries.map(([name, settings]) => [hostNamed(name), readUpstream(settings, name)]));
}

/** Is a client's own login presented to this upstream? */
export function passesOn(settings: UpstreamSettings | undefined): boolean {
  return settings?.endpoints.some(({ passThrough }) => passThrough === true) === true;
}
