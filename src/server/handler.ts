import type { IncomingMessage, ServerResponse } from 'node:http';
import { performance } from 'node:perf_hooks';
import { FairBudget, type Share } from '../lib/fair-budget.ts';
import { abortWhenGone, type RequestHandler } from '../lib/http.ts';
import type { Log } from '../lib/log.ts';
import { PacedStarts } from '../lib/queue.ts';
import { pathIn } from '../lib/url.ts';
import type { PushForwarder } from '../oci/push.ts';
import type { Repository, SourceHost } from '../oci/reference.ts';
import type { AdmissionController, Admitted } from '../oci/registry.ts';
import type { AccessLog, LoggedRequest } from './access-log.ts';
import { type Admitting, ArrivingRequest, type HeadStart, shareOf } from './arriving-request.ts';
import { answerBlob } from './blobs.ts';
import type { Limits, PipelineQueue } from './connections.ts';
import { answerReferrers, answerTags, type FilterReferrers } from './lists.ts';
import {
  ageHeader,
  fetchManifest,
  noteFailure,
  noteSent,
  type ResponseCache,
  sendManifest,
} from './manifests.ts';
import type { Metrics } from './metrics.ts';
import type { Pages } from './pages.ts';
import { servePush } from './push-requests.ts';
import {
  checkRead,
  checkSyntax,
  createAcceptReader,
  hostNotAllowed,
  isPlain,
  isRead,
  readIntent,
  readRequestVia,
  refuseCrossSite,
} from './request-validation.ts';
import {
  announceNamespace,
  cacheControl,
  createErrorHandler,
  type HttpExchange,
  holdUntilSent,
  overloaded,
  sendDocument,
} from './response.ts';
import { isPush, type ManifestRoute, parseRoute, type Route } from './routes.ts';
import { SmallBlobs } from './small-blobs.ts';

export interface RequestHandlerOptions {
  readonly gate: AdmissionController;
  readonly log: Log;
  /** This mirror's name in the `Via` header. */
  readonly pseudonym: string;
  readonly defaultHost: SourceHost;
  /** Paths with handlers of their own. A path that ends in `/` covers all paths below it. */
  readonly handlers: ReadonlyMap<string, RequestHandler>;
  readonly pages: Pages;
  readonly filterReferrers: FilterReferrers;
  /** Forwards pushes. Undefined: this mirror is read-only. */
  readonly push: PushForwarder | undefined;
  readonly accessLog: AccessLog;
  readonly limits: Limits;
  readonly responseCache: ResponseCache;
  readonly pipeline: PipelineQueue;
  readonly metrics: Metrics;
  /** Memory for the large documents that are being sent. */
  readonly answerMemory: FairBudget;
  /** True when the API may be used with this Host header. */
  readonly isOwnName: (host: string | undefined) => boolean;
  /** True when every request needs a login. */
  readonly hasLogins: boolean;
  /** True while the server drains. Answers then close their connections. */
  readonly state: { readonly isDraining: boolean };
}

type ApiRoute = Exclude<Route, { kind: 'page' }>;
type ContentRoute = Exclude<ApiRoute, { kind: 'ping' }>;

/** How the target of a blob ends. The response cache holds manifests alone. */
const BLOB_TARGET = /\/blobs\/[^/]*$/;

/** Answers requests. Whatever happens, each gets an answer or its connection is closed. */
class MirrorRequestHandler {
  readonly #options: RequestHandlerOptions;
  readonly #acceptsIndex = createAcceptReader();
  readonly #accessLog: AccessLog;
  readonly #handleError: ReturnType<typeof createErrorHandler>;
  /** The paths in `handlers` that end in `/`. */
  readonly #folders: readonly string[];
  readonly #inFlight: FairBudget;
  readonly #starts = new PacedStarts();
  readonly #smallBlobs: SmallBlobs;

  constructor(options: RequestHandlerOptions) {
    const { log, metrics } = options;
    this.#options = options;
    this.#folders = [...options.handlers.keys()].filter((path) => path.endsWith('/'));
    this.#accessLog = options.accessLog;
    this.#inFlight = new FairBudget(options.limits.inFlight);
    this.#handleError = createErrorHandler(log, metrics);
    this.#smallBlobs = new SmallBlobs({
      ...options,
      ...{ starts: this.#starts, inFlight: this.#inFlight, targetBytes: options.limits.targetBytes },
      onError: this.#handleError,
    });
    metrics.gauge('metahub_requests_in_flight', 'Requests being answered.', () => this.#inFlight.taken);
  }

