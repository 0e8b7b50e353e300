import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

/**
 * Requests that a client pipelines are answered one at a time: a later response has no connection to be written to yet,
 * and would neither feel backpressure nor learn that the client has left.
 */
export class PipelineQueue {
  readonly #latest = new WeakMap<Duplex, ServerResponse>();

  /** Notes `res` as its connection's latest, when it is being answered at once. */
  track(req: IncomingMessage, res: ServerResponse): void {
    this.#latest.set(req.socket, res);
  }

  /** Runs `work` as soon as the connection's earlier responses are sent; never, if it closes before. */
  enqueue(req: IncomingMessage, res: ServerResponse, work: () => Promise<void>): void {
    const earlier = this.#latest.get(req.socket);
    this.#latest.set(req.socket, res);
    if (res.socket !== null || earlier === undefined) {
      void work();
      return;
    }
    earlier.once('close', () => {
      if (!req.socket.destroyed) void work();
    });
  }

  /** Runs `work` when every response of this connection is sent: at once when none is under way. */
  afterLast(socket: Duplex, work: () => void): void {
    const latest = this.#latest.get(socket);
    if (latest === undefined || latest.closed || latest.destroyed) work();
    else latest.once('close', work);
  }
}
