import { DOCKER_HUB, type SourceHost } from '../oci/reference.ts';

/** Files of one host's TLS identity, PEM. */
export interface TlsSettings {
  /** Trusted besides the system's own authorities. */
  readonly caFile?: string | undefined;
  /** The client's certificate and key, where the registry asks for one. */
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  /** Accept any certificate. Never the default, never implied. */
  readonly skipVerify?: boolean | undefined;
}

/** One place where a source host's content can be had. */
export interface EndpointSettings {
  /**
   * `https://HOST[:PORT][/PATH]`; `http://` only if spelled so. A path that has a `v2` component is the API's root as it
   * stands (`https://harbor.example/v2/hub-proxy`), any other gets `/v2` appended (`https://artifacts.example/docker`).
   */
  readonly url: string;
  /** May its name resolve to loopback, private or link-local addresses? For what an operator wrote; not for defaults. */
  readonly anyAddress?: boolean | undefined;
  /**
   * Tell this endpoint which registry is meant (`?ns=docker.io`), as containerd tells its mirrors: Spegel, Dragonfly and
   * another MetaHub stand in for many registries at one address.
   */
  readonly ns?: boolean | undefined;
  /** Present the client's own `Authorization` here instead of a login of ours, when it sent one. */
  readonly passThrough?: boolean | undefined;
  /** Hosts (`HOST` or `HOST:PORT`) that redirects and token realms may lead to whatever their address, logins included. */
  readonly trustedHosts?: readonly string[] | undefined;
  readonly tls?: TlsSettings | undefined;
}

/** How a source host is reached: endpoints in the order in which they are asked, the most authoritative one last. */
export interface UpstreamSettings {
  readonly endpoints: readonly [EndpointSettings, ...EndpointSettings[]];
  /** `redirect` hands an upstream's redirect to blob storage on to the client; `stream`, the default, follows it. */
  readonly blobs?: 'stream' | 'redirect' | undefined;
}

/** Bounds on waiting, in milliseconds. */
export interface Timeouts {
  /** From asking to the response's head, connecting included. */
  readonly headMs: number;
  /** From asking to the end of a manifest, a token or a list. */
  readonly documentMs: number;
  /** Within this time a blob's body must move on, unless the reader is the slow one. */
  readonly idleMs: number;
  /** Pause before a blob that broke off is asked for again; doubled by every try in a row that brought nothing. */
  readonly resumeMs: number;
}

export const DEFAULT_TIMEOUTS: Timeouts = {
  headMs: 10_000,
  documentMs: 30_000,
  idleMs: 10_000,
  resumeMs: 100,
};

/** Where Docker Hub's API lives: not on the host that image names imply. */
const HUB_URL = 'https://registry-1.docker.io';

/** The way to a source host about which nothing is configured. */
export function defaultUpstream(host: SourceHost): UpstreamSettings {
  return { endpoints: [{ url: host === DOCKER_HUB ? HUB_URL : `https://${host}` }] };
}

/** The way to a source host that an operator named without saying where it lives: wherever its name leads. */
export function namedUpstream(host: SourceHost): UpstreamSettings {
  const [endpoint] = defaultUpstream(host).endpoints;
  return upstreamAt(endpoint.url);
}

/** The way to a source host for which an operator named one URL. */
export function upstreamAt(url: string): UpstreamSettings {
  return { endpoints: [{ url, anyAddress: true }] };
}

/**
 * The API root that an endpoint's `url` denotes, without a trailing slash.
 * @throws {TypeError} when it is no http(s) URL, or carries a login, a query or a fragment.
 */
export function apiRootOf(url: string): URL {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !/^https?:$/.test(parsed.protocol)) {
    throw new TypeError(`upstream URL ${url} is not of the form https://HOST[:PORT][/PATH]`);
  }
  if (parsed.username !== '' || parsed.password !== '') {
    throw new TypeError(`upstream URL of ${parsed.host} holds a login: put it among the credentials instead`);
  }
  // By the text: a URL does not tell an empty query or fragment from none, and keeps its mark.
  if (/[?#]/.test(url)) {
    throw new TypeError(`upstream URL of ${parsed.host} has a query or a fragment: remove it`);
  }
  const path = parsed.pathname.replace(/\/+$/, '');
  parsed.pathname = path.split('/').includes('v2') ? path : `${path}/v2`;
  return parsed;
}
