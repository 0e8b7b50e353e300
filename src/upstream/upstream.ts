import type { Log } from '../oci/log.ts';
import type { Repository, SourceHost } from '../oci/reference.ts';
import type { Registry } from '../oci/registry.ts';
import { HostNotAllowedError } from '../oci/registry-error.ts';
import { createChain } from './chain.ts';
import { type ConnectionOptions, connectTo } from './connection.ts';
import { discard } from './document.ts';
import { createEndpoint } from './endpoint.ts';
import { fromNetwork } from './failure.ts';
import { createFastTransport } from './fast-transport.ts';
import { type Credentials, NO_CREDENTIALS } from './login.ts';
import { createRegistryClient } from './registry-client.ts';
import { createResolvers, type Resolver } from './resolver.ts';
import { sendTwice } from './send-twice.ts';
import { apiRootOf, DEFAULT_TIMEOUTS, type Timeouts, type UpstreamSettings } from './settings.ts';
import { createSlabPool, type SlabPool } from './slab.ts';
import { createTokens } from './token.ts';
import { type Outgoing, USER_AGENT } from './transport.ts';

export interface UpstreamOptions extends Omit<ConnectionOptions, 'resolve'> {
  /** The way to a source host; undefined refuses it before anything is dialled: this is the allow-list. */
  readonly registryFor: (host: SourceHost) => UpstreamSettings | undefined;
  readonly credentials?: Credentials;
  /** This mirror's name in `Via`, by which its server recognises a loop (see oci/via.ts). */
  readonly pseudonym: string;
  /** How blobs are read: `fast`, the default, into reused memory; `plain` like everything else. */
  readonly blobReader?: 'fast' | 'plain';
  readonly log?: Log;
}

/** A source host's client together with what it holds open. */
interface Client {
  readonly registry: Registry;
  /** See {@link Upstream.challenge}. */
  readonly challenge: (signal?: AbortSignal) => Promise<string | undefined>;
  readonly close: () => Promise<void>;
}

/** What source hosts share, none of which is of use against another. */
interface Shared {
  readonly slabs: SlabPool;
  readonly resolverFor: () => Resolver;
}

/** The registries of the world. */
export interface Upstream extends Registry {
  /**
   * The `WWW-Authenticate` with which a source host's registry meets who comes without a login; undefined when it lets
   * everyone in, or none of its endpoints takes a client's own login (`passThrough`).
   * @throws {RegistryError} UNAVAILABLE
   */
  challenge(host: SourceHost, signal?: AbortSignal): Promise<string | undefined>;
  close(): Promise<void>;
}

function createClient(
  host: SourceHost,
  settings: UpstreamSettings,
  options: UpstreamOptions,
  { slabs, resolverFor }: Shared,
): Client {
  const { now, credentials = NO_CREDENTIALS } = options;
  const log: Log = options.log ?? (() => {});
  const timeouts: Timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
  const { dial, proxyOf, transport } = connectTo(settings, { ...options, resolve: resolverFor() });
  const fast = createFastTransport({ dial, plain: transport, proxyOf, timeouts, slabs, now });
  const send = (outgoing: Outgoing) => sendTwice(transport.send, outgoing);
  const sendFast = (outgoing: Outgoing) => sendTwice(fast.send, outgoing);
  const endpoints = settings.endpoints.map((endpoint) =>
    createEndpoint({
      settings: endpoint,
      send,
      sendForBlob: options.blobReader === 'plain' ? send : sendFast,
      tokens: createTokens({ send, timeouts, now }),
      credentials,
      warn: (event) => log('warning', event, { registry: host }),
    }),
  );
  async function challenge(signal?: AbortSignal): Promise<string | undefined> {
    const url = settings.endpoints.findLast(({ passThrough }) => passThrough === true)?.url;
    if (url === undefined) return undefined;
    const asked = apiRootOf(url);
    const headers = { 'accept-encoding': 'identity', 'user-agent': USER_AGENT };
    try {
      const reply = await send({ method: 'GET', url: new URL(`${asked.href}/`), headers, signal });
      discard(reply);
      return reply.status === 401 ? reply.headers['www-authenticate'] : undefined;
    } catch (error) {
      throw fromNetwork(error, asked.host);
    }
  }
  return {
    challenge,
    registry: createRegistryClient({
      chain: createChain(endpoints, now),
      blobs: settings.blobs ?? 'stream',
      pseudonym: options.pseudonym,
      timeouts,
      log: (event, fields) => log('info', event, { registry: host, ...fields }),
    }),
    close: async () => {
      await Promise.all([fast.close(), transport.close()]);
    },
  };
}

/**
 * The registries of the world as one {@link Registry}: each source host by its own chain of endpoints, with connections,
 * tokens and trust of its own, so that nothing learnt from one host is of use against another.
 */
export function createUpstream(options: UpstreamOptions): Upstream {
  const clients = new Map<SourceHost, Client>();
  const shared: Shared = { slabs: createSlabPool(), resolverFor: createResolvers() };

  function clientOf(host: SourceHost): Client {
    const known = clients.get(host);
    if (known) return known;
    const settings = options.registryFor(host);
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
    blob: async (repository, digest, asked) => clientFor(repository).blob(repository, digest, asked),
    tags: async (repository, asked) => clientFor(repository).tags(repository, asked),
    referrers: async (repository, digest, asked) =>
      clientFor(repository).referrers(repository, digest, asked),
    close: async () => {
      await Promise.all([...clients.values()].map(({ close }) => close()));
      clients.clear();
    },
  };
}
