import { containsLogin } from '../lib/url.ts';
import { DOCKER_HUB, type SourceHost } from '../oci/reference.ts';

/** Files for TLS with one host, in PEM format. */
export interface TlsSettings {
  /** CA certificates trusted in addition to the system's. */
  readonly caFile?: string | undefined;
  /** The client certificate and its key, if the registry requires one. */
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  /** Accept any certificate. Off by default. */
  readonly skipVerify?: boolean | undefined;
}

/** One URL that serves a source host's content. */
export interface EndpointSettings {
  /**
   * `https://HOST[:PORT][/PATH]`, or `http://…` if written so. A path with a component `v2` is the API root
   * itself (`https://harbor.example/v2/hub-proxy`). To any other path `/v2` is added
   * (`https://artifacts.example/docker`).
   */
  readonly url: string;
  /**
   * True: the host may have loopback, private or link-local addresses. For endpoints that the operator wrote,
   * not for defaults.
   */
  readonly anyAddress?: boolean | undefined;
  /**
   * Name the source host to this endpoint (`?ns=docker.io`), as containerd does with its mirrors. For Spegel,
   * Dragonfly or another MetaHub, which serve many registries at one address.
   */
  readonly ns?: boolean | undefined;
  /** Send the client's own `Authorization` to this endpoint, if it has one, instead of a stored login. */
  readonly passThrough?: boolean | undefined;
  /**
   * Hosts (`HOST` or `HOST:PORT`) that may be the target of redirects and token realms with any address. Token
   * services on them may receive the login.
   */
  readonly trustedHosts?: readonly string[] | undefined;
  readonly tls?: TlsSettings | undefined;
}

/** How to reach a source host: its endpoints in the order of tries. The last one is the authority. */
export interface UpstreamSettings {
  readonly endpoints: readonly [EndpointSettings, ...EndpointSettings[]];
  /** `redirect` passes redirects to blob storage on to the client; `stream`, the default, follows them. */
  readonly blobs?: 'stream' | 'redirect' | undefined;
}

/** Timeouts in milliseconds. */
export interface Timeouts {
  /** From the request to the response head, connecting included. */
  readonly headMs: number;
  /** From the request to the end of a manifest, a token or a list. */
  readonly documentMs: number;
  /** The window in which a blob's body must make progress, unless the reader is slow. */
  readonly idleMs: number;
  /** Pause before a broken blob is requested again. Doubled by each consecutive fruitless try. */
  readonly resumeMs: number;
}

export const DEFAULT_TIMEOUTS: Timeouts = {
  headMs: 10_000,
  documentMs: 30_000,
  idleMs: 10_000,
  resumeMs: 100,
};

/** The API of Docker Hub is on another host than image names say. */
const HUB_URL = 'https://registry-1.docker.io';

/** The settings of a source host that is not configured. */
export function defaultUpstream(host: SourceHost): UpstreamSettings {
  return { endpoints: [{ url: host === DOCKER_HUB ? HUB_URL : `https://${host}` }] };
}

/** The settings of a source host that the operator named without a URL. */
export function namedUpstream(host: SourceHost): UpstreamSettings {
  const [endpoint] = defaultUpstream(host).endpoints;
  return upstreamAt(endpoint.url);
}

/** The settings of a source host for which the operator gave one URL. */
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
  if (containsLogin(parsed)) {
    throw new TypeError(`upstream URL of ${parsed.host} contains a login: move it to the credentials`);
  }
  // Tested in the text, because a parsed URL does not show an empty query or fragment.
  if (/[?#]/.test(url)) {
    throw new TypeError(`upstream URL of ${parsed.host} has a query or a fragment: remove it`);
  }
  const path = parsed.pathname.replace(/\/+$/, '');
  parsed.pathname = path.split('/').includes('v2') ? path : `${path}/v2`;
  return parsed;
}
