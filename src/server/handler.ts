import type { IncomingMessage, ServerResponse } from 'node:http';
import { performance } from 'node:perf_hooks';
import type { ByteBudget } from '../lib/byte-budget.ts';
import { abortWhenGone, type RequestHandler } from '../lib/http.ts';
import type { Log } from '../lib/log.ts';
import type { Repository } from '../oci/reference.ts';
import type { Admission, AdmissionController, RequestContext } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { isLoop, LOOP_STATUS, readVia } from '../oci/via.ts';
import type { AccessLog } from './access-log.ts';
import { answerBlob } from './blobs.ts';
import type { Limits, PipelineQueue } from './connections.ts';
import { answerReferrers, answerTags } from './lists.ts';
import { ageHeader, fetchManifest, sendManifest } from './manifests.ts';
import type { Metrics } from './metrics.ts';
import type { Pages } from './pages.ts';
import {
  checkRead,
  checkSyntax,
  createAcceptReader,
  isCrossSite,
  isPlain,
  isRead,
  pathOf,
  wantsRevalidation,
} from './request-validation.ts';
import {
  cacheControl,
  createErrorHandler,
  type HttpExchange,
  holdUntilSent,
  overloaded,
  sendDocument,
} from './response.ts';
import type { ResponseCache } from './response-cache.ts';
import { type HostRules, type ManifestRoute, parseRoute, type Route } from './routes.ts';

export interface RequestHandlerOptions {
  readonly gate: AdmissionController;
  readonly log: Log;
  /** What this mirror calls itself in `Via`. */
  readonly pseudonym: string;
  readonly hosts: HostRules;
  /** Exact paths that are answered by others. */
  readonly handlers: ReadonlyMap<string, RequestHandler>;
  readonly pages: Pages;
  readonly accessLog: AccessLog;
  readonly limits: Limits;
  readonly responseCache: ResponseCache;
  readonly pipeline: PipelineQueue;
  readonly metrics: Metrics;
  /** Memory for large documents that are being sent. */
  readonly answerMemory: ByteBudget;
  /** May the API be asked under this Host header? */
  readonly isOwnName: (host: string | undefined) => boolean;
  /** Does every request have to show a login? */
  readonly hasLogins: boolean;
  /** True while the server drains: answers then end their connections. */
  readonly isDraining: () => boolean;
}

type ApiRoute = Exclude<Route, { kind: 'page' }>;
type Admitting = Admission | Promise<Admission>;

/** A request whose target was parsed, and whose admission was begun, on the way to a stored answer that was not there. */
interface HeadStart {
  readonly route: ManifestRoute;
  readonly admitting: Admitting;
}

/** A request as admission sees it. */
class ArrivingRequest implements RequestContext {
  readonly headers: IncomingMessage['headers'];
  readonly repository: Repository | undefined;
  readonly #socket: IncomingMessage['socket'];
  readonly #res: ServerResponse;

  constructor(req: IncomingMessage, res: ServerResponse, repository: Repository | undefined) {
    this.headers = req.headers;
    this.repository = repository;
    this.#socket = req.socket;
    this.#res = res;
  }

  /** Asks the system, once a connection: only for whoever wants to know. */
  get remoteAddress(): string {
    return this.#socket.remoteAddress ?? '';
  }

