import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Registry, RequestOptions } from '../oci/registry.ts';

/** An admitted request: whom to ask, how, and where the answer goes. */
export interface HttpExchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly registry: Registry;
  /** `signal` fires when the client leaves before its answer is complete. */
  readonly options: RequestOptions & { readonly signal: AbortSignal };
}

/** Fires when `res` is closed before it was sent in full. */
export function abortWhenGone(res: ServerResponse): AbortSignal {
  const controller = new AbortController();
  if (res.destroyed) controller.abort();
  res.once('close', () => {
    if (!res.writableFinished) controller.abort();
  });
  return controller.signal;
}
