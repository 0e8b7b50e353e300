import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Log } from '../lib/log.ts';
import { ERROR_CODES } from '../oci/registry-error.ts';
import { loggedPath } from './access-log.ts';
import type { Metrics } from './metrics.ts';
import { mustClose } from './request-validation.ts';
import { sendError, toRegistryError } from './response.ts';

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Cuts the connection such that no client can take what it has received for whole. */
function breakOff(req: IncomingMessage, res: ServerResponse): void {
  // A body without length to an HTTP/1.0 client ends with the connection: only a reset tells that it broke. A TLS client
  // misses the closing alert instead.
  const isPlain = !('encrypted' in req.socket);
  if (req.httpVersion === '1.0' && isPlain) req.socket.resetAndDestroy();
  else res.destroy();
}

/**
 * Turns a failure into an HTTP answer: the spec's error document, or a cut connection when the answer has begun already.
 * A fault of the mirror or of an upstream is a warning in the log; a client's fault is not.
 */
export function createErrorHandler(
  log: Log,
  metrics: Metrics,
): (req: IncomingMessage, res: ServerResponse, failure: unknown) => void {
  const failures = metrics.counter(
    'metahub_failures_total',
    'Requests answered with an error, by its code; "broken": cut in the middle of the answer.',
    ['code'],
    [...ERROR_CODES, 'broken'].map((code) => [code]),
  );
  return (req, res, failure) => {
    const path = loggedPath(req.url ?? '');
    if (res.headersSent) {
      const hasLeft = req.socket.destroyed;
      if (!hasLeft) breakOff(req, res);
      failures.child('broken').add();
      log(hasLeft ? 'info' : 'warning', 'answer-broken-off', 'answer broken off', {
        path,
        reason: reasonOf(failure),
      });
      return;
    }
    // The client left before there was an answer.
    if (res.destroyed) return;
    const error = toRegistryError(failure);
    failures.child(error.code).add();
    if (error.status >= 500) {
      const { cause } = error;
      log(error.code === 'UNKNOWN' ? 'error' : 'warning', 'request-failed', 'request failed', {
        path,
        status: error.status,
        reason: error.message,
        cause: cause === undefined ? undefined : reasonOf(cause),
      });
    }
    if (mustClose(req, error.status)) res.shouldKeepAlive = false;
    sendError(res, error);
  };
}