  /** Made only for the few requests whose admission takes time. */
  get signal(): AbortSignal {
    return abortWhenGone(this.#res);
  }
}

function refuseCrossSite(req: IncomingMessage): void {
  if (!isCrossSite(req)) return;
  throw new RegistryError('DENIED', 'a web page of another site may not ask this mirror');
}

/** The hops that the request came through. @throws {RegistryError} 400 for a malformed Via, 508 for a loop. */
function checkedVia({ headers }: IncomingMessage, pseudonym: string): string | undefined {
  if (headers.via === undefined) return undefined;
  const via = readVia(headers.via);
  if (via === undefined) {
    throw new RegistryError('UNSUPPORTED', 'the Via header is malformed', { status: 400 });
  }
  if (isLoop(via, pseudonym)) {
    throw new RegistryError('UNAVAILABLE', 'this request has come through this mirror before', {
      status: LOOP_STATUS,
    });
  }
  return via;
}

/**
 * Says that the answer is scoped by `ns`, so that a client knows a proxy that heeds it from one that does not.
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#registry-proxying
 */
function announceNamespace(
  res: ServerResponse,
  { namespace }: { readonly namespace?: string | undefined },
): void {
  if (namespace !== undefined) res.setHeader('OCI-Namespace', namespace);
}

/** Answers requests: whatever happens, each gets an answer or its connection is cut. */
class MirrorRequestHandler {
  readonly #options: RequestHandlerOptions;
  readonly #acceptsIndex = createAcceptReader();
  readonly #accessLog: AccessLog;
  readonly #handleError: ReturnType<typeof createErrorHandler>;
  #inFlight = 0;

  constructor(options: RequestHandlerOptions) {
    const { log, metrics } = options;
    this.#options = options;
    this.#accessLog = options.accessLog;
    this.#handleError = createErrorHandler(log, metrics);
    metrics.gauge('metahub_requests_in_flight', 'Requests being answered.', () => this.#inFlight);
  }

  handle(req: IncomingMessage, res: ServerResponse): void {
    const startedMs = performance.now();
    if (this.#options.isDraining()) res.shouldKeepAlive = false;
    try {
      if (!this.#sendCached(req, res, startedMs)) this.#enqueue(req, res);
    } catch (error) {
      this.#handleError(req, res, error);
    }
  }

  #enqueue(req: IncomingMessage, res: ServerResponse, headStart?: HeadStart): void {
    this.#options.pipeline.enqueue(req, res, () => this.#serve(req, res, headStart));
  }

  /**
   * Sends a stored manifest again, without parsing the target and without asking a registry. Returns false when the
   * request has not been dealt with.
   */
  #sendCached(req: IncomingMessage, res: ServerResponse, startedMs: number): boolean {
    const { responseCache, gate, pipeline, isOwnName, answerMemory } = this.#options;
    // A response that waits for earlier ones has no connection yet (see pipelining.ts).
    const mayBeCached = res.socket !== null && isPlain(req) && isOwnName(req.headers.host);
    const target = req.url ?? '';
    const route = mayBeCached ? responseCache.routeOf(target) : undefined;
    if (route === undefined) return false;
    const admitting = gate.admit(new ArrivingRequest(req, res, route.repository));
    const isAdmitted = !(admitting instanceof Promise) && admitting.kind === 'admitted';
    const prepared = isAdmitted
      ? responseCache.find(target, admitting.key, this.#acceptsIndex(req.headers.accept))
      : undefined;
    if (prepared === undefined) {
      this.#enqueue(req, res, { route, admitting });
      return true;
    }
    pipeline.track(req, res);
    announceNamespace(res, route);
    const { bytes } = prepared.manifest;
    holdUntilSent(answerMemory, res, bytes);
    sendManifest(req, res, prepared, ageHeader(prepared));
    this.#accessLog.recordCached(req, res, startedMs, bytes.length);
    return true;
  }

  async #serve(req: IncomingMessage, res: ServerResponse, headStart: HeadStart | undefined): Promise<void> {
    const { limits, handlers, hosts, pages, isOwnName } = this.#options;
    this.#accessLog.begin(req, res);
    try {
      checkSyntax(req, limits);
      const target = req.url ?? '';
      const handler = handlers.get(pathOf(target));
      if (handler) return handler(req, res);
      if (!isRead(req)) await this.#refuseWithoutLogin(req, res);
      checkRead(req);
      const route = headStart?.route ?? parseRoute(target, hosts);
      this.#accessLog.setKind(res, route.kind);
      if (route.kind === 'page') return pages.answer(req, res, route.path);
      if (!isOwnName(req.headers.host)) {
        throw new RegistryError(
          'DENIED',
          `this mirror does not answer to the Host ${req.headers.host}: add it with --name`,
        );
      }
      refuseCrossSite(req);
      await this.#serveApi(req, res, route, headStart?.admitting);
    } catch (error) {
      this.#handleError(req, res, error);
    }
  }

  /** A client that pushes learns by the challenge that it needs a login, before it learns that nothing can be pushed. */
  async #refuseWithoutLogin(req: IncomingMessage, res: ServerResponse): Promise<void> {
    if (!this.#options.hasLogins || !pathOf(req.url ?? '').startsWith('/v2/')) return;
    const admission = await this.#options.gate.admit(new ArrivingRequest(req, res, undefined));
    if (admission.kind === 'refused') throw admission.error;
  }

  async #serveApi(
    req: IncomingMessage,
    res: ServerResponse,
    route: ApiRoute,
    begun: Admitting | undefined,
  ): Promise<void> {
    const { gate, pseudonym, hasLogins, answerMemory } = this.#options;
    const repository = route.kind === 'ping' ? undefined : route.repository;
    const admission = await (begun ?? gate.admit(new ArrivingRequest(req, res, repository)));
    // A client that left meanwhile would stay counted below: its response has closed already.
    if (res.destroyed) return;
    if (admission.kind === 'refused') throw admission.error;
    this.#accessLog.setLogin(res, admission.login);
    const via = checkedVia(req, pseudonym);
    this.#countInFlight(res);
    const { registry, access, key } = admission;
    const acceptsIndex = this.#acceptsIndex(req.headers.accept);
    const exchange: HttpExchange = {
      req,
      res,
      registry,
      options: {
        ...{ access, via, acceptsIndex, revalidate: wantsRevalidation(req) },
        signal: abortWhenGone(res),
      },
      isPrivate: hasLogins || access !== undefined,
      hold: (bytes) => holdUntilSent(answerMemory, res, bytes),
    };
    if (route.kind !== 'ping') announceNamespace(res, route);
    await this.#answer(exchange, route, key);
  }

