import { createDial, type Dial, type DialTarget } from './dial.ts';
import { isListed } from './endpoint.ts';
import { hostOf, portOf } from './host-and-port.ts';
import { type ProxySettings, proxyFor } from './proxy.ts';
import type { Resolver } from './resolver.ts';
import { apiRootOf, DEFAULT_TIMEOUTS, type Timeouts, type UpstreamSettings } from './settings.ts';
import { createTransport, type Transport } from './transport.ts';
import { createTrust, SYSTEM_AUTHORITIES } from './trust.ts';

export interface ConnectionOptions {
  readonly resolve: Resolver;
  readonly proxy?: ProxySettings;
  /** Directories of `HOST[:PORT]/{*.crt,*.cert,*.key}`, such as `/etc/docker/certs.d`. */
  readonly certificateDirs?: readonly string[];
  /** Authorities trusted for every host besides the system's: what `NODE_EXTRA_CA_CERTS` names. */
  readonly extraAuthorities?: readonly string[];
  /** Monotonic milliseconds: a wall clock that jumps must not expire or revive a token. */
  readonly now: () => number;
  readonly timeouts?: Partial<Timeouts>;
}

/** The way to one source host's endpoints, with trust and proxies of its own. */
export interface Connection {
  readonly dial: Dial;
  readonly proxyOf: (url: URL) => URL | undefined;
  readonly transport: Transport;
}

/** Opens nothing yet: connections are made when something is sent. */
export function connectTo(settings: UpstreamSettings, options: ConnectionOptions): Connection {
  const { now, resolve, proxy = {} } = options;
  const timeouts: Timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
  const roots = settings.endpoints.map((endpoint) => ({ endpoint, root: apiRootOf(endpoint.url) }));
  const endpointAt = (name: string, port: number) =>
    roots.find(({ root }) => hostOf(root) === name && portOf(root) === port)?.endpoint;

  const proxyOf = (url: URL) => proxyFor(url, proxy);
  const isTrusted = (name: string, port: number) =>
    endpointAt(name, port)?.anyAddress === true ||
    settings.endpoints.some(({ trustedHosts }) => isListed(trustedHosts, name, port));

  const dial = createDial({
    isTrusted,
    resolve,
    trust: createTrust({
      settingsOf: (name, port) => endpointAt(name, port)?.tls,
      certificateDirs: options.certificateDirs ?? [],
      authorityFiles: [...SYSTEM_AUTHORITIES, ...(options.extraAuthorities ?? [])],
      now,
    }),
    proxyOf: ({ host: name, port }: DialTarget) =>
      proxyOf(new URL(`https://${name.includes(':') ? `[${name}]` : name}:${port}`)),
    timeoutMs: timeouts.headMs,
  });
  const transport = createTransport({ dial, proxyOf, isTrusted, timeouts });
  return { dial, proxyOf, transport };
}
