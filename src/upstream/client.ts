import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../lib/log.ts';
import { authorityOf, hostOf, portOf } from '../lib/url.ts';
import type { Repository, SourceHost } from '../oci/reference.ts';
import type { Registry } from '../oci/registry.ts';
import { HostNotAllowedError } from '../oci/registry-error.ts';
import { type Credentials, NO_CREDENTIALS } from './auth/credentials.ts';
import { createTokenCache } from './auth/token.ts';
import { BlobClient } from './blob-client.ts';
import { createEndpoint, isListed, ping } from './endpoint.ts';
import { fromNetworkError } from './errors.ts';
import { createChainClient, createFailover } from './failover.ts';
import { createBlobTransport } from './http/blob-transport.ts';
import { createSlabPool, type SlabPool } from './http/body.ts';
import { drain } from './http/reply.ts';
import { createTransport, type Outgoing, type Reply, type Transport } from './http/transport.ts';
import { createDial, type Dial, type DialTarget, type ProxySettings, proxyFor } from './net/dial.ts';
import { AddressRefusedError, createNameGuard } from './net/name-guard.ts';
import { createResolvers, type Resolver } from './net/resolver.ts';
import { createTlsContexts, SYSTEM_AUTHORITIES } from './net/tls.ts';
import { RangeBudget } from './range-budget.ts';
import { RegistryClient } from './registry-client.ts';
import { apiRootOf, DEFAULT_TIMEOUTS, type Timeouts, type UpstreamSettings } from './settings.ts';

const RETRY_DELAY_MS = 200;
const TRANSIENT_STATUS = [500, 502, 503, 504];
const TRANSIENT_CODES = ['ECONNRESET', 'EPIPE'];

function isTransient(error: unknown): boolean {
  return error instanceof Error && TRANSIENT_CODES.includes((error as NodeJS.ErrnoException).code ?? '');
}

/**
 * Retries once after a server error, or when a kept connection turns out to be closed. Every request here is
 * idempotent.
 */
async function sendWithRetry(send: Transport['send'], outgoing: Outgoing): Promise<Reply> {
  try {
    const reply = await send(outgoing);
    if (!TRANSIENT_STATUS.includes(reply.status)) return reply;
    drain(reply);
  } catch (error) {
    if (!isTransient(error)) throw error;
  }
  await delay(RETRY_DELAY_MS, undefined, outgoing.signal === undefined ? {} : { signal: outgoing.signal });
  return send(outgoing);
}

export interface ConnectionOptions {
  readonly resolve: Resolver;
  readonly proxy?: ProxySettings;
  /** Directories that contain `HOST[:PORT]/{*.crt,*.cert,*.key}`, such as `/etc/docker/certs.d`. */
  readonly certificateDirs?: readonly string[];
  /** Files with the system's trusted CA certificates. Default: the usual places. */
  readonly systemAuthorities?: readonly string[];
  /** CA certificates trusted for every host in addition to the system's: the file in `NODE_EXTRA_CA_CERTS`. */
  readonly extraAuthorities?: readonly string[];
  /** Monotonic milliseconds: a wall clock that jumps must neither expire nor revive a token. */
  readonly now: () => number;
  readonly timeouts?: Partial<Timeouts>;
}

/** The connections to the endpoints of one source host, with their own TLS trust and proxies. */
export interface Connection {
  readonly dial: Dial;
  readonly proxyOf: (url: URL) => URL | undefined;
  readonly transport: Transport;
  /** True when a connection to this URL's host can be made. */
  readonly reaches: (url: URL) => Promise<boolean>;
  /** True when MetaHub would follow a redirect to this location, judged by the name and addresses of its host. */
  readonly mayFollow: (location: string) => Promise<boolean>;
}

/** Opens no connection: that happens when a request is sent. */
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

  const refusePrivateName = createNameGuard(resolve);
  const dial = createDial({
    isTrusted,
    resolve,
    refusePrivateName,
    trust: createTlsContexts({
      settingsOf: (name, port) => endpointAt(name, port)?.tls,
      certificateDirs: options.certificateDirs ?? [],
      systemAuthorityFiles: options.systemAuthorities ?? SYSTEM_AUTHORITIES,
      extraAuthorityFiles: options.extraAuthorities ?? [],
      now,
    }),
    proxyOf: ({ host: name, port }: DialTarget) => proxyOf(new URL(`https://${authorityOf(name, port)}`)),
    timeoutMs: timeouts.headMs,
  });
  const transport = createTransport({ dial, proxyOf, isTrusted, refusePrivateName, timeouts });
  const reaches = async (url: URL) => {
    try {
      const isProxied = url.protocol === 'http:' && proxyOf(url) !== undefined;
      if (isProxied) await refusePrivateName(hostOf(url));
      else
        (await dial({ host: hostOf(url), port: portOf(url), secure: url.protocol === 'https:' })).destroy();
      return true;
    } catch {
      return false;
    }
  };
  const mayFollow = async (location: string) => {
    const url = new URL(location);
    if (isTrusted(hostOf(url), portOf(url))) return true;
    try {
      await refusePrivateName(hostOf(url));
      return true;
    } catch (error) {
      if (error instanceof AddressRefusedError) return false;
      throw error;
    }
  };
  return { dial, proxyOf, transport, reaches, mayFollow };
}

export interface UpstreamOptions extends Omit<ConnectionOptions, 'resolve'> {
  /** The settings of each allowed source host. For any other host nothing is dialled. */
  readonly allowed: Pick<ReadonlyMap<SourceHost, UpstreamSettings>, 'get'>;
  readonly credentials?: Credentials;
  /** This mirror's name in `Via`, by which it recognizes a loop (lib/http.ts). */
  readonly pseudonym: string;
  /** How blobs are read: `raw` (default) reads into reused memory; `standard` uses Node's HTTP client. */
  readonly blobReader?: 'raw' | 'standard';
  /**
   * Connections for each host for large blobs, of all downloads together; 1: one connection for each blob.
   * Default: 8.
   */
  readonly blobConnections?: number;
  readonly log?: Log;
}

