import type { IncomingMessage, ServerResponse } from 'node:http';
import { performance } from 'node:perf_hooks';
import type { Log } from '../lib/log.ts';
import type { Metrics } from './metrics.ts';
import { createRuntimeReader, pathOf } from './request-validation.ts';
import type { Route } from './routes.ts';
import type { RuntimeActivity } from './status-facts.ts';

/** Counts requests, and writes a line of the access log for each when it is over. */
export interface AccessLog {
  begin(req: IncomingMessage, res: ServerResponse): void;
  /** What the request asks for, as far as it could be read. */
  setKind(res: ServerResponse, kind: Exclude<Kind, 'unread'>): void;
  setLogin(res: ServerResponse, login: string | undefined): void;
  /** A stored manifest, sent without asking a registry: begun and over at once. */
  recordCached(req: IncomingMessage, res: ServerResponse, startedMs: number, sizeBytes: number): void;
  /** Kinds of clients that got a manifest or a blob, and when last. */
  runtimes(): readonly RuntimeActivity[];
}

type Kind = Route['kind'] | 'push' | 'unread';

interface RequestFacts {
  kind: Kind;
  login: string | undefined;
}

const PATH_MAX_CHARACTERS = 300;
const METHODS = new Set(['GET', 'HEAD']);
const KINDS: readonly Kind[] = ['ping', 'manifest', 'blob', 'tags', 'referrers', 'page', 'push', 'unread'];
/** From an answer out of memory to a large layer on a slow line, in seconds. */
const DURATION_BUCKETS = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/** The part of a target that the log shows: its path, cut. */
export function loggedPath(target: string): string {
  return pathOf(target).slice(0, PATH_MAX_CHARACTERS);
}

export function createAccessLog(log: Log, metrics: Metrics): AccessLog {
  const factsOf = new WeakMap<ServerResponse, RequestFacts>();
  const requests = metrics.counter(
    'metahub_requests_total',
    'Requests answered, by what they asked for.',
    ['kind', 'method', 'status'],
    KINDS.map((kind) => [kind, 'GET', '200']),
  );
  const sent = metrics
    .counter('metahub_sent_bytes_total', 'Bytes sent to clients, headers included.')
    .child();
  const cached = {
    GET: { 200: requests.child('manifest', 'GET', '200'), 304: requests.child('manifest', 'GET', '304') },
    HEAD: { 200: requests.child('manifest', 'HEAD', '200'), 304: requests.child('manifest', 'HEAD', '304') },
    total: metrics
      .counter('metahub_response_cache_hits_total', 'Manifests sent again from memory without asking.')
      .child(),
  };
  const durations = metrics.histogram(
    'metahub_request_duration_seconds',
    'Time from a request to the end of its answer, slow readers included.',
    DURATION_BUCKETS,
    ['kind'],
    KINDS.map((kind) => [kind]),
  );
  const manifestDurations = durations.child('manifest');
  const runtimeOf = createRuntimeReader();
  const lastSuccess = new Map<string, number>();
  metrics.gauge(
    'metahub_runtime_last_success_timestamp_seconds',
    'When a client of this kind last got a manifest or blob, in Unix time; 0: never.',
    () => runtimeOf.kinds.map((kind) => [[kind], lastSuccess.get(kind) ?? 0] as const),
    ['runtime'],
  );

  const recordSuccess = (req: IncomingMessage) => {
    lastSuccess.set(runtimeOf(req.headers['user-agent']), Math.floor(Date.now() / 1000));
  };
  const write = (
    req: IncomingMessage,
    { login }: Pick<RequestFacts, 'login'>,
    outcome: { readonly status: string; readonly bytes: number; readonly ms: number },
  ) => {
    log('debug', 'request', 'request', {
      method: req.method,
      path: loggedPath(req.url ?? ''),
      status: outcome.status,
      bytes: outcome.bytes,
      ms: Math.round(outcome.ms),
      client: req.socket.remoteAddress,
      login,
    });
  };

  return {
    runtimes: () =>
      [...lastSuccess].map(([runtime, seconds]) => ({ runtime, lastSuccess: new Date(seconds * 1000) })),
    begin: (req, res) => {
      const startedMs = performance.now();
      const { socket } = req;
      const sentBefore = socket.bytesWritten;
      const facts: RequestFacts = { kind: 'unread', login: undefined };
      factsOf.set(res, facts);
      res.once('close', () => {
        const method = METHODS.has(req.method ?? '') ? (req.method ?? '') : 'other';
        const isComplete = res.writableFinished;
        const status = isComplete ? String(res.statusCode) : 'broken';
        const bytes = socket.bytesWritten - sentBefore;
        const ms = performance.now() - startedMs;
        requests.child(facts.kind, method, status).add();
        sent.add(bytes);
        durations.child(facts.kind).observe(ms / 1000);
        const isContent = facts.kind === 'manifest' || facts.kind === 'blob';
        if (isContent && isComplete && res.statusCode < 400) recordSuccess(req);
        write(req, facts, { status, bytes, ms });
      });
    },
    setKind: (res, kind) => {
      const facts = factsOf.get(res);
      if (facts) facts.kind = kind;
    },
    setLogin: (res, login) => {
      const facts = factsOf.get(res);
      if (facts) facts.login = login;
    },
    recordCached: (req, res, startedMs, sizeBytes) => {
      const method = req.method === 'HEAD' ? 'HEAD' : 'GET';
      const status = res.statusCode === 304 ? 304 : 200;
      const bytes = status === 200 && method === 'GET' ? sizeBytes : 0;
      const ms = performance.now() - startedMs;
      cached[method][status].add();
      cached.total.add();
      sent.add(bytes);
      manifestDurations.observe(ms / 1000);
      recordSuccess(req);
      write(req, { login: undefined }, { status: String(status), bytes, ms });
    },
  };
}
