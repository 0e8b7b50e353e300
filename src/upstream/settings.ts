import { DOCKER_HUB, type SourceHost } from '../oci/reference.ts';

/** Files of one host's TLS identity, PEM. */
export interface TlsSettings {
  /** Trusted in addition to the system's own authorities. */
  readonly caFile?: string | undefined;
  /** The client's certificate and key, if the registry requires one. */
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  /** Accept any certificate. Never the default, never implied. */
  readonly skipVerify?: boolean | undefined;
}

/** One place that serves a source host's content. */
export interface EndpointSettings {
  /**
   * `https://HOST[:PORT][/PATH]`; `http://` only if written so. A path with a `v2` component is the API's root itself
   * (`https://harbor.example/v2/hub-proxy`); any other path gets `/v2` appended (`https://artifacts.example/docker`).
   */
  readonly url: string;
  /**
   * True: its name may resolve to loopback, private or link-local addresses. For endpoints that an operator wrote, not
   * for defaults.
   */
  readonly anyAddress?: boolean | undefined;
  /**
   * Tell this endpoint which registry is meant (`?ns=docker.io`), as containerd tells its mirrors: Spegel, Dragonfly
   * and another MetaHub serve many registries at one address.
   */
  readonly ns?: boolean | undefined;
  /** Present the client's own `Authorization` here, when it sent one, instead of a stored login. */
  readonly passThrough?: boolean | undefined;
  /**
   * Hosts (`HOST` or `HOST:PORT`) that redirects and token realms may lead to, logins included, whatever their address.
   */
  readonly trustedHosts?: readonly string[] | undefined;
  readonly tls?: TlsSettings | undefined;
}

/** How to reach a source host: endpoints in the order of tries, the most authoritative one last. */
export interface UpstreamSettings {
  readonly endpoints: readonly [EndpointSettings, ...EndpointSettings[]];
  /** `redirect` passes an upstream's redirect to blob storage on to the client; `stream`, the default, follows it. */
  readonly blobs?: 'stream' | 'redirect' | undefined;
}

/** Bounds on waiting, in milliseconds. */
export interface Timeouts {
  /** From the request to the response's header, connecting included. */
  readonly headMs: number;
  /** From the request to the end of a manifest, a token or a list. */
  readonly documentMs: number;
  /** A blob's body must make progress within this time, unless the reader is the slow one. */
  readonly idleMs: number;
  /** Pause before a broken blob is requested again; doubled by every fruitless try in a row. */
  readonly resumeMs: number;
}

export const DEFAULT_TIMEOUTS: Timeouts = {
  headMs: 10_000,
  documentMs: 30_000,
  idleMs: 10_000,
  resumeMs: 100,
};

/** Docker Hub's API is on another host than image names imply. */
const HUB_URL = 'https://registry-1.docker.io';

/** The settings of a source host without configuration. */
export function defaultUpstream(host: SourceHost): UpstreamSettings {
  return { endpoints: [{ url: host === DOCKER_HUB ? HUB_URL : `https://${host}` }] };
}

/** The settings of a source host that an operator named without an address: its name is its address. */
export function namedUpstream(host: SourceHost): UpstreamSettings {
  const [endpoint] = defaultUpstream(host).endpoints;
  return upstreamAt(endpoint.url);
}

/** The settings of a source host for which an operator gave one URL. */
export function upstreamAt(url: string): UpstreamSettings {
  return { endpoints: [{ url, anyAddress: true }] };
}

/**
 * The API root of an endpoint's `url`, without a trailing slash.
 * @throws {TypeError} when it is not an http(s) URL, or contains a login, a query or a fragment.
 */
export function apiRootOf(url: string): URL {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !/^https?:$/.test(parsed.protocol)) {
    throw new TypeError(`upstream URL ${url} is not of the form https://HOST[:PORT][/PATH]`);
  }
  if (parsed.username !== '' || parsed.password !== '') {
    throw new TypeError(`upstream URL of ${parsed.host} contains a login: move it to the credentials`);
  }
  // Checked in the text: a parsed URL does not distinguish an empty query or fragment from none.
  if (/[?#]/.test(url)) {
    throw new TypeError(`upstream URL of ${parsed.host} has a query or a fragment: remove it`);
  }
  const path = parsed.pathname.replace(/\/+$/, '');
  parsed.pathname = path.split('/').includes('v2') ? path : `${path}/v2`;
  return parsed;
}
