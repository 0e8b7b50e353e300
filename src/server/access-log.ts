import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import type { Log } from '../lib/log.ts';
import { pathIn } from '../lib/url.ts';
import type { Metrics } from './metrics.ts';
import { createRuntimeReader } from './request-validation.ts';
import type { Route } from './routes.ts';
import type { RuntimeActivity } from './status-facts.ts';

/** Counts requests, and writes one line to the access log when each ends. */
export interface AccessLog {
  /** Registers a request. The caller fills in what it learns about it, and calls `end` when the response closes. */
  begin(req: IncomingMessage, res: ServerResponse, startedMs: number): LoggedRequest;
  /** Records a manifest that was sent from memory, without asking a registry. */
  recordCached(req: IncomingMessage, res: ServerResponse, startedMs: number, sizeBytes: number): void;
  /** The kinds of clients that got a manifest or a blob, with the time of the last one. */
  runtimes(): readonly RuntimeActivity[];
}

type Kind = Route['kind'] | 'push' | 'unread';

/** A request that is being answered. */
export interface LoggedRequest {
  /** `unread` until the request target is parsed. */
  kind: Kind;
  login: string | undefined;
  /** Counts the request and writes its line. */
  end(): void;
}

const PATH_MAX_CHARACTERS = 300;
const METHODS = new Set(['GET', 'HEAD']);
const KINDS: readonly Kind[] = ['ping', 'manifest', 'blob', 'tags', 'referrers', 'page', 'push', 'unread'];
/** Bucket limits in seconds, from an answer from memory to a large layer over a slow line. */
const DURATION_BUCKETS = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/** The part of a request target that the log shows: its path, truncated. */
export function loggedPath(target: string): string {
  return pathIn(target).slice(0, PATH_MAX_CHARACTERS);
}

function registerRequestMetrics(metrics: Metrics) {
  const requests = metrics.counter(
    'metahub_requests_total',
    'Requests answered, by what was requested.',
    ['kind', 'method', 'status'],
    KINDS.map((kind) => [kind, 'GET', '200']),
  );
  const sent = metrics
    .counter('metahub_sent_bytes_total', 'Bytes sent to clients, headers included.')
    .child();
  const total = metrics
    .counter('metahub_response_cache_hits_total', 'Manifests sent from memory without asking a registry.')
    .child();
  const durations = metrics.histogram(
    'metahub_request_duration_seconds',
    'Time from a request to the end of its answer, slow readers included.',
    DURATION_BUCKETS,
    ['kind'],
    KINDS.map((kind) => [kind]),
  );
  // The children for the most frequent answers are looked up once.
  const cached = {
    GET: { 200: requests.child('manifest', 'GET', '200'), 304: requests.child('manifest', 'GET', '304') },
    HEAD: { 200: requests.child('manifest', 'HEAD', '200'), 304: requests.child('manifest', 'HEAD', '304') },
    total,
    duration: durations.child('manifest'),
  };
  return { requests, sent, durations, cached };
}

/** The client's address, the bytes sent and the time taken. */
interface Transfer {
  readonly client: string | undefined;
  readonly bytes: number;
  readonly ms: number;
}

class OpenRequest implements LoggedRequest {
  kind: Kind = 'unread';
  login: string | undefined = undefined;
  readonly #log: RequestLog;
  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;
  readonly #startedMs: number;
  readonly #sentBefore: number;
  readonly #socket: Socket;
  // Read now: a closed socket has no address, and a destroyed request has no socket.
  readonly #client: string | undefined;

  constructor(log: RequestLog, req: IncomingMessage, res: ServerResponse, startedMs: number) {
    const { socket } = req;
    this.#log = log;
    this.#req = req;
    this.#res = res;
    this.#startedMs = startedMs;
    this.#socket = socket;
    this.#sentBefore = socket.bytesWritten;
    this.#client = socket.remoteAddress;
  }

  end(): void {
    this.#log.recordEnd(this.#req, this.#res, this, {
      client: this.#client,
      bytes: this.#socket.bytesWritten - this.#sentBefore,
      ms: performance.now() - this.#startedMs,
    });
  }
}

class RequestLog implements AccessLog {
  readonly #log: Log;
  readonly #metrics: ReturnType<typeof registerRequestMetrics>;
  readonly #runtimeOf = createRuntimeReader();
  /** Seconds of Unix time, by kind of client. */
  readonly #lastSuccess = new Map<string, number>();

  constructor(log: Log, metrics: Metrics) {
    this.#log = log;
    this.#metrics = registerRequestMetrics(metrics);
    metrics.gauge(
      'metahub_runtime_last_success_timestamp_seconds',
      'When a client of this kind last got a manifest or blob, in Unix time; 0: never.',
      () => this.#runtimeOf.kinds.map((kind) => [[kind], this.#lastSuccess.get(kind) ?? 0] as const),
      ['runtime'],
    );
  }

  runtimes(): readonly RuntimeActivity[] {
    return [...this.#lastSuccess].map(([runtime, seconds]) => ({
      runtime,
      lastSuccess: new Date(seconds * 1000),
    }));
  }

  begin(req: IncomingMessage, res: ServerResponse, startedMs: number): LoggedRequest {
    return new OpenRequest(this, req, res, startedMs);
  }

  recordCached(req: IncomingMessage, res: ServerResponse, startedMs: number, sizeBytes: number): void {
    const { cached, sent } = this.#metrics;
    const method = req.method === 'HEAD' ? 'HEAD' : 'GET';
    const status = res.statusCode === 304 ? 304 : 200;
    const bytes = status === 200 && method === 'GET' ? sizeBytes : 0;
    const ms = performance.now() - startedMs;
    cached[method][status].add();
    cached.total.add();
    sent.add(bytes);
    cached.duration.observe(ms / 1000);
    this.#recordSuccess(req);
    this.#write(req, undefined, { client: req.socket.remoteAddress, status: String(status), bytes, ms });
  }

  recordEnd(
    req: IncomingMessage,
    res: ServerResponse,
    { kind, login }: LoggedRequest,
    { client, bytes, ms }: Transfer,
  ): void {
    const { requests, sent, durations } = this.#metrics;
    const method = METHODS.has(req.method ?? '') ? (req.method ?? '') : 'other';
    const isComplete = res.writableFinished;
    const status = isComplete ? String(res.statusCode) : 'broken';
    requests.child(kind, method, status).add();
    sent.add(bytes);
    durations.child(kind).observe(ms / 1000);
    const isContent = kind === 'manifest' || kind === 'blob';
    if (isContent && isComplete && res.statusCode < 400) this.#recordSuccess(req);
    this.#write(req, login, { client, status, bytes, ms });
  }

  #recordSuccess(req: IncomingMessage): void {
    const runtime = this.#runtimeOf(req.headers['user-agent']);
    this.#lastSuccess.set(runtime, Math.floor(Date.now() / 1000));
  }

  #write(
    req: IncomingMessage,
    login: string | undefined,
    { client, status, bytes, ms }: Transfer & { readonly status: string },
  ): void {
    this.#log('debug', 'request', 'request', {
      method: req.method,
      path: loggedPath(req.url ?? ''),
      status,
      bytes,
      ms: Math.round(ms),
      client,
      login,
    });
  }
}

export function createAccessLog(log: Log, metrics: Metrics): AccessLog {
  return new RequestLog(log, metrics);
}
