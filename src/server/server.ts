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
import {
  boundConnections,
  DEFAULT_LIMITS,
  guardConnections,
  type Limits,
  PipelineQueue,
} from './connections.ts';
import { createRequestHandler } from './handler.ts';
import type { FilterReferrers } from './lists.ts';
import { createEventLoopMonitor, createMetrics, type Metrics } from './metrics.ts';
import { createPages } from './pages.ts';
import { createHostCheck } from './request-validation.ts';
import { createResponseCache } from './response-cache.ts';
import type { StatusFacts } from './status-facts.ts';

/** Where to listen: an address, or a socket that was opened for us (socket activation). */
export type ListenTarget = { readonly host: string; readonly port: number } | { readonly fd: number };

/** Pulls come in bursts of many nodes at once: the kernel holds this many that were not accepted yet. */
const BACKLOG = 1024;

/** Listens; resolves with where, once connections are taken. Rejects with Node's error (EADDRINUSE, EACCES). */
async function listenAt(server: NetServer, target: ListenTarget): Promise<AddressInfo> {
  const listening = once(server, 'listening');
  server.listen({ ...target, backlog: BACKLOG });
  await listening;
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not listening on a TCP port');
  return address;
}

/** A certificate chain and its key, PEM. */
export interface TlsKeyPair {
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
}

export interface MirrorServerOptions {
  readonly gate: AdmissionController;
  readonly log: Log;
  /** What this mirror calls itself in `Via`: the same name that its upstream client adds. */
  readonly pseudonym: string;
  /** The source host of a request that names none. */
  readonly defaultHost: SourceHost;
  /** May a request name this source host, by `ns` or as the path's first component? */
  readonly isAllowedHost: (host: SourceHost) => boolean;
  readonly status: () => StatusFacts;
  readonly filterReferrers: FilterReferrers;
  /** Paths that are answered by others (`/token`), with any method; one that ends in `/` stands for all below it. */
  readonly handlers?: ReadonlyMap<string, RequestHandler>;
  /** Pulls that another build would have served better; undefined: nobody is told without a login. */
  readonly gaps?: (() => object) | undefined;
  /** Why it serves with less than it should have; undefined: it lacks nothing. */
  readonly degraded?: (() => string | undefined) | undefined;
  /** Passes writes on to the registries; undefined: this mirror is read-only. */
  readonly push?: PushForwarder | undefined;
  /** Names under which the status pages may be seen, and a mirror on loopback asked, besides addresses and localhost. */
  readonly names?: readonly string[];
  /** Every request shows a login: the mirror may be asked under any name. */
  readonly hasLogins?: boolean;
  /** Addresses and subnets of proxies in front: each stands for many clients. */
  readonly proxies?: readonly string[];
  readonly limits?: Partial<Limits>;
  /** Counters of other parts that `/metrics` is to show as well. */
  readonly metrics?: Metrics;
  readonly tls?: TlsKeyPair;
}

/** The mirror's HTTP side. */
export interface MirrorServer {
  readonly metrics: Metrics;
  /** Starts to take connections. Rejects with Node's error (EADDRINUSE, EACCES). */
  listen(target: ListenTarget): Promise<AddressInfo>;
  /** Takes no more connections and lets what is being answered finish; what has not after `timeoutMs` is cut. */
  drain(timeoutMs: number): Promise<void>;
  /** Cuts everything at once. */
  close(): Promise<void>;
  /** Forgets the manifests that would be sent again without asking, of one admission key or of all. */
  invalidate(key?: string): void;
  /** Forgets what would be sent again for a tag. */
  invalidateTag(repository: Repository, tag: Tag): void;
  /** Takes a renewed certificate for connections to come. */
  renew(identity: TlsKeyPair): void;
}

function nodeOptions(limits: Limits, takesBodies: boolean): ServerOptions {
  return {
    maxHeaderSize: limits.headerBytes,
    headersTimeout: limits.headersTimeoutMs,
    // Unless pushes are taken no request has a body, so it is complete with its head.
    requestTimeout: takesBodies ? limits.uploadTimeoutMs : limits.headersTimeoutMs,
    // Noticed at most half as much later.
    connectionsCheckingInterval: Math.ceil(limits.headersTimeoutMs / 2),
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    // Checked by checkSyntax, which answers as the spec has it.
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

/** Resolves when the server has closed: all its connections have ended. */
function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
  });
}

/** Lets what is being answered finish, then calls `cut` after `timeoutMs`; resolves when all connections have ended. */
async function finish(server: Server, timeoutMs: number, cut: () => void): Promise<void> {
  const ended = closed(server);
  const finished = new AbortController();
  const late = delay(timeoutMs, undefined, { signal: finished.signal, ref: false }).then(cut, () => {
    // All have finished in time.
  });
  // Node closes idle connections once, on close(); those that become idle afterwards are closed here.
  const sweep = setInterval(() => server.closeIdleConnections(), 100);
  await ended;
  clearInterval(sweep);
  finished.abort();
  await late;
}

export function createMirrorServer(options: MirrorServerOptions): MirrorServer {
  const { gate, log, pseudonym, status, defaultHost, isAllowedHost } = options;
  const limits: Limits = { ...DEFAULT_LIMITS, ...options.limits };
  const metrics = options.metrics ?? createMetrics();
  const { server, renew } = createHttpServer(limits, options.tls, options.push !== undefined);
  const responseCache = createResponseCache({
    maxBytes: limits.responseCacheBytes,
    now: () => performance.now(),
  });
  const accessLog = createAccessLog(log, metrics);
  const pipeline = new PipelineQueue();
  const answerMemory = new FairBudget(limits.answerBytes);
  metrics.gauge('metahub_answer_memory_bytes', 'Large documents being sent.', () => answerMemory.taken);
  const isOwnHost = createHostCheck(options.names ?? []);
  // A mirror on loopback is for programs of this machine, not for web pages in its browsers; on a network, and behind TLS,
  // clients use names that the settings need not list.
  let isForThisMachine = false;
  const isOwnName = (host: string | undefined) => !isForThisMachine || host === undefined || isOwnHost(host);
  let draining = false;
  const isDraining = () => draining;

  const handle = createRequestHandler({
    ...{ gate, log, pseudonym, limits, responseCache, pipeline, answerMemory, metrics, accessLog },
    ...{ isDraining, isOwnName, hasLogins: options.hasLogins ?? false },
    hosts: { defaultHost, isAllowedHost },
    handlers: options.handlers ?? new Map(),
    push: options.push,
    filterReferrers: options.filterReferrers,
    pages: createPages({
      ...{ status, metrics, isDraining },
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
      isForThisMachine = isLoopback(address.address) && options.tls === undefined && !options.hasLogins;
      return address;
    },
    drain: async (timeoutMs) => {
      draining = true;
      await finish(server, timeoutMs, () => {
        log('warning', 'pulls-cut', 'the stop interrupted pulls that took longer than --drain-timeout', {
          connections: connections.count(),
        });
        connections.cut();
      });
    },
    close: async () => {
      draining = true;
      const ended = closed(server);
      connections.cut();
      await ended;
    },
    invalidate: (key) => responseCache.invalidate(key),
    invalidateTag: (repository, tag) => responseCache.invalidateTag(repository, tag),
    renew,
  };
}
