import type { IncomingMessage, ServerResponse } from 'node:http';
import { performance } from 'node:perf_hooks';
import type { Log } from '../lib/log.ts';
import type { Metrics } from './metrics.ts';
import { pathOf } from './request-validation.ts';
import type { Route } from './routes.ts';

/** Counts requests and writes the access log's line for each when it is over. */
export interface AccessLog {
  begin(req: IncomingMessage, res: ServerResponse): void;
  /** What was asked for, as far as it could be read. */
  kind(res: ServerResponse, kind: Route['kind']): void;
  who(res: ServerResponse, who: string | undefined): void;
  /** A manifest sent again: begun and over at once. */
  repeated(req: IncomingMessage, res: ServerResponse, startedMs: number, sizeBytes: number): void;
}

interface Known {
  kind: Route['kind'] | 'unread';
  who: string | undefined;
}

const PATH_MAX_CHARACTERS = 300;
const METHODS = new Set(['GET', 'HEAD']);

export function createAccessLog(log: Log, metrics: Metrics): AccessLog {
  const known = new WeakMap<ServerResponse, Known>();
  const requests = metrics.counter('metahub_requests_total', 'Requests answered.', [
    ...['kind', 'method', 'status'],
  ]);
  const sent = metrics.counter('metahub_sent_bytes_total', 'Bytes sent to clients, heads included.').child();
  const repeated = {
    GET: { 200: requests.child('manifest', 'GET', '200'), 304: requests.child('manifest', 'GET', '304') },
    HEAD: { 200: requests.child('manifest', 'HEAD', '200'), 304: requests.child('manifest', 'HEAD', '304') },
    total: metrics.counter('metahub_repeated_manifests_total', 'Manifests sent again from memory.').child(),
  };

  return {
    begin: (req, res) => {
      const startedMs = performance.now();
      const { socket } = req;
      const sentBefore = socket.bytesWritten;
      const facts: Known = { kind: 'unread', who: undefined };
      known.set(res, facts);
      res.once('close', () => {
        const method = METHODS.has(req.method ?? '') ? (req.method ?? '') : 'other';
        const status = res.writableFinished ? String(res.statusCode) : 'broken';
        const bytes = socket.bytesWritten - sentBefore;
        requests.child(facts.kind, method, status).add();
        sent.add(bytes);
        log('debug', 'request', 'request', {
          method: req.method,
          path: pathOf(req.url ?? '').slice(0, PATH_MAX_CHARACTERS),
          status,
          bytes,
          ms: Math.round(performance.now() - startedMs),
          client: socket.remoteAddress,
          who: facts.who,
        });
      });
    },
    kind: (res, kind) => {
      const facts = known.get(res);
      if (facts) facts.kind = kind;
    },
    who: (res, who) => {
      const facts = known.get(res);
      if (facts) facts.who = who;
    },
    repeated: (req, res, startedMs, sizeBytes) => {
      const method = req.method === 'HEAD' ? 'HEAD' : 'GET';
      const status = res.statusCode === 304 ? 304 : 200;
      repeated[method][status].add();
      repeated.total.add();
      const bytes = status === 200 && method === 'GET' ? sizeBytes : 0;
      sent.add(bytes);
      log('debug', 'request', 'request', {
        method: req.method,
        path: pathOf(req.url ?? ''),
        status: String(status),
        bytes,
        ms: Math.round(performance.now() - startedMs),
        client: req.socket.remoteAddress,
      });
    },
  };
}