  /** @throws {RegistryError} 503 when as many requests as allowed are in flight. */
  #countInFlight(res: ServerResponse): void {
    if (this.#inFlight >= this.#options.limits.inFlight) {
      throw overloaded('this mirror is answering as many requests as it may');
    }
    this.#inFlight += 1;
    res.once('close', () => {
      this.#inFlight -= 1;
    });
  }

  #answer(exchange: HttpExchange, route: ApiRoute, admissionKey: string): Promise<void> | void {
    switch (route.kind) {
      case 'ping':
        return sendDocument(exchange.res, 200, {}, cacheControl(exchange.isPrivate, false));
      case 'manifest':
        return this.#answerManifest(exchange, route, admissionKey);
      case 'blob':
        return answerBlob(exchange, route);
      case 'tags':
        return answerTags(exchange, route);
      case 'referrers':
        return answerReferrers(exchange, route);
    }
  }

  async #answerManifest(exchange: HttpExchange, route: ManifestRoute, admissionKey: string): Promise<void> {
    const { req, res, options, hold } = exchange;
    const { acceptsIndex = true } = options;
    const target = req.url ?? '';
    const { responseCache } = this.#options;
    const store = responseCache.beginStore({ target, route, admissionKey, acceptsIndex });
    const prepared = await fetchManifest(exchange, route);
    store(prepared);
    hold(prepared.manifest.bytes);
    sendManifest(req, res, prepared, prepared.manifest.ageMs === undefined ? [] : ageHeader(prepared));
  }
}

export function createRequestHandler(options: RequestHandlerOptions): RequestHandler {
  const handler = new MirrorRequestHandler(options);
  return (req, res) => handler.handle(req, res);
}
