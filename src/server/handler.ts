import type { IncomingMessage, ServerResponse } from 'node:http';
import { performance } from 'node:perf_hooks';
import type { Log } from '../lib/log.ts';
import type { Admission, AdmissionController, RequestContext } from '../oci/admission.ts';
import { essenceOf, isIndexType } from '../oci/media-type.ts';
import type { Repository } from '../oci/reference.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { isLoop, LOOP_STATUS } from '../oci/via.ts';
import { createAccessLog } from './access-log.ts';
import { answerBlob } from './blobs.ts';
import { createErrorHandler } from './error-handler.ts';
import { abortWhenGone, type HttpExchange } from './exchange.ts';
import type { Limits } from './limits.ts';
import { answerReferrers, answerTags } from './lists.ts';
import { askManifest, sendManifest } from './manifests.ts';
import type { Metrics } from './metrics.ts';
import type { Pages } from './pages.ts';
import { createPipelineQueue } from './pipelining.ts';
import { checkRequest, isPlain, pathOf } from './request-validation.ts';
import { sendJson } from './response.ts';
import type { ResponseCache } from './response-cache.ts';
import { type HostRules, type ManifestRoute, parseRoute, type Route } from './routes.ts';

/** Accept values are few, one per client version; more than this many at once is somebody playing. */
const MEMO_MAX = 256;

function takesIndex(range: string): boolean {
  const essence = essenceOf(range);
  const covers = essence === '*/*' || essence === 'application/*' || isIndexType(essence);
  return covers && !/;\s*q=0(?:\.0*)?\s*(?:;|$)/i.test(range);
}

/**
 * Tells from an Accept header whether the client can take an image index: it names an index type or a wildcard, or
 * there is no header. Remembers its answers, since every pull of a client asks the same.
 */
export function createAcceptReader(): (accept: string | undefined) => boolean {
  const memo = new Map<string, boolean>();
  return (accept) => {
    if (accept === undefined || accept === '' || accept === '*/*') return true;
    const known = memo.get(accept);
    if (known !== undefined) return known;
    const answer = accept.split(',').some(takesIndex);
    if (memo.size >= MEMO_MAX) memo.clear();
    memo.set(accept, answer);
    return answer;
  };
}

export type RequestHandler = (req: IncomingMessage, res: ServerResponse) => void;

export interface RequestHandlerOptions {
  readonly gate: AdmissionController;
  readonly log: Log;
  /** What this mirror calls itself in `Via`. */
  readonly pseudonym: string;
  readonly hosts: HostRules;
  readonly handlers: ReadonlyMap<string, RequestHandler>;
  readonly pages: Pages;
  readonly limits: Limits;
  readonly hot: ResponseCache;
  readonly metrics: Metrics;
  /** May the API be asked under this Host header? */
  readonly isOwnName: (host: string | undefined) => boolean;
  /** True while the server drains: answers then end their connections. */
  readonly isDraining: () => boolean;
}

type ApiRoute = Exclude<Route, { kind: 'page' }>;

function arrivalOf(req: IncomingMessage, repository: Repository | undefined): RequestContext {
  return { headers: req.headers, remoteAddress: req.socket.remoteAddress ?? '', repository };
}

