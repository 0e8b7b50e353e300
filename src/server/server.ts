import { once } from 'node:events';
import { createServer, type Server, type ServerOptions } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Server as NetServer } from 'node:net';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { isLoopback } from '../lib/address.ts';
import { FairBudget } from '../lib/fair-budget.ts';
import type { RequestHandler } from '../lib/http.ts';
import type { Log } from '../lib/log.ts';
import type { PushForwarder } from '../oci/push.ts';
import type { Repository, SourceHost, Tag } from '../oci/reference.ts';
import type { AdmissionController } from '../oci/registry.ts';
import { createAccessLog } from './access-log.ts';
import { gateOfHosts } from './arriving-request.ts';
import {
  boundConnections,
  DEFAULT_LIMITS,
  guardConnections,
  type Limits,
  PipelineQueue,
} from './connections.ts';
import { createRequestHandler } from './handler.ts';
import type { FilterReferrers } from './lists.ts';
import { createResponseCache } from './manifests.ts';
import { createEventLoopMonitor, createMetrics, type Metrics } from './metrics.ts';
import { createPages } from './pages.ts';
import { createHostCheck } from './request-validation.ts';
import type { StatusFacts } from './status-facts.ts';

/** Where to listen: an address, or an open socket (socket activation). */
export type ListenTarget = { readonly host: string; readonly port: number } | { readonly fd: number };

/** Length of the kernel's queue of connections that are not accepted yet: many nodes pull at the same moment. */
const BACKLOG = 1024;

/** Starts to listen and resolves with the address. Rejects with Node's error (EADDRINUSE, EACCES). */
async function listenAt(server: NetServer, target: ListenTarget): Promise<AddressInfo> {
  const listening = once(server, 'listening');
  server.listen({ ...target, backlog: BACKLOG });
  await listening;
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not listening on a TCP port');
  return address;
}

/** A certificate chain and its private key, in PEM format. */
export interface TlsKeyPair {
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
}

export interface MirrorServerOptions {
  readonly gate: AdmissionController;
  readonly log: Log;
  /** This mirror's name in the `Via` header. Its upstream client adds the same name. */
  readonly pseudonym: string;
  /** The source host of requests that name none. */
  readonly defaultHost: SourceHost;
  /** True when a request may name this source host, in `ns` or as the first component of the path. */
  readonly isAllowedHost: (host: SourceHost) => boolean;
  readonly status: () => StatusFacts;
  readonly filterReferrers: FilterReferrers;
  /**
   * Paths with handlers of their own (`/token`), for all methods. A path that ends in `/` covers all paths below
   * it.
   */
  readonly handlers?: ReadonlyMap<string, RequestHandler>;
  /** Gaps: pulls that another build would have served better. Undefined: the page does not exist. */
  readonly gaps?: (() => object) | undefined;
  /** What this server currently lacks, as text; undefined when it lacks nothing. */
  readonly degraded?: (() => string | undefined) | undefined;
  /** Forwards pushes to the registries. Undefined: this mirror is read-only. */
  readonly push?: PushForwarder | undefined;
  /** Host names of the status pages, and of a mirror on loopback, besides addresses and localhost. */
  readonly names?: readonly string[];
  /** True when every request needs a login. The mirror then accepts any host name. */
  readonly hasLogins?: boolean;
  /** Addresses and subnets of proxies in front of this server. Each stands for many clients. */
  readonly proxies?: readonly string[];
  readonly limits?: Partial<Limits>;
  /** Metrics of other parts, which `/metrics` shows as well. */
  readonly metrics?: Metrics;
  readonly tls?: TlsKeyPair;
}

/** The HTTP server of a mirror. */
export interface MirrorServer {
  readonly metrics: Metrics;
  /** Starts to accept connections. Rejects with Node's error (EADDRINUSE, EACCES). */
  listen(target: ListenTarget): Promise<AddressInfo>;
  /** Accepts no more connections and lets running answers finish. After `timeoutMs` the remaining ones are closed. */
  drain(timeoutMs: number): Promise<void>;
  /** Closes all connections at once. */
  close(): Promise<void>;
  /** Drops cached responses, of one admission key or all. */
  invalidate(key?: string): void;
  /** Drops the cached responses of a tag. */
  invalidateTag(repository: Repository, tag: Tag): void;
  /** Uses a renewed certificate for new connections. */
  renew(identity: TlsKeyPair): void;
}