  handle(req: IncomingMessage, res: ServerResponse): void {
    const startedMs = performance.now();
    if (this.#options.state.isDraining) res.shouldKeepAlive = false;
    try {
      // A response that waits for earlier ones has no socket yet (see PipelineQueue).
      const isPlainRequest = res.socket !== null && isPlain(req) && this.#options.isOwnName(req.headers.host);
      const isBlob = BLOB_TARGET.test(req.url ?? '');
      if (isPlainRequest && !isBlob && this.#sendCached(req, res, startedMs)) return;
      const takeOver = (headStart?: HeadStart) => this.#enqueue(req, res, headStart);
      if (isPlainRequest && isBlob && this.#smallBlobs.begin(req, res, startedMs, takeOver)) return;
      takeOver();
    } catch (error) {
      this.#handleError(req, res, error);
    }
  }

  #enqueue(req: IncomingMessage, res: ServerResponse, headStart?: HeadStart): void {
    this.#options.pipeline.enqueue(req, res, () => {
      this.#starts.start(req.socket.remoteAddress ?? '', () => {
        if (!req.socket.destroyed) void this.#serve(req, res, headStart);
      });
    });
  }

  /**
   * Answers a plain request from the response cache, without parsing the target and without asking a registry.
   * False when nothing was done for the request.
   */
  #sendCached(req: IncomingMessage, res: ServerResponse, startedMs: number): boolean {
    const { responseCache, gate, pipeline, answerMemory } = this.#options;
    const target = req.url ?? '';
    const route = responseCache.routeOf(target);
    if (route === undefined) return false;
    const admitting = gate.admit(new ArrivingRequest(req, res, route.repository));
    const admitted = !(admitting instanceof Promise) && admitting.kind === 'admitted' ? admitting : undefined;
    const prepared =
      admitted && !this.#isBeforePush(req, admitted, route.repository)
        ? responseCache.find(target, admitted.key, this.#acceptsIndex(req.headers.accept))
        : undefined;
    if (admitted === undefined || prepared === undefined) {
      this.#enqueue(req, res, { route, admitting });
      return true;
    }
    pipeline.track(req, res);
    announceNamespace(res, route);
    const { bytes } = prepared.manifest;
    holdUntilSent(answerMemory, res, bytes, () => shareOf(req, admitted, route.repository));
    sendManifest(req, res, prepared, ageHeader(prepared));
    noteSent(admitted, route, prepared);
    this.#accessLog.recordCached(req, res, startedMs, bytes.length);
    return true;
  }

  async #serve(req: IncomingMessage, res: ServerResponse, headStart: HeadStart | undefined): Promise<void> {
    const { limits, defaultHost, pages, push, isOwnName } = this.#options;
    const logged = headStart?.logged ?? this.#beginLog(req, res);
    try {
      checkSyntax(req, limits);
      const target = req.url ?? '';
      const handler = this.#handlerOf(pathIn(target));
      if (handler) return handler(req, res);
      if (push !== undefined && isPush(req.method ?? '', pathIn(target))) {
        const countInFlight = (share: Share) => this.#countInFlight(res, share);
        return await servePush(req, res, { ...this.#options, push, logged, countInFlight });
      }
      if (!isRead(req)) await this.#refuseWithoutLogin(req, res);
      checkRead(req);
      const route = headStart?.route ?? parseRoute(target, defaultHost);
      logged.kind = route.kind;
      if (route.kind === 'page') return pages.answer(req, res, route.path);
      if (!isOwnName(req.headers.host)) throw hostNotAllowed(req);
      refuseCrossSite(req);
      await this.#serveApi(req, res, logged, route, headStart?.admitting);
    } catch (error) {
      this.#handleError(req, res, error);
    }
  }

  #beginLog(req: IncomingMessage, res: ServerResponse): LoggedRequest {
    const logged = this.#accessLog.begin(req, res, performance.now());
    res.once('close', () => logged.end());
    return logged;
  }

  #handlerOf(path: string): RequestHandler | undefined {
    const { handlers } = this.#options;
    const folder = this.#folders.find((start) => path.startsWith(start)) ?? path;
    return handlers.get(path) ?? handlers.get(folder);
  }

  /** True for a HEAD of a client that may push: it asks which content it need not send. */
  #isBeforePush(
    { method }: IncomingMessage,
    { mayPush }: Admitted,
    repository: Repository | undefined,
  ): boolean {
    if (method !== 'HEAD' || this.#options.push === undefined || repository === undefined) return false;
    return mayPush?.(repository) !== false;
  }

  /**
   * A client that pushes without a login gets the challenge first, and only then learns that the mirror is
   * read-only.
   */
  async #refuseWithoutLogin(req: IncomingMessage, res: ServerResponse): Promise<void> {
    if (!this.#options.hasLogins || !pathIn(req.url ?? '').startsWith('/v2/')) return;
    const admission = await this.#options.gate.admit(new ArrivingRequest(req, res, undefined));
    if (admission.kind === 'refused') throw admission.error;
  }

  async #serveApi(
    req: IncomingMessage,
    res: ServerResponse,
    logged: LoggedRequest,
    route: ApiRoute,
    begun: Admitting | undefined,
  ): Promise<void> {
    const { gate, pseudonym, hasLogins, answerMemory } = this.#options;
    const repository = route.kind === 'ping' ? undefined : route.repository;
    const admission = await (begun ?? gate.admit(new ArrivingRequest(req, res, repository)));
    // The response has closed, so nothing would undo the count below.
    if (res.destroyed) return;
    if (admission.kind === 'refused') throw admission.error;
    logged.login = admission.login;
    const via = readRequestVia(req, pseudonym);
    const share = shareOf(req, admission, repository);
    this.#countInFlight(res, share);
    const { access } = admission;
    const isPrivate = hasLogins || access !== undefined;
    if (route.kind === 'ping') return sendDocument(res, 200, {}, cacheControl(isPrivate, false));
    const acceptsIndex = this.#acceptsIndex(req.headers.accept);
    const exchange: HttpExchange = {
      req,
      res,
      registry: admission.registry,
      options: {
        ...{ access, via, acceptsIndex, ...readIntent(req), client: share.client },
        ...(this.#isBeforePush(req, admission, repository) ? { beforePush: true } : {}),
        // A getter, because stored content is sent without a signal.
        get signal() {
          return abortWhenGone(res);
        },
      },
      isPrivate,
      hold: (bytes) => holdUntilSent(answerMemory, res, bytes, () => share),
    };
    announceNamespace(res, route);
    await this.#answer(exchange, route, admission);
  }

  /** @throws {RegistryError} 503 when too many requests are being answered, in total or of this client or source. */
  #countInFlight(res: ServerResponse, share: Share): void {
    const release = this.#inFlight.tryTake(1, share);
    if (release === undefined) throw overloaded('this mirror already answers its maximum number of requests');
    res.once('close', release);
  }

  #answer(exchange: HttpExchange, route: ContentRoute, admission: Admitted): Promise<void> {
    switch (route.kind) {
      case 'manifest':
        return this.#answerManifest(exchange, route, admission);
      case 'blob':
        return answerBlob(exchange, route);
      case 'tags':
        return answerTags(exchange, route);
      case 'referrers':
        return answerReferrers(exchange, route, this.#options.filterReferrers);
    }
  }

  async #answerManifest(exchange: HttpExchange, route: ManifestRoute, admission: Admitted): Promise<void> {
    const { req, res, options, hold } = exchange;
    const { acceptsIndex = true } = options;
    const target = req.url ?? '';
    const { responseCache } = this.#options;
    const store = responseCache.beginStore({ target, route, admissionKey: admission.key, acceptsIndex });
    const prepared = await fetchManifest(exchange, route).catch((error: unknown) => {
      noteFailure(admission, route, error);
      throw error;
    });
    if (!options.isCheck) store(prepared); // An answer from memory would hide the next pull.
    hold(prepared.manifest.bytes);
    sendManifest(req, res, prepared, prepared.manifest.ageMs === undefined ? [] : ageHeader(prepared));
    noteSent(admission, route, prepared);
  }
}

export function createRequestHandler(options: RequestHandlerOptions): RequestHandler {
  const handler = new MirrorRequestHandler(options);
  return (req, res) => handler.handle(req, res);
}