/** Answers requests: whatever happens, each gets an answer or its connection is cut. */
export function createRequestHandler(options: RequestHandlerOptions): RequestHandler {
  const { gate, pseudonym, hosts, handlers, pages, limits, hot, metrics, isDraining, isOwnName } = options;
  const acceptsIndex = createAcceptReader();
  const turns = createPipelineQueue();
  const record = createAccessLog(options.log, metrics);
  const fail = createErrorHandler(options.log, metrics);
  let inFlight = 0;
  metrics.gauge('metahub_requests_in_flight', 'Requests being answered.', () => inFlight);

  async function ask(exchange: HttpExchange, route: ApiRoute, key: string): Promise<void> {
    const { req, res } = exchange;
    switch (route.kind) {
      case 'ping':
        return sendJson(res, 200, {});
      case 'manifest': {
        const { acceptsIndex: takesIndex = true } = exchange.options;
        const keep = hot.beginStore({ target: req.url ?? '', route, key, acceptsIndex: takesIndex });
        const prepared = await askManifest(exchange, route);
        keep(prepared);
        return sendManifest(req, res, prepared);
      }
      case 'blob':
        return answerBlob(exchange, route);
      case 'tags':
        return answerTags(exchange, route);
      case 'referrers':
        return answerReferrers(exchange, route);
    }
  }

  async function serveApi(
    req: IncomingMessage,
    res: ServerResponse,
    route: ApiRoute,
    admitting: Admission | Promise<Admission> | undefined,
  ): Promise<void> {
    const repository = route.kind === 'ping' ? undefined : route.repository;
    const admission = await (admitting ?? gate.admit(arrivalOf(req, repository)));
    // Whoever has left meanwhile would stay counted below: it has closed already.
    if (res.destroyed) return;
    if (admission.kind === 'refused') throw admission.error;
    record.who(res, admission.who);
    const via = req.headers.via;
    if (isLoop(via, pseudonym)) {
      throw new RegistryError('UNAVAILABLE', 'this request has come through this mirror before', {
        status: LOOP_STATUS,
      });
    }
    if (inFlight >= limits.inFlight) {
      const overload = { status: 503, headers: { 'retry-after': '1' } };
      throw new RegistryError('UNAVAILABLE', 'this mirror is answering as many requests as it may', overload);
    }
    inFlight += 1;
    res.once('close', () => {
      inFlight -= 1;
    });
    const { registry, access, key } = admission;
    const asking = {
      access,
      via,
      acceptsIndex: acceptsIndex(req.headers.accept),
      signal: abortWhenGone(res),
    };
    await ask({ req, res, registry, options: asking }, route, key);
  }

  async function serve(
    req: IncomingMessage,
    res: ServerResponse,
    known?: { route: ManifestRoute; admitting: Admission | Promise<Admission> },
  ): Promise<void> {
    record.begin(req, res);
    const target = req.url ?? '';
    try {
      const handler = handlers.get(pathOf(target));
      if (handler) return handler(req, res);
      checkRequest(req, limits);
      const route = known?.route ?? parseRoute(target, hosts);
      record.kind(res, route.kind);
      if (route.kind === 'page') return pages.answer(req, res, route.path);
      if (!isOwnName(req.headers.host)) {
        throw new RegistryError('DENIED', 'this mirror is not asked under that name: --name allows it');
      }
      await serveApi(req, res, route, known?.admitting);
    } catch (error) {
      fail(req, res, error);
    }
  }

  /** A manifest that was sent before, sent again without parsing or asking; false when there is none. */
  function repeat(req: IncomingMessage, res: ServerResponse, startedMs: number): boolean {
    const target = req.url ?? '';
    // A response that waits for its turn has no connection yet (see turns.ts).
    const isSimple = res.socket !== null && isPlain(req) && isOwnName(req.headers.host);
    const route = isSimple ? hot.routeOf(target) : undefined;
    if (route === undefined) return false;
    const admitting = gate.admit(arrivalOf(req, route.repository));
    const isNow = !(admitting instanceof Promise) && admitting.kind === 'admitted';
    const prepared = isNow ? hot.find(target, admitting.key, acceptsIndex(req.headers.accept)) : undefined;
    if (prepared === undefined) {
      turns.enqueue(req, res, () => serve(req, res, { route, admitting }));
      return true;
    }
    turns.track(req, res);
    sendManifest(req, res, prepared);
    record.repeated(req, res, startedMs, prepared.manifest.bytes.length);
    return true;
  }

  return (req, res) => {
    const startedMs = performance.now();
    if (isDraining()) res.shouldKeepAlive = false;
    try {
      if (repeat(req, res, startedMs)) return;
      turns.enqueue(req, res, () => serve(req, res));
    } catch (error) {
      fail(req, res, error);
    }
  };
}
