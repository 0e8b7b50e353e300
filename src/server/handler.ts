import type { IncomingMessage, ServerResponse } from 'node:http';
import { performance } from 'node:perf_hooks';
import type { ByteBudget } from '../lib/byte-budget.ts';
import { abortWhenGone, type RequestHandler } from '../lib/http.ts';
import type { Log } from '../lib/log.ts';

import type { PushForwarder } from '../oci/push.ts';

import type { Repository } from '../oci/reference.ts';
import type { Admission, AdmissionController, Admitted } from '../oci/registry.ts';
import type { AccessLog } from './access-log.ts';
import {
  ArrivingRequest,
  announceNamespace,
  checkedVia,
  refuseCrossSite,
  unknownName,
} from './arriving-request.ts';
import { answerBlob } from './blobs.ts';
import type { Limits, PipelineQueue } from './connections.ts';
import { answerReferrers, answerTags } from './lists.ts';
import { ageHeader, fetchManifest, sendManifest } from './manifests.ts';
import type { Metrics } from './metrics.ts';
import type { Pages } from './pages.ts';
import {
  checkRead,
  checkSyntax,
  checkWrite,
  createAcceptReader,
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
import { isPush, parseWriteRoute } from './write-routes.ts';

export interface RequestHandlerOptions {
  readonly gate: AdmissionController;
  readonly log: Log;
  /** What this mirror calls itself in `Via`. */
  readonly pseudonym: string;
  readonly hosts: HostRules;
  /** Exact paths that are answered by others. */
  readonly handlers: ReadonlyMap<string, RequestHandler>;
  readonly pages: Pages;
  /** Passes writes on; undefined: this mirror is read-only. */
  readonly push: PushForwarder | undefined;
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
    const isCacheable = isAdmitted && !this.#isBeforePush(req, admitting, route.repository);
    const prepared = isCacheable
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
      if (this.#options.push !== undefined && isPush(req.method ?? '', pathOf(target))) {
        return await this.#servePush(req, res, this.#options.push);
      }
      if (!isRead(req)) await this.#refuseWithoutLogin(req, res);
      checkRead(req);
      const route = headStart?.route ?? parseRoute(target, hosts);
      this.#accessLog.setKind(res, route.kind);
      if (route.kind === 'page') return pages.answer(req, res, route.path);
      if (!isOwnName(req.headers.host)) throw unknownName(req);
      refuseCrossSite(req);
      await this.#serveApi(req, res, route, headStart?.admitting);
    } catch (error) {
      this.#handleError(req, res, error);
    }
  }

  async #servePush(req: IncomingMessage, res: ServerResponse, push: PushForwarder): Promise<void> {
    const { gate, hosts, isOwnName, pseudonym } = this.#options;
    checkWrite(req);
    const route = parseWriteRoute(req.method ?? '', req.url ?? '', hosts);
    this.#accessLog.setKind(res, 'push');
    if (!isOwnName(req.headers.host)) throw unknownName(req);
    refuseCrossSite(req);
    checkedVia(req, pseudonym);
    const admission = await gate.admit(new ArrivingRequest(req, res, route.repository, 'push'));
    if (res.destroyed) return;
    if (admission.kind === 'refused') throw admission.error;
    this.#accessLog.setLogin(res, admission.login);
    this.#countInFlight(res);
    const { access, login = '', mayPull = () => true } = admission;
    await push.forward(req, res, { route, access, owner: login, mayPull, signal: abortWhenGone(res) });
  }

  /** A client that may push asks by HEAD what it need not send. */
  #isBeforePush(
    { method }: IncomingMessage,
    { mayPush }: Admitted,
    repository: Repository | undefined,
  ): boolean {
    if (method !== 'HEAD' || this.#options.push === undefined || repository === undefined) return false;
    return mayPush?.(repository) !== false;
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
        ...(this.#isBeforePush(req, admission, repository) ? { beforePush: true } : {}),
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