function nodeOptions(limits: Limits, takesBodies: boolean): ServerOptions {
  return {
    maxHeaderSize: limits.headerBytes,
    headersTimeout: limits.headersTimeoutMs,
    // Without pushes no request has a body, so its head is all of it.
    requestTimeout: takesBodies ? limits.uploadTimeoutMs : limits.headersTimeoutMs,
    // A timeout is noticed at most half as much later.
    connectionsCheckingInterval: Math.ceil(limits.headersTimeoutMs / 2),
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    // checkSyntax tests this, and answers as the specification requires.
    requireHostHeader: false,
    noDelay: true,
    insecureHTTPParser: false,
  };
}

function createHttpServer(limits: Limits, tls: TlsKeyPair | undefined, takesBodies: boolean) {
  if (tls === undefined) return { server: createServer(nodeOptions(limits, takesBodies)), renew: () => {} };
  const server = createTlsServer({
    ...nodeOptions(limits, takesBodies),
    ...tls,
    minVersion: 'TLSv1.2',
    handshakeTimeout: limits.headersTimeoutMs,
  });
  return { server, renew: (identity: TlsKeyPair) => server.setSecureContext({ ...identity }) };
}

/** Resolves when the server and all its connections have closed. */
function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
  });
}

/** Lets running answers finish, and calls `cut` after `timeoutMs`. Resolves when all connections have closed. */
async function finish(server: Server, timeoutMs: number, cut: () => void): Promise<void> {
  const ended = closed(server);
  const finished = new AbortController();
  const late = delay(timeoutMs, undefined, { signal: finished.signal, ref: false }).then(cut, () => {
    // All have finished in time.
  });
  // Node.js closes idle connections once, on close(). Those that become idle later are closed here.
  const sweep = setInterval(() => server.closeIdleConnections(), 100);
  await ended;
  clearInterval(sweep);
  finished.abort();
  await late;
}

export function createMirrorServer(options: MirrorServerOptions): MirrorServer {
  const { log, pseudonym, status, defaultHost } = options;
  const limits: Limits = { ...DEFAULT_LIMITS, ...options.limits };
  const metrics = options.metrics ?? createMetrics();
  const { server, renew } = createHttpServer(limits, options.tls, options.push !== undefined);
  const responseCache = createResponseCache({ maxBytes: limits.responseCacheBytes });
  const accessLog = createAccessLog(log, metrics);
  const pipeline = new PipelineQueue();
  const answerMemory = new FairBudget(limits.answerBytes);
  metrics.gauge('metahub_answer_memory_bytes', 'Large documents being sent.', () => answerMemory.taken);
  // On loopback the mirror is for programs of this machine, not for web pages in its browsers, so the name is
  // checked. On a network, and with TLS, clients use names that the settings need not list.
  const state = { isForThisMachine: false, isDraining: false };

  const handle = createRequestHandler({
    ...{ log, pseudonym, defaultHost, limits, responseCache, pipeline, answerMemory, metrics, accessLog },
    ...{
      state,
      isOwnName: createHostCheck(options.names ?? [], state),
      hasLogins: options.hasLogins ?? false,
    },
    gate: gateOfHosts(options),
    handlers: options.handlers ?? new Map(),
    push: options.push,
    filterReferrers: options.filterReferrers,
    pages: createPages({
      ...{ status, metrics, state },
      runtimes: () => accessLog.runtimes(),
      gaps: options.gaps,
      degraded: options.degraded,
      names: options.names ?? [],
    }),
  });
  server.timeout = limits.idleTimeoutMs;
  server.on('request', handle);
  guardConnections(server, { handle, pipeline, log });

  const connections = boundConnections(server, {
    ...{ max: limits.connections, proxies: options.proxies ?? [], log, metrics },
    now: () => performance.now(),
  });
  const eventLoop = createEventLoopMonitor(log, metrics);
  server.on('listening', eventLoop.start);
  server.on('close', eventLoop.stop);

  return {
    metrics,
    listen: async (target) => {
      const address = await listenAt(server, target);
      state.isForThisMachine = isLoopback(address.address) && options.tls === undefined && !options.hasLogins;
      return address;
    },
    drain: async (timeoutMs) => {
      state.isDraining = true;
      await finish(server, timeoutMs, () => {
        log('warning', 'pulls-cut', 'the stop interrupted pulls that took longer than --drain-timeout', {
          connections: connections.count(),
        });
        connections.cut();
      });
    },
    close: async () => {
      state.isDraining = true;
      const ended = closed(server);
      connections.cut();
      await ended;
    },
    invalidate: (key) => responseCache.invalidate(key),
    invalidateTag: (repository, tag) => responseCache.invalidateTag(repository, tag),
    renew,
  };
}