const BLOB_CONNECTIONS = 8;

/** The client of a source host, with its open connections. */
interface Client {
  readonly registry: RegistryClient;
  readonly blobs: () => BlobClient;
  /** See {@link Upstream.challenge}. */
  readonly challenge: (signal?: AbortSignal) => Promise<string | undefined>;
  readonly close: () => Promise<void>;
}

/** What all source hosts share. None of it carries trust or secrets from one to another. */
interface Shared {
  readonly slabs: SlabPool;
  readonly budget: RangeBudget;
  readonly resolverFor: () => Resolver;
}

/** All source hosts as one registry. */
export interface Upstream extends Registry {
  /**
   * The `WWW-Authenticate` header that a source host's registry sends to a client without a login. Undefined
   * when it sends none, or when no endpoint accepts a client's own login (`passThrough`).
   * @throws {RegistryError} UNAVAILABLE
   */
  challenge(host: SourceHost, signal?: AbortSignal): Promise<string | undefined>;
  close(): Promise<void>;
}

/** The challenge of the endpoint that takes a client's own login. @see {@link Upstream.challenge} */
async function askChallenge(
  { endpoints }: UpstreamSettings,
  send: Transport['send'],
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const url = endpoints.findLast(({ passThrough }) => passThrough === true)?.url;
  if (url === undefined) return undefined;
  const asked = apiRootOf(url);
  try {
    const reply = await ping(send, asked, signal);
    drain(reply);
    return reply.status === 401 ? reply.headers['www-authenticate'] : undefined;
  } catch (error) {
    throw fromNetworkError(error, asked.host);
  }
}

function createClient(
  host: SourceHost,
  settings: UpstreamSettings,
  options: UpstreamOptions,
  { slabs, budget, resolverFor }: Shared,
): Client {
  const { now, credentials = NO_CREDENTIALS } = options;
  const log: Log = options.log ?? (() => {});
  const timeouts: Timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
  const { dial, proxyOf, transport, mayFollow } = connectTo(settings, { ...options, resolve: resolverFor() });
  // Made for the first blob: many hosts are asked for manifests only.
  let fast: Transport | undefined;
  const blobTransport = () => {
    fast ??= createBlobTransport({ dial, plain: transport, proxyOf, timeouts, slabs, now });
    return fast;
  };
  const send = (outgoing: Outgoing) => sendWithRetry(transport.send, outgoing);
  const sendFast = (outgoing: Outgoing) => sendWithRetry(blobTransport().send, outgoing);
  const sendForBlob = options.blobReader === 'standard' ? send : sendFast;
  const endpoints = settings.endpoints.map((endpoint) =>
    createEndpoint({
      settings: endpoint,
      send,
      sendForBlob,
      tokens: createTokenCache({ send, timeouts, now }),
      credentials,
      warn: (message) => log('warning', 'credential-problem', message, { registry: host }),
      now,
    }),
  );
  const chain = createChainClient(createFailover(endpoints, now), options.pseudonym);
  let blobs: BlobClient | undefined;
  const createBlobs = () =>
    new BlobClient({
      ask: chain.ask,
      send: sendForBlob,
      ...{ budget, now, mayFollow, resumeMs: timeouts.resumeMs },
      mode: settings.blobs ?? 'stream',
      onResume: (blob, offset, reason) =>
        log('info', 'blob-resumed', 'blob resumed', { registry: host, blob, offset, reason }),
    });
  return {
    challenge: (signal) => askChallenge(settings, send, signal),
    registry: new RegistryClient({ chain, timeouts, now }),
    blobs: () => {
      blobs ??= createBlobs();
      return blobs;
    },
    close: async () => {
      await Promise.all([fast?.close(), transport.close()]);
    },
  };
}

/**
 * All source hosts as one {@link Registry}. Each has its own endpoints, connections, tokens and trust, so that
 * nothing learnt from one host can be used against another.
 */
export function createUpstream(options: UpstreamOptions): Upstream {
  const clients = new Map<SourceHost, Client>();
  const shared: Shared = {
    slabs: createSlabPool(),
    budget: new RangeBudget(options.blobConnections ?? BLOB_CONNECTIONS, options.now),
    resolverFor: createResolvers(),
  };

  function clientOf(host: SourceHost): Client {
    const known = clients.get(host);
    if (known) return known;
    const settings = options.allowed.get(host);
    if (settings === undefined) throw new HostNotAllowedError(host);
    const client = createClient(host, settings, options, shared);
    clients.set(host, client);
    return client;
  }
  const clientFor = ({ host }: Repository) => clientOf(host).registry;

  return {
    challenge: async (host, signal) => clientOf(host).challenge(signal),
    resolve: async (repository, reference, asked) =>
      clientFor(repository).resolve(repository, reference, asked),
    manifest: async (repository, reference, asked) =>
      clientFor(repository).manifest(repository, reference, asked),
    statBlob: async (repository, digest, asked) => clientFor(repository).statBlob(repository, digest, asked),
    blob: async (repository, digest, asked) =>
      clientOf(repository.host).blobs().get(repository, digest, asked),
    tags: async (repository, asked) => clientFor(repository).tags(repository, asked),
    referrers: async (repository, digest, asked) =>
      clientFor(repository).referrers(repository, digest, asked),
    close: async () => {
      await Promise.all([...clients.values()].map(({ close }) => close()));
      clients.clear();
    },
  };
}
