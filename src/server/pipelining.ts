import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Requests that a client pipelines are worked on one at a time: a later response has no connection to be written to yet,
 * and would neither feel backpressure nor learn that the client has left.
 */
export interface PipelineQueue {
  /** Notes `res` as its connection's latest, when it is being answered at once. */
  track(req: IncomingMessage, res: ServerResponse): void;
  /** Runs `work` as soon as the connection's earlier responses are sent; never, if it closes before. */
  enqueue(req: IncomingMessage, res: ServerResponse, work: () => Promise<void>): void;
}

export function createPipelineQueue(): PipelineQueue {
  const latest = new WeakMap<Socket, ServerResponse>();
  return {
    track: (req, res) => {
      latest.set(req.socket, res);
    },
    enqueue: (req, res, work) => {
      const earlier = latest.get(req.socket);
      latest.set(req.socket, res);
      if (res.socket !== null || earlier === undefined) {
        void work();
        return;
      }
      earlier.once('close', () => {
        if (!req.socket.destroyed) void work();
      });
    },
  };
}
